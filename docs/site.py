"""Builds the documentation into `site/`: the pages of this folder and the API of fpc_core, both rendered by pdoc.

    python -m docs.site [FOLDER]

Warnings are errors: a docstring that cannot be rendered, a link between pages that leads nowhere.
"""

from __future__ import annotations

import pkgutil
import re
import shutil
import sys
import warnings
from pathlib import Path
from types import ModuleType

import pdoc
import pdoc.doc
import pdoc.render

import fpc_core
from fpc_core import __version__

ROOT = Path(__file__).resolve().parent.parent
PAGES = {  # file name without .html: title, and what it is made from
    "index": ("Overview", "docs/index.md"),
    "tutorial": ("Tutorial: real data", "docs/tutorial.md"),
    "checkpoints": ("Checkpoints", "docs/checkpoints.md"),
    "architecture": ("Architecture", "docs/architecture.md"),
    "layouts": ("Dataset layouts", "docs/layouts.md"),
    "live": ("Live protocol", "docs/live_protocol.md"),
    "glossary": ("Glossary", "docs/glossary.md"),
    "deploy": ("Deployment", "docs/deploy.md"),
    "migration": ("From 0.1 to 0.2", "docs/migration.md"),
    "benchmarks": ("Benchmarks", "benchmarks/README.md"),
    "demo": ("The demo dataset", "assets/README.md"),
    "contributing": ("Contributing", "CONTRIBUTING.md"),
    "security": ("Security", "SECURITY.md"),
    "changelog": ("Changelog", "CHANGELOG.md"),
}
COPIED = (".png", ".svg", ".jpg", ".webp", ".ipynb")  # Files that pages show or link to, beside other pages.
LINK = re.compile(r"(?<=\]\()(?!https?://|#)([^)#\s]+)(#[^)\s]*)?(?=\))")


class BrokenLinkError(ValueError):
    """A page names a file that is neither a page nor there."""


def build(folder: Path) -> list[Path]:
    """Write the whole site into `folder`, which is replaced; returns the HTML files. Raises BrokenLinkError."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    pdoc.render.configure(
        docformat="markdown", footer_text=f"FPC Explorer {__version__}", template_directory=ROOT / "docs" / "theme"
    )
    pdoc.render.env.globals["pages"] = {name: title for name, (title, _) in PAGES.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        modules = {name: _page(name, folder) for name in PAGES}
        for name in fpc_core.__all__:
            getattr(fpc_core, name)  # pdoc looks for them without loading them
        # pdoc's own walk leaves out modules that a package does not list in `__all__`.
        for name in ("fpc_core", *(each.name for each in pkgutil.walk_packages(fpc_core.__path__, "fpc_core."))):
            if name.endswith("__main__"):
                continue
            modules[name] = pdoc.doc.Module.from_name(name)
        for name, module in modules.items():
            path = folder / f"{name.replace('.', '/')}.html"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(pdoc.render.html_module(module, all_modules=modules), encoding="utf-8")
        (folder / "search.js").write_text(pdoc.render.search_index(modules), encoding="utf-8")
    return sorted(folder.rglob("*.html"))


def _page(name: str, folder: Path) -> pdoc.doc.Module:
    """A Markdown file as pdoc's module of that docstring. Pictures it shows and notebooks are copied beside it."""
    source = ROOT / PAGES[name][1]
    page = ModuleType(name)
    page.__doc__ = LINK.sub(lambda link: _target(source, link, folder), source.read_text(encoding="utf-8"))
    return pdoc.doc.Module(page)


def _target(source: Path, link: re.Match[str], folder: Path) -> str:
    there = (source.parent / link[1]).resolve()
    if not there.exists() or not there.is_relative_to(ROOT):
        raise BrokenLinkError(f"{source.relative_to(ROOT)} links to {link[1]}, which is not there")
    inside = there.relative_to(ROOT).as_posix()
    for name, (_, made_from) in PAGES.items():
        if inside == made_from:
            return f"{name}.html{link[2] or ''}"
    if there.suffix in COPIED:
        (folder / inside).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(there, folder / inside)
        return inside
    raise BrokenLinkError(
        f"{source.relative_to(ROOT)} links to {link[1]}, which is no page of the site; name it in PAGES"
    )


if __name__ == "__main__":
    made = build(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "site")
    print(f"{len(made)} pages")

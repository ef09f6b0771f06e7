"""Build the documentation into `site/`: the pages of this folder and the API of fpc_core, both rendered by pdoc.

    python -m docs.site [FOLDER]

The build fails if pdoc warns, for example about a docstring that it cannot render, or if a page has a broken link.
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
PAGES = {  # File name without .html: title and source file.
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
COPIED = (".png", ".svg", ".jpg", ".webp", ".ipynb")  # Files that are copied if a page shows them or links to them.
LINK = re.compile(r"(?<=\]\()(?!https?://|#)([^)#\s]+)(#[^)\s]*)?(?=\))")


class BrokenLinkError(ValueError):
    """A page links to a file that does not exist or is not part of the site."""


def build(folder: Path) -> list[Path]:
    """Write the site into `folder` and return its HTML files. Existing content of the folder is deleted.

    Raises:
        BrokenLinkError: A page links to a file that does not exist or is not part of the site.
    """
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
            getattr(fpc_core, name)  # The package loads its names on first use, and pdoc does not trigger this.
        # pdoc itself finds only the modules that a package lists in `__all__`.
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
    """Return a Markdown file as a module for pdoc with the text as its docstring, and copy the files that it uses.

    Args:
        name: Key of the page in PAGES.
        folder: Folder of the site.
    """
    source = ROOT / PAGES[name][1]
    page = ModuleType(name)
    page.__doc__ = LINK.sub(lambda link: _target(source, link, folder), source.read_text(encoding="utf-8"))
    return pdoc.doc.Module(page)


def _target(source: Path, link: re.Match[str], folder: Path) -> str:
    """Return the target of a link inside the site. Copy the file if it is an image or a notebook.

    Args:
        source: Markdown file with the link.
        link: Match of `LINK`: the path relative to the file, and the anchor or None.
        folder: Folder of the site.

    Raises:
        BrokenLinkError: The file does not exist or is not part of the site.
    """
    path = (source.parent / link[1]).resolve()
    if not path.exists() or not path.is_relative_to(ROOT):
        raise BrokenLinkError(f"{source.relative_to(ROOT)} links to {link[1]}, which does not exist")
    inside = path.relative_to(ROOT).as_posix()
    for name, (_, made_from) in PAGES.items():
        if inside == made_from:
            return f"{name}.html{link[2] or ''}"
    if path.suffix in COPIED:
        (folder / inside).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, folder / inside)
        return inside
    raise BrokenLinkError(
        f"{source.relative_to(ROOT)} links to {link[1]}, which is not a page of the site; add it to PAGES"
    )


if __name__ == "__main__":
    made = build(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "site")
    print(f"{len(made)} pages")

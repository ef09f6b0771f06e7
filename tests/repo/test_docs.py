"""Files, commands, options and variables in the docs exist, and the documentation builds without a warning."""

import importlib
import importlib.util
import json
import re
import shlex
from pathlib import Path

import pytest

from docs.make_checkpoints import checkpoints_page
from docs.make_glossary import glossary_page
from docs.make_layouts import LABELS, layouts_page
from fpc_core.cli import COMMANDS
from fpc_core.cli.arguments import build_parser
from fpc_core.data.datasets import open_dataset
from fpc_core.glossary import GLOSSARY
from fpc_core.model.families import FAMILIES
from tests.support.data_cases import lay_out

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    path
    for folder in (".", "docs", "benchmarks", "assets", "assets/demo", "tests/golden")
    for path in (ROOT / folder).glob("*.md")
)
TEXTS = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in PAGES}
VARIABLE = re.compile(r"\bFPC_[A-Z_]+\b(?!\.)")  # The file name FPC_Occ_... of the authors must not match.


@pytest.fixture
def site():
    pytest.importorskip("pdoc", reason="pdoc is not installed")
    return importlib.import_module("docs.site")


@pytest.mark.parametrize("name", TEXTS)
def test_no_placeholder_is_left(name):
    assert re.findall(r"\b(?:TODO|FIXME|TBD|[A-Z]+_(?:TITLE|STRIP|PAGE|PAIRS))\b", TEXTS[name]) == []


def commands(text):
    """Return the text after `python -m` of every command in a page, without comments and commands with dots."""
    code = "\n".join(re.findall(r"```\w*\n(.*?)```", text, re.DOTALL) + re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text))
    found = re.findall(r"-m ((?:fpc_core|benchmarks\.\w+|docs\.\w+)\b.*)", code.replace("\\\n", " "))
    return [each.split(" #")[0].split(" && ")[0].strip() for each in found if "..." not in each]


def headings(text):
    """Return the anchors of a page, as GitHub and pdoc create them."""
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", TEXTS)
def test_links_lead_to_files_and_headings_that_exist(page):
    for link in re.finditer(r"(?<=\]\()(?!https?://)([^)#\s]*)(#[^)\s]*)?(?=\))", TEXTS[page]):
        there = (ROOT / page).parent / link[1] if link[1] else ROOT / page
        assert there.exists(), f"{page} links to {link[0]}"
        if link[2]:
            assert link[2][1:] in headings(there.read_text(encoding="utf-8")), f"{page} links to {link[0]}"


@pytest.mark.parametrize("page", [page for page, text in TEXTS.items() if commands(text)])
def test_commands_in_the_docs_are_valid(page):
    parser = build_parser(COMMANDS)
    for command in commands(TEXTS[page]):
        module, *options = shlex.split(command)
        if module == "fpc_core" and options:
            try:
                parser.parse_args(options)
            except SystemExit:
                pytest.fail(f"{page}: python -m {command}")
        else:
            assert importlib.util.find_spec(module), f"{page}: python -m {command}"
            pytest.importorskip(module)  # It may import packages that are not installed, but no missing module.


@pytest.mark.parametrize("page", TEXTS)
def test_make_targets_are_in_the_makefile(page):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"(?:`|^|: |=\S+ )make (\w+)", TEXTS[page], re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"{page}: make {target}"


def test_every_variable_that_is_read_is_described_and_no_other():
    code = [path for room in ("fpc_core", "app") for path in (ROOT / room).rglob("*.py")]
    read = {name for path in code for name in re.findall(r'"(FPC_[A-Z_]+)"', path.read_text(encoding="utf-8"))}
    table, _ = TEXTS["docs/deploy.md"].split("Everyone who can open the app")
    assert set(VARIABLE.findall(table)) == read
    for page, text in {**TEXTS, "Dockerfile": (ROOT / "Dockerfile").read_text(encoding="utf-8")}.items():
        assert set(VARIABLE.findall(text)) <= read, page


def test_every_command_is_in_the_readme():
    for name in COMMANDS:
        assert f"`python -m fpc_core {name}" in TEXTS["README.md"]


def test_the_documentation_builds_without_a_warning(site, tmp_path):
    made = {path.relative_to(tmp_path).as_posix() for path in site.build(tmp_path)}
    assert {f"{name}.html" for name in site.PAGES} <= made
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "fpc_core").rglob("*.py")}
    public = {name.removesuffix(".py") for name in modules if "/_" not in name}
    assert {f"{name}.html" for name in public} <= made
    for source in site.PAGES.values():
        assert (ROOT / source[1]).read_text(encoding="utf-8").strip(), f"{source[1]} is empty"


def test_the_glossary_page_is_made_from_the_glossary():
    assert TEXTS["docs/glossary.md"] == glossary_page()
    assert list(GLOSSARY) == sorted(GLOSSARY, key=str.lower)


def test_the_checkpoints_page_is_made_from_the_registries():
    assert TEXTS["docs/checkpoints.md"] == checkpoints_page()
    assert all(family.title in TEXTS["docs/checkpoints.md"] for family in FAMILIES.values())


def test_the_layouts_page_is_made_from_the_registry():
    assert TEXTS["docs/layouts.md"] == layouts_page()


@pytest.mark.parametrize(("what", "text"), LABELS)
def test_examples_of_dataset_json_can_be_opened(tmp_path, what, text):
    body = {"occluded_body_images": ["001_01.png"], "whole_body_images": ["001_02.png"]}
    market = {"query": ["0001_c1_f1.png"], "bounding_box_test": ["0001_c2_f1.png"] * 5}
    own = {"seen": ["0001_c0_f1.png"], "day": ["0001_c1_f1.png"], "night": ["0001_c2_f1.png"]}
    lay_out(tmp_path, own if "folders" in text else body if "layout" in text else market)
    (tmp_path / "dataset.json").write_text(text)
    dataset, label = open_dataset(tmp_path), json.loads(text)
    assert label.get("title", tmp_path.name) == dataset.name
    assert label.get("protocol", dataset.protocol) == dataset.protocol
    assert label.get("cameras", dataset.cameras) == dataset.cameras
    assert label.get("layout", dataset.layout) == dataset.layout


def test_a_page_that_links_to_nothing_is_named(site, tmp_path, monkeypatch):
    (tmp_path / "page.md").write_text("[here](nowhere.md)")
    monkeypatch.setattr(site, "ROOT", tmp_path)
    monkeypatch.setattr(site, "PAGES", {"page": ("Page", "page.md")})
    with pytest.raises(site.BrokenLinkError, match=r"page\.md links to nowhere\.md, which does not exist"):
        site.build(tmp_path / "out")

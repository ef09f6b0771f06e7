"""Hostile names of files, people and datasets are shown as text on every page and in every exported file."""

import json
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from google.protobuf.json_format import MessageToDict

from fpc_core.cli import main
from fpc_core.config import QuerySettings
from fpc_core.figures.recipe import FigureKind, FigureRecipe
from fpc_core.figures.render import latex, render_png
from fpc_core.workspace import open_workspace
from tests.support.apptest import PAGES, open_page, run_page, texts
from tests.support.hostile_workspace import COLOUR, IMAGE, LIVE, NAMES, build_hostile_world

VISITED = sorted(path.name for path in PAGES.glob("*.py") if path.name not in ("__init__.py", "data_public.py"))
# Fields that the browser does not show, or shows as plain text: values, code, data, addresses, keys and options of
# lists. Options of pills and segmented controls are not among them, because they may be Markdown.
TEXT = frozenset(
    [
        "alt",
        "arrowData",
        "codeText",
        "columns",
        "componentName",
        "data",
        "default",
        "elementId",
        "id",
        "json",
        "language",
        "MultiSelect.options",
        "Selectbox.options",
        "queryParamKey",
        "rawValue",
        "rawValues",
        "spec",
        "stringValue",
        "type",
        "url",
        "value",
        "valueStr",
    ]
)


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    return build_hostile_world(tmp_path_factory.mktemp("hostile"))


@pytest.fixture
def in_use(places, monkeypatch, tmp_path):
    for name in ("data", "weights", "memory"):
        monkeypatch.setenv(f"FPC_{name.upper()}", str(getattr(places, name)))
    monkeypatch.setenv("FPC_CACHE", str(tmp_path))
    monkeypatch.setenv("FPC_ROOTS", str(places.data.parent))


def markdown(block):
    """Yield every string of a page that the browser may render as Markdown, with the path of its field."""
    for child in block.children.values():
        proto = getattr(child, "proto", None)
        if proto is not None and type(proto).__name__ not in ("BidiComponent", "PlotlyChart", "Code", "Arrow"):
            yield from _strings(MessageToDict(proto), type(proto).__name__)
        if hasattr(child, "children"):
            yield from markdown(child)


def _strings(value, path):
    if isinstance(value, dict):
        for key, each in value.items():
            if TEXT.isdisjoint((key, f"{path}.{key}")):
                yield from _strings(each, f"{path}.{key}")
    elif isinstance(value, list):
        for each in value:
            yield from _strings(each, path)
    elif isinstance(value, str):
        yield path, value


@pytest.mark.parametrize("name", VISITED)
def test_no_page_renders_a_name_as_markup(in_use, name):
    page = run_page(open_page(PAGES / name))
    page_texts = [each for block in page._tree.children.values() for each in markdown(block)]
    assert [(where, text) for where, text in page_texts if LIVE.search(text)] == []
    assert "onerror" in texts(page)  # The page shows the name as text.


def test_presenter_and_figure_of_one_query_escape_names(in_use):
    lesson, figure = open_page(PAGES / "learn.py"), open_page(PAGES / "figures.py")
    lesson.query_params["present"] = "1"
    figure.session_state["kind"] = FigureKind.TRANSPORT
    for page, expected in ((lesson, "weights "), (figure, "This figure shows only the first query: ")):
        run_page(page)
        page_texts = [text for block in page._tree.children.values() for _, text in markdown(block)]
        assert any(expected in text and "onerror" in text for text in page_texts)
        assert not [text for text in page_texts if LIVE.search(text)]


def test_a_name_in_a_message_is_text(in_use):
    page = open_page(PAGES / "explore.py")
    page.query_params["query"] = IMAGE
    run_page(page)
    page.file_uploader[0].set_value((f"{IMAGE} {COLOUR}.png", b"no image", "image/png"))
    run_page(page)
    for each in page.warning:
        assert not LIVE.search(each.value)
    assert "onerror" in page.warning[0].value


def test_a_scene_with_a_hostile_name_is_refused_as_text(in_use):
    page = run_page(open_page(PAGES / "lab.py"))
    page.file_uploader(key="lab-recipe").set_value((f"{IMAGE}.json", b'{"format": 99}', "application/json"))
    run_page(page)
    assert any("onerror" in each.value for each in page.warning)
    assert not any(LIVE.search(each.value) for each in page.warning)


def test_reports_and_lessons_show_names_as_text(places, tmp_path):
    where = [f"--{name}={getattr(places, name)}" for name in ("data", "weights", "memory")]
    query = next(iter(sorted((places.data / "query").iterdir()))).relative_to(places.data)
    report, lesson = tmp_path / "report.html", tmp_path / "lesson.html"
    assert main(["explain", "--out", str(report), "--queries", "2", *where]) == 0
    assert main(["lesson", "--query", query.as_posix(), "--out", str(lesson), *where]) == 0
    for path in (report, lesson):
        page = path.read_text(encoding="utf-8")
        assert "onerror" in page
        assert "<img src=x" not in page
        assert not re.search(r"<a [^>]*javascript:", page)
    tree = ElementTree.fromstring(report.read_text(encoding="utf-8").split("\n", 1)[1])
    assert not [each for each in tree.iter() if any(key.startswith("on") for key in each.attrib)]


def test_a_dataset_named_like_a_command_is_escaped_in_latex(places):
    workspace = open_workspace(places, "cpu")
    named = replace(workspace, dataset=replace(workspace.dataset, name=r"\input{/etc/passwd} 100% & _x_ $\LaTeX$"))
    recipe = FigureRecipe(FigureKind.DROP_PROCESS, (workspace.dataset.query[0].path.as_posix(),), QuerySettings())
    caption = latex(recipe, named, "figure")
    assert r"\input{" not in caption
    assert r"100\% \& \_x\_ \$" in caption
    assert r"$\gamma = " in caption


@pytest.mark.parametrize("kind", [FigureKind.RANKED_LIST, FigureKind.DROP_PROCESS])
def test_a_figure_draws_hostile_names_as_text(places, kind):
    workspace = open_workspace(places, "cpu")
    queries = tuple(record.path.as_posix() for record in workspace.dataset.query[:3])
    recipe = FigureRecipe(kind, queries, QuerySettings(shortlist=20))
    assert json.loads(recipe.to_json())["queries"] == list(queries)
    assert render_png(recipe, workspace, 60).startswith(b"\x89PNG")


def test_every_hostile_name_is_a_valid_file_name(places):
    names = " ".join(path.name for path in Path(places.data / "query").iterdir())
    assert all(name in names for name in NAMES)

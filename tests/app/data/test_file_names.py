"""File names and texts that are not valid Unicode are escaped, or skipped and counted; no page breaks on them."""

import json
import os
import shutil
import sys

import pytest

from app.messages import escape_markdown
from app.server.cache import FILE_INFO, WORKSPACES
from fpc_core.config import QuerySettings
from fpc_core.data.datasets import DatasetError, open_dataset
from fpc_core.figures.recipe import FigureKind, FigureRecipe
from fpc_core.io.bounded_files import escape_name, is_text
from fpc_core.io.dataclass_json import RecipeError
from fpc_core.workspace import Places
from fpc_core.workspace.allowed_roots import Root, discover, named_roots
from tests.support.apptest import PAGES, open_page, run_page, texts
from tests.support.small_workspace import paint

LATIN = b"caf\xe9"  # "café" in Latin-1, as in old archives.
ODD = os.fsdecode(LATIN)
pytestmark = pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="all file names are valid Unicode")


@pytest.fixture
def house(small_places, tmp_path, monkeypatch):
    """Create a root with the small workspace and one invalid name of every kind, and return its folder."""
    house = tmp_path / "house"
    shutil.copytree(small_places.data, house / "street")
    shutil.copy(small_places.weights, house / "model.safetensors")
    shutil.copytree(small_places.memory, house / "memory")
    image = paint(1, 1)
    image.save(house / "street" / "query" / f"0001_c1_f0000009_{ODD}.png")
    image.save(house / "street" / "bounding_box_test" / f"0001_c2_f0000009_{ODD}.png")
    for folder in (house / ODD, house / ODD / "inner"):
        folder.mkdir()
        image.save(folder / "1.png")
    (house / f"{ODD}.pth").write_bytes(b"")
    monkeypatch.setenv("FPC_DATA", str(small_places.data))
    monkeypatch.setenv("FPC_WEIGHTS", str(small_places.weights))
    monkeypatch.setenv("FPC_MEMORY", str(small_places.memory))
    monkeypatch.setenv("FPC_ROOTS", str(house))
    FILE_INFO.clear()
    WORKSPACES.clear()
    return house


def visited(name, **params):
    """Open a page with data, weights and gallery memory of the root, and return it.

    Args:
        name: Name of the page.
        params: More query parameters.
    """
    page = open_page(PAGES / f"{name}.py")
    page.query_params.update(
        {"data": "house/street", "weights": "house/model.safetensors", "memory": "house/memory", **params}
    )
    return run_page(page)


def test_invalid_names_are_escaped_by_byte_and_valid_ones_kept():
    assert not is_text(ODD)
    assert escape_name(ODD) == r"caf\xe9"
    assert escape_name("a\ud800b") == r"a\ud800b"
    assert is_text("café 東京 😀")
    assert escape_name("café 東京 😀") == "café 東京 😀"
    assert escape_markdown(f"no {ODD}").encode()  # It does not fail, so the text can be sent.


def test_invalid_names_are_counted_but_not_offered(house):
    discovered = discover((Root("house", house),))
    assert discovered.skipped == 2
    assert discovered.datasets == ("house/street",)
    assert discovered.checkpoints == ("house/model.safetensors",)


def test_images_with_invalid_names_are_skipped_and_listed(house):
    dataset = open_dataset(house / "street")
    assert (len(dataset.query), len(dataset.gallery)) == (8, 32)
    assert [path.as_posix() for path in dataset.skipped] == [
        r"bounding_box_test/0001_c2_f0000009_caf\xe9.png",
        r"query/0001_c1_f0000009_caf\xe9.png",
    ]


def test_folders_with_invalid_names_are_skipped_and_listed(tmp_path):
    for name in ("anna", ODD):
        (tmp_path / name).mkdir()
        paint(1, 1).save(tmp_path / name / "1.png")
    dataset = open_dataset(tmp_path)
    assert [record.path.as_posix() for record in dataset.gallery] == ["anna/1.png"]
    assert [path.as_posix() for path in dataset.skipped] == [r"caf\xe9"]


def test_the_data_page_shows_what_it_skipped(house):
    page = run_page(open_page(PAGES / "data.py"))
    assert "2 names are not listed (invalid UTF-8)" in texts(page)
    shown = texts(visited("data"))
    assert "**2** files skipped: the name is not valid UTF-8" in shown


@pytest.mark.parametrize("name", ["explore", "lab", "figures", "learn", "sweep", "evaluate", "atlas", "compare"])
def test_every_page_shows_data_with_invalid_names(house, name):
    page = visited(name)
    assert not page.error


def test_a_root_with_an_invalid_name_is_offered_escaped(house, monkeypatch):
    root = house / ODD
    (house / ODD / "inner").rename(house / ODD / "set")
    monkeypatch.setenv("FPC_ROOTS", str(root))
    FILE_INFO.clear()
    assert [each.label for each in named_roots(Places().data)] == ["demo", r"caf\xe9"]
    page = run_page(open_page(PAGES / "data.py"))
    assert any(r"caf\xe9" in option for option in page.selectbox(key="draft-data").options)


def test_a_startup_path_with_an_invalid_name_is_shown_escaped(house, monkeypatch):
    monkeypatch.setenv("FPC_DATA", str(house / ODD))
    for name in ("data", "explore"):
        run_page(open_page(PAGES / f"{name}.py"))


@pytest.mark.parametrize("field", ["name", "note"])
def test_a_label_with_a_lone_surrogate_is_shown_escaped(house, field):
    label = {"name": "Street", "note": "", field: "half \ud83d of a smile"}
    (house / "street" / "dataset.json").write_text(json.dumps(label))
    assert getattr(open_dataset(house / "street"), field) == r"half \ud83d of a smile"
    for name in ("data", "explore"):
        assert not visited(name).error


def test_an_opening_query_with_a_lone_surrogate_is_refused(house):
    (house / "street" / "dataset.json").write_text(json.dumps({"opening": "\ud83d.png"}))
    with pytest.raises(DatasetError, match=r"opening in dataset.json is \\ud83d\.png, which is not a query") as refused:
        open_dataset(house / "street")
    assert str(refused.value).encode()
    visited("data")


@pytest.mark.parametrize("where", ["query", "gallery", "unknown field"])
def test_a_recipe_with_a_lone_surrogate_is_refused(where):
    recipe = FigureRecipe(FigureKind.RANKED_LIST, ("query/a.png",), settings=QuerySettings())
    content = json.loads(recipe.to_json())
    if where == "query":
        content["queries"] = ["query/\ud83d.png"]
    else:
        content["gallery" if where == "gallery" else "\ud83d"] = "\ud83d"
    with pytest.raises(RecipeError, match=r"ud83d.*, which is not valid text; correct it") as refused:
        FigureRecipe.from_json(json.dumps(content))
    assert str(refused.value).encode()

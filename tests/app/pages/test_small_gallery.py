"""Galleries smaller than the controls' ranges: every page works, and K is limited to the gallery's size."""

import pytest

from tests.support.apptest import PAGES, open_page, run_page, sent_to, texts
from tests.support.small_workspace import build_world

NAMES = sorted(path.stem for path in PAGES.glob("[a-z]*.py"))


@pytest.fixture(scope="module", params=[(2, (1, 2, 3, 4)), (1, (2,))], ids=["8 images", "1 image"])
def world(request, tmp_path_factory):
    identities, cameras = request.param
    return build_world(tmp_path_factory.mktemp("gallery"), identities, cameras), identities * len(cameras)


@pytest.fixture
def images(world, monkeypatch, tmp_path):
    """Start the app with the small gallery, and return its number of images."""
    places, count = world
    for name in ("data", "weights", "memory"):
        monkeypatch.setenv(f"FPC_{name.upper()}", str(getattr(places, name)))
    monkeypatch.setenv("FPC_CACHE", str(tmp_path))
    return count


@pytest.mark.parametrize("name", NAMES)
def test_every_page_works(images, name):
    page = run_page(open_page(PAGES / f"{name}.py"))
    assert not page.error


def test_k_is_limited_by_a_small_gallery(images):
    page = open_page(PAGES / "explore.py")
    page.query_params["k"] = "20"
    run_page(page)
    (slider,) = [each for each in sent_to(page, "live_sliders")[0]["sliders"] if each["name"] == "k"]
    assert (slider["high"], slider["value"]) == (images, images)
    assert sent_to(page, "ranking")[0]["answer"]["k"] == images


def test_every_preset_of_the_comparison_can_be_chosen(images):
    page = run_page(open_page(PAGES / "compare.py"))
    for preset in page.pills(key="preset").options:
        page.pills(key="preset").set_value(preset)
        assert f"K {images} ·" in texts(run_page(page))

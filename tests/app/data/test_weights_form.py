"""The Data page shows what it read from weights, offers fields for unknown settings, and skips broken images."""

import shutil

import pytest
import torch

from app.server.cache import FILE_INFO
from app.session.workspace_choice import WorkspaceChoice, read_choice
from fpc_core.workspace import Places, default_memory_folder
from tests.support.apptest import PAGES, open_page, run_page, run_until, texts
from tests.support.transreid import transreid_weights


@pytest.fixture
def house(small_world_in_use, small_places, monkeypatch, tmp_path):
    house = tmp_path / "house"
    shutil.copytree(small_places.data, house / "street")
    torch.save(transreid_weights(18 * 9), house / "large.pth")
    monkeypatch.setenv("FPC_ROOTS", str(house))
    monkeypatch.setenv("FPC_CACHE", str(tmp_path / "cache"))
    FILE_INFO.clear()
    return house


@pytest.fixture
def data(house):
    page = open_page(PAGES / "data.py")
    page.query_params["data"] = "house/street"
    return page


def plain(page):
    return texts(page).replace("\\", "")


def test_the_page_offers_a_field_for_the_image_size_and_uses_it(data):
    data.query_params["weights"] = "house/large.pth"
    assert "the 162 position embeddings fit 288x144 at stride 16, 256x128 at stride 14" in plain(run_page(data))
    data.selectbox(key="draft-size").set_value("288x144")
    run_page(data)
    assert "assumed: image size 288x144 and stride 16" in plain(data)
    assert data.query_params["size"] == "288x144"
    table = data.table[1].value.set_index("what")["is"]
    assert table["family"] == "TransReID"
    assert table["image size"] == "288 x 144 pixels"
    assert table["stride"] == "16 pixels, 18 x 9 = 162 patches"
    assert (table["heads"], table["cameras"], table["patch size"]) == ("3", "6", "16 pixels")
    assert "rec_bottleneck is untrained and the decoder is a copy" in plain(data)


def test_an_invalid_image_size_is_reported(data):
    data.query_params["weights"] = "house/large.pth"
    data.session_state["draft-size"] = "large"  # AppTest can choose from a list only after the page has run.
    assert "an image size must be HEIGHTxWIDTH in pixels, up to 4096, such as 256x128, got 'large'" in plain(
        run_page(data)
    )


def test_stated_settings_are_in_the_link(data):
    choice = WorkspaceChoice(weights="house/large.pth", image_size="288x144", stride=14, heads=6, mean_camera=True)
    assert choice.to_params() == {
        "weights": "house/large.pth",
        "size": "288x144",
        "stride": "14",
        "heads": "6",
        "meancamera": "True",
    }
    assert read_choice(choice.to_params()) == (choice, ())


def test_invalid_settings_of_a_link_are_reported():
    choice, problems = read_choice({"size": "9999x1", "heads": "0", "meancamera": "perhaps"})
    assert choice == WorkspaceChoice()
    assert ["image size" in problems[0], "heads" in problems[1], "meancamera" in problems[2]] == [True] * 3


def test_memories_of_other_settings_are_in_other_folders(tmp_path):
    places = [Places(), Places(heads=6), Places(image_size=(288, 144)), Places(mean_camera=True), Places(stride=12)]
    assert len({default_memory_folder(each) for each in places}) == len(places)


def test_a_build_continues_without_images_that_cannot_be_read(data, house):
    broken = "bounding_box_test/0003_c2_f0000001.png"
    (house / "street" / broken).write_bytes(b"")
    run_page(data).button(key="build").click()
    run_until(data, lambda now: "Building stopped" in texts(now))
    assert f"{broken} is empty" in plain(data)
    data.button(key="build-readable").click()
    run_until(data, lambda now: now.success)
    assert "31 images" in data.success[0].value
    assert data.expander[-1].label == "Images left out of the gallery memory (1)"
    data.button(key="use").click()
    run_page(data)
    page = open_page(PAGES / "sweep.py")
    page.query_params["data"] = "house/street"
    assert f"1 image that could not be read is left out: {broken}" in plain(run_page(page))


def test_untrained_parts_are_named_on_the_pages_with_scores(data, house):
    torch.save(transreid_weights(), house / "reid.pth")
    data.query_params["weights"] = "house/reid.pth"
    run_page(data).button(key="build").click()
    run_until(data, lambda now: now.success)
    for name in ("sweep.py", "evaluate.py", "explore.py"):
        page = open_page(PAGES / name)
        page.query_params.update({"data": "house/street", "weights": "house/reid.pth"})
        assert "rec_bottleneck is untrained and the decoder is a copy of the last block" in plain(run_page(page))

"""The inventory counts images, identities, cameras, junk and unreadable files of a dataset."""

from pathlib import Path

import pytest

from fpc_core.data.datasets import open_dataset
from fpc_core.data.inventory import BrokenImage, SplitCount, decode_all, images_of, take_inventory
from tests.support.small_workspace import paint

MARKET = {
    "bounding_box_train": ["0007_c3s3_077419_03.png", "0007_c4s3_077419_03.png"],
    "query": ["0001_c1s1_001051_00.png", "0002_c6s4_000001_00.png", "0003_c2s1_000001_00.png"],
    "bounding_box_test": [
        "-1_c1s1_000401_03.png",
        "0000_c2s1_000151_01.png",
        "0000_c2s1_000151_02.png",
        "0001_c1s1_001051_02.png",
        "0001_c5s1_001051_02.png",
        "0002_c6s1_001051_02.png",
        "0009_c6s1_001051_02.png",
        "holiday.png",
    ],
}


@pytest.fixture
def market(tmp_path):
    for folder, names in MARKET.items():
        (tmp_path / folder).mkdir()
        for name in names:
            paint(1, 1).save(tmp_path / folder / name)
    return tmp_path


def test_every_image_is_counted_once(market):
    inventory = take_inventory(open_dataset(market))
    assert inventory.splits == (
        SplitCount("train", 2, 1, (3, 4)),
        SplitCount("query", 3, 3, (1, 2, 6)),
        SplitCount("gallery", 6, 4, (1, 2, 5, 6)),
    )
    assert inventory.distractors == 2
    assert inventory.without_query == 1  # Identity 9 is only in the gallery.
    assert inventory.left_out == 1  # The image of identity -1 is left out.
    assert inventory.junk == 2  # Identity 1 in camera 1 and identity 2 in camera 6 are junk.
    assert inventory.skipped == (Path("bounding_box_test/holiday.png"),)


def test_a_query_without_a_match_from_another_camera_is_unanswered(market):
    inventory = take_inventory(open_dataset(market))
    assert [path.name for path in inventory.without_match] == ["0002_c6s4_000001_00.png", "0003_c2s1_000001_00.png"]


def test_without_cameras_no_image_is_junk_and_identity_0_is_a_person(tmp_path):
    for name in ("query/anna/1.png", "query/bert/1.png", "gallery/anna/2.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        paint(1, 1).save(tmp_path / name)
    inventory = take_inventory(open_dataset(tmp_path))
    assert inventory.splits[1] == SplitCount("query", 2, 2, ())
    assert (inventory.distractors, inventory.without_query, inventory.junk) == (0, 0, 0)
    assert inventory.without_match == (Path("query/bert/1.png"),)


def test_broken_images_are_reported_with_the_reason(market):
    (market / "query" / "0001_c1s1_001051_00.png").write_bytes(b"")
    cut = market / "bounding_box_test" / "0009_c6s1_001051_02.png"
    cut.write_bytes(cut.read_bytes()[:300])
    dataset = open_dataset(market)
    results = list(decode_all(dataset))
    assert len(results) == 11
    broken = [each for each in results if each]
    assert broken[0] == BrokenImage(
        Path("query/0001_c1s1_001051_00.png"), "the file is empty; export or download it again"
    )
    assert [each.path.name for each in broken] == ["0001_c1s1_001051_00.png", cut.name]
    assert "damaged" in broken[1].why


def test_an_image_that_is_query_and_gallery_is_decoded_once(tmp_path):
    for name in ("1.png", "2.png"):
        paint(1, 1).save(tmp_path / name)
    dataset = open_dataset(tmp_path)
    assert dataset.queries_are_gallery
    assert len(images_of(dataset)) == len(list(decode_all(dataset))) == 2

"""Datasets: the published layouts, and the errors for other folders."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fpc_core.data.dataset_json import Example
from fpc_core.data.datasets import Dataset, DatasetError, ImageRecord, Layout, open_dataset
from fpc_core.data.images import ImageError

MARKET = {
    "bounding_box_train": ["0002_c1s1_000451_03.jpg", "0007_c3s3_077419_03.jpg", "Thumbs.db"],
    "query": ["0001_c1s1_001051_00.jpg", "0003_c6s4_000001_00.jpg"],
    "bounding_box_test": ["-1_c1s1_000401_03.jpg", "0000_c2s1_000151_01.jpg", "0001_c6s1_001051_02.jpg"],
}
DUKE = {
    "bounding_box_train": ["0001_c2_f0046182.jpg"],
    "query": ["0005_c2_f0046985.jpg", "0005_c8_f0051341.jpg"],
    "bounding_box_test": ["0005_c5_f0055000.jpg", "7139_c3_f0100000.jpg"],
}
OCCLUDED_REID = {
    "occluded_body_images/001": ["001_01.tif", "001_02.tif"],
    "occluded_body_images/002": ["002_01.tif"],
    "whole_body_images/001": ["001_01.tif"],
    "whole_body_images/002": ["002_01.tif"],
}
PARTIAL_REID = {
    "occluded_body_images": ["001_001.jpg"],
    "partial_body_images": ["001_001.jpg", "060_005.jpg"],
    "whole_body_images": ["001_001.jpg", "060_001.jpg"],
}


def lay_out(root: Path, folders: dict[str, list[str]]) -> Path:
    for folder, names in folders.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        for name in names:
            (root / folder / name).touch()
    return root


def triples(records: Iterable[ImageRecord]) -> list[tuple[str, int, int]]:
    return [(record.path.as_posix(), record.identity, record.camera) for record in records]


def test_market_drops_junk_and_keeps_distractors(tmp_path: Path) -> None:
    dataset = open_dataset(lay_out(tmp_path / "Market-1501-v15.09.15", MARKET))
    assert (dataset.layout, dataset.name, dataset.uses_cameras) == (Layout.MARKET_1501, "Market-1501", True)
    assert triples(dataset.train) == [
        ("bounding_box_train/0002_c1s1_000451_03.jpg", 2, 0),
        ("bounding_box_train/0007_c3s3_077419_03.jpg", 7, 2),
    ]
    assert triples(dataset.query) == [("query/0001_c1s1_001051_00.jpg", 1, 0), ("query/0003_c6s4_000001_00.jpg", 3, 5)]
    assert triples(dataset.gallery) == [
        ("bounding_box_test/0000_c2s1_000151_01.jpg", 0, 1),
        ("bounding_box_test/0001_c6s1_001051_02.jpg", 1, 5),
    ]
    assert {record.split for record in dataset.gallery} == {"gallery"}
    assert dataset.skipped == ()
    assert not dataset.queries_are_gallery


def test_duke_is_read(tmp_path: Path) -> None:
    dataset = open_dataset(lay_out(tmp_path / "DukeMTMC-reID", DUKE))
    assert (dataset.layout, dataset.name) == (Layout.DUKE, "DukeMTMC-reID")
    assert triples(dataset.gallery)[1] == ("bounding_box_test/7139_c3_f0100000.jpg", 7139, 2)


def test_occluded_duke_is_recognised_by_its_folder_or_label(tmp_path: Path) -> None:
    named = open_dataset(lay_out(tmp_path / "Occluded_Duke", DUKE))
    assert (named.layout, named.name) == (Layout.OCCLUDED_DUKE, "Occluded-Duke")
    other = lay_out(tmp_path / "other", DUKE)
    (other / "dataset.json").write_text('{"layout": "occluded_duke"}')
    labelled = open_dataset(other)
    assert labelled.layout is Layout.OCCLUDED_DUKE
    assert labelled.gallery == named.gallery


def test_a_dataset_without_training_images_is_read(tmp_path: Path) -> None:
    dataset = open_dataset(lay_out(tmp_path, {name: DUKE[name] for name in ("query", "bounding_box_test")}))
    assert dataset.train == ()
    assert len(dataset.query) == 2


def test_occluded_reid_has_no_cameras(tmp_path: Path) -> None:
    dataset = open_dataset(lay_out(tmp_path / "Occluded_REID", OCCLUDED_REID))
    assert (dataset.layout, dataset.name, dataset.uses_cameras) == (Layout.OCCLUDED_REID, "Occluded-ReID", False)
    assert triples(dataset.query) == [
        ("occluded_body_images/001/001_01.tif", 1, -1),
        ("occluded_body_images/001/001_02.tif", 1, -1),
        ("occluded_body_images/002/002_01.tif", 2, -1),
    ]
    assert [record.identity for record in dataset.gallery] == [1, 2]


def test_partial_reid_queries_the_cropped_images(tmp_path: Path) -> None:
    dataset = open_dataset(lay_out(tmp_path, PARTIAL_REID))
    assert (dataset.layout, dataset.name, dataset.uses_cameras) == (Layout.PARTIAL_REID, "Partial-ReID", False)
    assert triples(dataset.query) == [
        ("partial_body_images/001_001.jpg", 1, -1),
        ("partial_body_images/060_005.jpg", 60, -1),
    ]


def test_partial_reid_without_cropped_images_queries_the_occluded(tmp_path: Path) -> None:
    folders = {name: PARTIAL_REID[name] for name in ("occluded_body_images", "whole_body_images")}
    dataset = open_dataset(lay_out(tmp_path / "Partial_REID", folders))
    assert dataset.layout is Layout.PARTIAL_REID
    assert triples(dataset.query) == [("occluded_body_images/001_001.jpg", 1, -1)]


def test_a_dataset_in_a_sub_folder_is_found(tmp_path: Path) -> None:
    lay_out(tmp_path / "Market-1501-v15.09.15", MARKET)
    dataset = open_dataset(tmp_path)
    assert dataset.root == tmp_path / "Market-1501-v15.09.15"
    assert (dataset.root / dataset.gallery[0].path).is_file()


def test_several_datasets_in_sub_folders_need_a_choice(tmp_path: Path) -> None:
    lay_out(tmp_path / "market", MARKET)
    lay_out(tmp_path / "duke", DUKE)
    with pytest.raises(DatasetError, match="contains several datasets; choose one of duke, market"):
        open_dataset(tmp_path)


def test_a_plain_folder_has_an_identity_per_sub_folder_and_other_image(tmp_path: Path) -> None:
    lay_out(tmp_path, {"anna": ["b.jpg", "a.png"], "bert": ["a.webp", "notes.txt"], ".": ["a.jpg", "z.jpeg", ".x.jpg"]})
    dataset = open_dataset(tmp_path)
    assert (dataset.layout, dataset.name, dataset.uses_cameras) == (Layout.FOLDER, tmp_path.name, False)
    assert triples(dataset.gallery) == [
        ("a.jpg", 2, -1),
        ("anna/a.png", 0, -1),
        ("anna/b.jpg", 0, -1),
        ("bert/a.webp", 1, -1),
        ("z.jpeg", 3, -1),
    ]
    assert triples(dataset.query) == triples(dataset.gallery)
    assert dataset.queries_are_gallery


def test_a_plain_folder_may_be_split(tmp_path: Path) -> None:
    lay_out(
        tmp_path, {"query/bert": ["q.jpg"], "gallery/anna": ["a.jpg"], "gallery/bert": ["b.jpg"], "gallery": ["q.jpg"]}
    )
    dataset = open_dataset(tmp_path)
    assert triples(dataset.query) == [("query/bert/q.jpg", 1, -1)]
    assert triples(dataset.gallery) == [
        ("gallery/anna/a.jpg", 0, -1),
        ("gallery/bert/b.jpg", 1, -1),
        ("gallery/q.jpg", 2, -1),
    ]
    assert not dataset.queries_are_gallery


def test_any_folder_can_be_read_as_plain(tmp_path: Path) -> None:
    (lay_out(tmp_path, MARKET) / "dataset.json").write_text('{"layout": "folder"}')
    dataset = open_dataset(tmp_path)
    assert dataset.layout is Layout.FOLDER
    assert len(dataset.gallery) == 7


def test_names_that_do_not_follow_the_layout_are_listed(tmp_path: Path) -> None:
    lay_out(tmp_path, DUKE)
    lay_out(tmp_path, {"query": ["holiday.jpg", "0001_c0_f1.jpg", "-2_c1_f1.jpg"]})
    dataset = open_dataset(tmp_path)
    assert len(dataset.query) == 2
    assert [path.as_posix() for path in dataset.skipped] == [
        "query/-2_c1_f1.jpg",
        "query/0001_c0_f1.jpg",
        "query/holiday.jpg",
    ]


def test_a_split_without_a_valid_name_is_an_error(tmp_path: Path) -> None:
    lay_out(tmp_path, {"query": ["holiday.jpg"], "bounding_box_test": DUKE["bounding_box_test"]})
    with pytest.raises(
        DatasetError, match=r"no query images in .* 1 names could not be parsed, such as query.holiday\.jpg"
    ):
        open_dataset(tmp_path)


def test_a_missing_and_an_empty_folder_are_errors(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"the folder .*nowhere does not exist; check the path"):
        open_dataset(tmp_path / "nowhere")
    with pytest.raises(DatasetError, match=r"no query images in .*expected query and bounding_box_test"):
        open_dataset(tmp_path)
    with pytest.raises(DatasetError, match="no gallery images"):
        open_dataset(lay_out(tmp_path, {"query": DUKE["query"], "bounding_box_test": []}))


def test_an_incomplete_dataset_is_not_read_as_a_plain_folder(tmp_path: Path) -> None:
    lay_out(tmp_path, {"bounding_box_test": DUKE["bounding_box_test"]})
    with pytest.raises(DatasetError, match="has bounding_box_test but lacks other folders of that layout"):
        open_dataset(tmp_path)


def test_an_unknown_layout_is_an_error(tmp_path: Path) -> None:
    label = lay_out(tmp_path, DUKE) / "dataset.json"
    label.write_text('{"layout": "cuhk03"}')
    with pytest.raises(DatasetError, match="unknown layout 'cuhk03'; use auto, market1501"):
        open_dataset(tmp_path)
    label.write_text('{"layout": "occluded_reid"}')
    with pytest.raises(DatasetError, match=r"no query images in .* \(occluded_reid layout\)"):
        open_dataset(tmp_path)


def test_the_label_can_set_the_initial_number_of_neighbours(tmp_path: Path) -> None:
    more = [f"0009_c{camera}_f0000001.jpg" for camera in range(1, 9)]
    lay_out(tmp_path, DUKE | {"bounding_box_test": [*DUKE["bounding_box_test"], *more]})
    images = len(open_dataset(tmp_path).gallery)
    for label, begins in (("{}", min(10, images)), ('{"neighbors": 4}', 4), ('{"neighbors": 100}', images)):
        (tmp_path / "dataset.json").write_text(label)
        assert open_dataset(tmp_path).neighbors == begins
    (tmp_path / "dataset.json").write_text('{"neighbors": 0}')
    with pytest.raises(DatasetError, match=r"neighbors in dataset.json must be a whole number in 1\.\.100, got 0"):
        open_dataset(tmp_path)


def test_the_label_can_name_examples(tmp_path: Path) -> None:
    query = open_dataset(lay_out(tmp_path, DUKE)).query[0].path.as_posix()
    entry = {"title": "Behind a hedge", "query": query, "story": "The hedge is dropped."}
    (tmp_path / "dataset.json").write_text(json.dumps({"examples": [entry]}))
    assert open_dataset(tmp_path).examples == (Example("Behind a hedge", query, "The hedge is dropped."),)


@pytest.mark.parametrize(
    ("examples", "message"),
    [
        ("hedge", "examples in dataset.json must be a list of at most 12 entries"),
        ([{}] * 13, "must be a list of at most 12 entries"),
        (["hedge"], "example 1 in dataset.json must be an object"),
        ([{"title": 3, "query": "QUERY"}], "example 1 in dataset.json must be an object"),
        ([{"title": "x" * 121, "query": "QUERY"}], "at most 120 characters"),
        ([{"title": "A", "query": "query/none.jpg"}], "example 1 .* has the title 'A' and the query 'query/none.jpg'"),
        ([{"title": "", "query": "QUERY"}], "example 1 .* has the title ''"),
        ([{"title": "A", "query": "QUERY"}] * 2, "two examples in dataset.json have the same title"),
    ],
)
def test_unusable_examples_are_refused_with_the_fix(tmp_path: Path, examples: object, message: str) -> None:
    query = open_dataset(lay_out(tmp_path, DUKE)).query[0].path.as_posix()
    (tmp_path / "dataset.json").write_text(json.dumps({"examples": examples}).replace("QUERY", query))
    with pytest.raises(DatasetError, match=message):
        open_dataset(tmp_path)


def test_the_label_sets_name_and_synthetic_flag(tmp_path: Path) -> None:
    label = {"name": "Demo world", "synthetic": True, "note": "Rendered; no real person."}
    (lay_out(tmp_path, DUKE) / "dataset.json").write_text(json.dumps(label))
    dataset = open_dataset(tmp_path)
    assert (dataset.name, dataset.synthetic, dataset.note) == tuple(label.values())
    assert dataset.label == "Demo world (synthetic)"
    (tmp_path / "dataset.json").write_text("{")
    with pytest.raises(DatasetError, match=r"dataset\.json is not valid JSON"):
        open_dataset(tmp_path)
    (tmp_path / "dataset.json").write_text(json.dumps({"opening": "query/none.jpg"}))
    with pytest.raises(DatasetError, match=r"opening in dataset.json is query/none\.jpg, which is not a query"):
        open_dataset(tmp_path)
    (tmp_path / "dataset.json").write_text(json.dumps({"opening": dataset.query[-1].path.as_posix()}))
    assert dataset.first_query == dataset.query[0].path.as_posix()
    assert open_dataset(tmp_path).first_query == dataset.query[-1].path.as_posix()
    (tmp_path / "dataset.json").write_text("[]")
    with pytest.raises(DatasetError, match=r"dataset\.json must contain an object"):
        open_dataset(tmp_path)


def test_records_are_read_as_pixels(tmp_path: Path) -> None:
    dataset: Dataset = open_dataset(lay_out(tmp_path, DUKE))
    Image.new("RGB", (32, 64), "white").save(tmp_path / dataset.query[0].path)
    np.testing.assert_array_equal(dataset.read(dataset.query[0]), np.full((64, 32, 3), 255, np.uint8))
    with pytest.raises(ImageError, match=r"0005_c8_f0051341\.jpg is empty"):
        dataset.read(dataset.query[1])

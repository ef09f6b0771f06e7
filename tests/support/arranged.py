"""Write a labelled dataset in every registered layout."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fpc_core.data.datasets import Dataset
from fpc_core.data.records import ImageRecord

Namer = Callable[[ImageRecord, int], str]


@dataclass(frozen=True)
class Arrangement:
    """Names of images in one layout.

    Attributes:
        folder: Name of the dataset's folder.
        name: Function from a record and its number within its identity and split to a path in the dataset.
        finish: Function that writes the layout's list files. It receives the dataset's folder and the new path of every
            record.
        one_each: Whether the layout has one query and one gallery image per person.
    """

    folder: str
    name: Namer
    finish: Callable[[Path, Mapping[ImageRecord, str]], None] = lambda root, names: None
    one_each: bool = False


def _street(query: str, gallery: str, suffix: Namer) -> Namer:
    def name(record: ImageRecord, number: int) -> str:
        folder = query if record.split == "query" else gallery
        return f"{folder}/{record.identity:04d}_c{record.camera + 1}{suffix(record, number)}.png"

    return name


def _duke(record: ImageRecord, number: int) -> str:
    return f"_f{number:07d}"


def _body(record: ImageRecord, number: int) -> str:
    part = "occluded" if record.split == "query" else "whole"
    return f"{part}_body_images/{record.identity:03d}/{record.identity:03d}_{number:02d}.png"


def _msmt17(folder: str) -> Namer:
    def name(record: ImageRecord, number: int) -> str:
        person, camera = f"{record.identity:04d}", f"{record.camera + 1:02d}"
        shot = number + 50 * (record.split == "query")
        return f"{folder.format(record.split, person)}/{person}_{shot:03d}_{camera}_0303morning_0008_0.png"

    return name


def _msmt17_lists(root: Path, names: Mapping[ImageRecord, str]) -> None:
    for split in ("query", "gallery"):
        lines = [
            f"{name.removeprefix('test/')} {record.identity}" for record, name in names.items() if record.split == split
        ]
        (root / f"list_{split}.txt").write_text("\n".join(lines))


def _posetrack(record: ImageRecord, number: int) -> str:
    video = 7 + record.camera
    shot = number + 50 * (record.split == "query")
    return f"images/val/{video:06d}/{record.identity}_{video}_{record.camera + 1}{shot:04d}.png"


def _posetrack_lists(root: Path, names: Mapping[ImageRecord, str]) -> None:
    ids = {str(row): 1000 + row for row in range(len(names) + 1)}
    crops = {str(row): name.removeprefix("images/val/") for row, name in enumerate(names.values())}
    splits = {str(row): record.split for row, record in enumerate(names)} | {str(len(names)): "none"}
    (root / "images" / "anns").mkdir()
    text = json.dumps({"id": ids, "reid_crop_path": crops | {str(len(names)): None}})
    (root / "images" / "anns" / "val_reid_crops_anns.json").write_text(text)
    (root / "val_dataset_sampling.json").write_text(json.dumps({"id": ids, "split": splits}))


def _people(record: ImageRecord, number: int) -> str:
    return f"{record.split}/person {record.identity:04d}/{'abcdefghijklmnopqrstuvwxyz'[number % 26]}{number}.png"


ARRANGEMENTS: Mapping[str, Arrangement] = {
    "market1501": Arrangement(
        "Market-1501", _street("query", "bounding_box_test", lambda record, number: f"s1_{number:06d}_00")
    ),
    "dukemtmc": Arrangement("DukeMTMC-reID", _street("query", "bounding_box_test", _duke)),
    "occluded_duke": Arrangement("Occluded_Duke", _street("image_query", "image_test", _duke)),
    "cuhk03_np": Arrangement("cuhk03-np/detected", _street("query", "bounding_box_test", lambda _, n: f"_{n}")),
    "msmt17_merged": Arrangement("MSMT17", _street("Query", "test", lambda _, n: f"_{n:04d}")),
    "msmt17": Arrangement("MSMT17_V1", _msmt17("test/{1}"), _msmt17_lists),
    "msmt17_folders": Arrangement("MSMT17_folders", _msmt17("{0}")),
    "p_dukemtmc": Arrangement(
        "P-DukeMTMC-reID",
        lambda record, number: (
            f"test/{'occluded' if record.split == 'query' else 'whole'}_body_images/{record.identity:04d}/"
            f"{record.identity:04d}_c{record.camera + 1}_f{number:07d}.png"
        ),
    ),
    "occluded_reid": Arrangement("Occluded_REID", _body),
    "partial_reid": Arrangement(
        "PartialREID", lambda record, number: _body(record, number).replace("occluded", "partial")
    ),
    "partial_ilids": Arrangement(
        "Partial_iLIDS",
        lambda record, _: f"{'Probe' if record.split == 'query' else 'Gallery'}/{record.identity:03d}.png",
        one_each=True,
    ),
    "numbered": Arrangement("mine", lambda record, number: f"{record.split}/{record.identity:03d}_{number:02d}.png"),
    "occluded_posetrack": Arrangement("occluded_posetrack_reid", _posetrack, _posetrack_lists),
    "folder": Arrangement("people", _people),
}
"""One arrangement per layout with a split, by the layout's key."""


def arrange(dataset: Dataset, key: str, root: Path) -> tuple[Path, dict[str, ImageRecord]]:
    """Write a dataset in another layout, with hard links to its images.

    Args:
        dataset: Labelled images.
        key: Key of the layout.
        root: Empty folder in which the folder of the new dataset is created.

    Returns:
        Folder of the new dataset, and the original record of every new path.
    """
    arrangement = ARRANGEMENTS[key]
    names: dict[ImageRecord, str] = {}
    numbers: dict[tuple[str, int], int] = defaultdict(int)
    for record in (*dataset.query, *dataset.gallery):
        numbers[record.split, record.identity] += 1
        names[record] = arrangement.name(record, numbers[record.split, record.identity])
    folder = root / arrangement.folder
    assert len(set(names.values())) == len(names)
    for record, name in names.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        os.link(dataset.root / record.path, folder / name)
    arrangement.finish(folder, names)
    return folder, {name: record for record, name in names.items()}


def one_each(records: Sequence[ImageRecord]) -> tuple[ImageRecord, ...]:
    """Return the first record of every identity."""
    return tuple({record.identity: record for record in reversed(records)}.values())[::-1]

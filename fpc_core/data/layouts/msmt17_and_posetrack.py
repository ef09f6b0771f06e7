"""Layouts of MSMT17 with its original file names (lists or folders) and of Occluded-PoseTrack-ReID (JSON).

`market_and_duke` has the MSMT17 that some codebases rearrange and rename.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from fpc_core.data.dataset_json import DatasetError
from fpc_core.data.folder_listing import FolderListing
from fpc_core.data.layouts.spec import BAD_NAME, Folders, LayoutSpec, Reading, entry_of
from fpc_core.data.protocols import Cameras, Protocol
from fpc_core.data.records import LeftOutFile
from fpc_core.io.bounded_files import OutsideRootsError, read_bytes, read_json

MISSING = "a list names the image, but it is missing"
UNLISTED = "no list names the image"
_MAX_LIST = 64 << 20  # Maximum size of a list in bytes.


def read_msmt17(spec: LayoutSpec, root: Path, folders: Folders, listing: FolderListing) -> Reading:
    """Read the lists of MSMT17, in which each line has the path of an image and the number of the person.

    Args:
        spec: Layout of the dataset.
        root: Folder of the dataset.
        folders: Folders of each split; queries and gallery share one.
        listing: Lists images.
    """
    pattern, reading, named = re.compile(spec.name, re.ASCII), Reading(), set()
    for split, (home, *_) in folders.items():
        there = {image.relative_to(home).as_posix() for image in listing.images_below(home, spec.depth)}
        for path, number in _lines(root / f"list_{split}.txt", listing):
            if path not in there:  # This also refuses paths that lead out of the folder.
                reading.left_out.append(LeftOutFile(Path(split) / Path(path).name, MISSING))
                continue
            inside = (home / path).relative_to(root)
            entry = entry_of(pattern, inside, split)
            if entry is None or not number.isdecimal():
                reading.left_out.append(LeftOutFile(inside, BAD_NAME))
            else:
                reading.entries.append(replace(entry, identity=int(number)))
            named.add(inside)
    for home in dict.fromkeys(folders[split][0] for split in ("query", "gallery")):
        images = (image.relative_to(root) for image in listing.images_below(home, spec.depth))
        reading.left_out += [LeftOutFile(image, UNLISTED) for image in images if image not in named]
    return reading


def _lines(path: Path, listing: FolderListing) -> Iterator[tuple[str, str]]:
    try:
        text = read_bytes(path, _MAX_LIST, allowed=listing.allowed).decode("utf-8", "replace")
    except FileNotFoundError:  # Only the lists of queries and gallery are necessary.
        return
    for line in text.splitlines():
        name, _, number = line.strip().rpartition(" ")
        if name:
            yield name.strip(), number


def read_posetrack(spec: LayoutSpec, root: Path, folders: Folders, listing: FolderListing) -> Reading:
    """Read the sampling files of Occluded-PoseTrack-ReID, which assign every crop to a split.

    Args:
        spec: Layout of the dataset.
        root: Folder of the dataset.
        folders: Folders of each split; queries and gallery share one.
        listing: Lists images.

    Raises:
        DatasetError: A list does not have the expected content.
    """
    pattern, reading = re.compile(spec.name, re.ASCII), Reading()
    for part in ("train", "val"):
        home = root / "images" / part
        if not home.is_dir():
            continue
        there = {image.relative_to(home).as_posix() for image in listing.images_below(home, spec.depth)}
        try:
            crops = _table(root / "images" / "anns" / f"{part}_reid_crops_anns.json", "reid_crop_path", listing)
            splits = _table(root / f"{part}_dataset_sampling.json", "split", listing)
        except FileNotFoundError as error:
            if part == "train":  # A download for evaluation may lack the training part.
                continue
            raise DatasetError(f"{error.filename} is missing; download the lists of {spec.title}") from error
        for number, split in splits.items():
            path = crops.get(number)
            if split == "none" or not isinstance(path, str):
                continue
            inside = Path("images") / part / path
            entry = entry_of(pattern, inside, str(split))
            if path not in there:
                reading.left_out.append(LeftOutFile(Path("images") / part / Path(path).name, MISSING))
            elif entry is None or split not in ("train", "query", "gallery"):
                reading.left_out.append(LeftOutFile(inside, BAD_NAME))
            else:
                reading.entries.append(entry)
    reading.entries.sort(key=lambda entry: entry.path)
    return reading


def _table(path: Path, column: str, listing: FolderListing) -> dict[object, object]:
    """Return a column of a table in the JSON format of pandas.

    Args:
        path: Path of the file.
        column: Name of the column.
        listing: Restricts which files may be read.

    Returns:
        The values by the number of the detection, which is the column `id`.

    Raises:
        DatasetError: The file is not such a table.
    """
    try:
        content = read_json(path, max_bytes=_MAX_LIST, allowed=listing.allowed)
    except OutsideRootsError:  # This is also a ValueError.
        raise
    except ValueError as error:
        raise DatasetError(f"{path} cannot be read ({error}); download it again") from error
    ids, values = (content.get(name) if isinstance(content, dict) else None for name in ("id", column))
    if not isinstance(ids, dict) or not isinstance(values, dict):
        raise DatasetError(f"{path} must contain the columns id and {column}; download it again")
    return {number: values[row] for row, number in ids.items() if row in values and not isinstance(number, dict | list)}


_MSMT17_NAME = r"(?P<identity>\d{1,9})_\d+_(?P<camera>\d{1,4})_"

LAYOUTS = (
    LayoutSpec(
        key="msmt17",
        title="MSMT17",
        titled=r"\bmsmt ?17",
        folders={
            "train": ("train", "mask_train_v2"),
            "query": ("test", "mask_test_v2"),
            "gallery": ("test", "mask_test_v2"),
        },
        files=("list_query.txt", "list_gallery.txt"),
        name=_MSMT17_NAME,
        example="0000/0000_000_01_0303morning_0008_0.jpg",
        read=read_msmt17,
        remark="splits from `list_query.txt`, `list_gallery.txt` and `list_train.txt`",
    ),
    LayoutSpec(
        key="msmt17_folders",
        title="MSMT17",
        titled=r"\bmsmt ?17",
        folders={
            "train": ("bounding_box_train", "train"),
            "query": ("query", "image_query"),
            "gallery": ("bounding_box_test", "gallery", "image_test", "test"),
        },
        name=_MSMT17_NAME,
        typical=r"(?P<identity>\d{4})_\d{3}_(?P<camera>\d{2})_\d{4}(morning|noon|afternoon)",
        example="0000_000_01_0303morning_0008_0.jpg",
        remark="sorted into folders, with the original names",
    ),
    LayoutSpec(
        key="occluded_posetrack",
        title="Occluded-PoseTrack-ReID",
        titled=r"\boccluded ?pose ?track|^posetrack ?21$",
        folders={"query": ("images/val",), "gallery": ("images/val",)},
        files=("val_dataset_sampling.json",),
        name=r"(?P<identity>\d{1,9})_\d+_\d+\.",
        example="000342/34201_342_10003420000.jpg",
        cameras=Cameras.NONE,
        protocol=Protocol.NO_CAMERAS,
        read=read_posetrack,
        remark="splits from `val_dataset_sampling.json`; videos are not cameras",
    ),
)

"""Person re-identification datasets as they lie on disk, read into records.

| layout | folders | names |
|---|---|---|
| Market-1501 | bounding_box_train, query, bounding_box_test | `0002_c1s1_000451_03.jpg` |
| DukeMTMC-reID, Occluded-Duke | the same | `0001_c2_f0046182.jpg` |
| Occluded-ReID | occluded_body_images, whole_body_images | `001/001_01.tif` |
| Partial-ReID | partial_body_images (or occluded_body_images), whole_body_images | `001_001.jpg` |
| plain folder | any; optionally query and gallery | any; a sub-folder is one identity |

Records stand in the order of their sorted names, as in the released code. A file `dataset.json` in the root may carry
`name`, `synthetic` and `note`, which label the dataset wherever it is shown, `layout`, and `opening`, the path of the
query that a first visit opens with. `neighbors` is the K to begin with where a person has few gallery images.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import numpy as np

from fpc_core.config import QuerySettings
from fpc_core.data.images import SUFFIXES, decode_image
from fpc_core.io.bounded_files import (
    OutsideRootsError,
    UnusableFileError,
    check_inside,
    escape_name,
    is_text,
    read_json,
)

NO_CAMERA = -1


class DatasetError(ValueError):
    """A dataset cannot be opened; the message names the folder and what was looked for."""


class Layout(StrEnum):
    """What `open_dataset` can read."""

    MARKET_1501 = "market1501"
    DUKE = "dukemtmc"
    OCCLUDED_DUKE = "occluded_duke"
    OCCLUDED_REID = "occluded_reid"
    PARTIAL_REID = "partial_reid"
    FOLDER = "folder"


_TITLES = {
    Layout.MARKET_1501: "Market-1501",
    Layout.DUKE: "DukeMTMC-reID",
    Layout.OCCLUDED_DUKE: "Occluded-Duke",
    Layout.OCCLUDED_REID: "Occluded-ReID",
    Layout.PARTIAL_REID: "Partial-ReID",
}
_LOOKED_FOR = (
    "query and bounding_box_test (Market-1501, DukeMTMC-reID, Occluded-Duke), whole_body_images with "
    "occluded_body_images or partial_body_images (Occluded-ReID, Partial-ReID), or images, there or in sub-folders"
)
LAYOUT_FOLDERS = frozenset(
    {
        "query",
        "gallery",
        "bounding_box_test",
        "bounding_box_train",
        "whole_body_images",
        "occluded_body_images",
        "partial_body_images",
    }
)
"""Sub-folders that hold a split of a dataset."""
_STREET_NAME = re.compile(r"(-?\d{1,9})_c(\d{1,4})(s\d+)?[_.]", re.ASCII)  # the optional part: Market-1501's sequence
_BODY_NAME = re.compile(r"(\d{1,9})_", re.ASCII)  # more digits make numbers that no array holds
_STREET_SPLITS = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}
_JUNK = -1  # identity of detections that the protocols leave out


@dataclass(frozen=True)
class ImageRecord:
    """One image. path: relative to the dataset's root; identity: as in the file name; camera: 0-based, -1 for none;
    split: train, query or gallery."""

    path: Path
    identity: int
    camera: int
    split: str


@dataclass(frozen=True)
class Dataset:
    """Records of the three splits, and how to label them.

    uses_cameras: False where camera numbers do not exist; then no image is junk and the model gets no camera.
    skipped: images, relative to the root, left out because their names do not follow the layout. So are images and
    folders whose names are not valid text (UTF-8), with escapes in their place.
    synthetic, note: from `dataset.json`; synthetic images must be labelled so wherever they are shown.
    opening: path of the query that a first visit opens with, from `dataset.json`; else the first one's.
    neighbors: the K to begin with, from `dataset.json`, else that of QuerySettings; no more than there are images.
    junk: images of identity -1, which the protocols leave out; they stand in no split.
    allowed: real folders in which every file that is read must lie, links resolved; empty where every place is allowed.
    """

    root: Path
    layout: Layout
    train: tuple[ImageRecord, ...]
    query: tuple[ImageRecord, ...]
    gallery: tuple[ImageRecord, ...]
    uses_cameras: bool
    name: str
    synthetic: bool = False
    note: str = ""
    opening: str = ""
    neighbors: int = QuerySettings.neighbors
    skipped: tuple[Path, ...] = ()
    junk: int = 0
    allowed: tuple[Path, ...] = ()

    def read(self, record: ImageRecord) -> np.ndarray:
        """uint8 (H, W, 3). Raises ImageError, naming the file, and OutsideRootsError for a link out of `allowed`."""
        return decode_image(self.root / record.path, str(record.path), allowed=self.allowed)

    @property
    def label(self) -> str:
        """The name, and that the images are synthetic where it does not say so itself."""
        return f"{self.name} (synthetic)" if self.synthetic and "synthetic" not in self.name else self.name

    @property
    def shortlist(self) -> int:
        """How many candidates a search matches by patches here: the usual number, or the gallery where that is less."""
        return min(QuerySettings.shortlist, len(self.gallery))

    @property
    def queries_are_gallery(self) -> bool:
        """True for a plain folder without a split: every query finds itself, so scores would mean nothing."""
        return bool(self.query) and self.query[0].path == self.gallery[0].path


@dataclass(frozen=True)
class _Disk:
    """Lists folders. allowed: as of Dataset.  unreadable: what was left out because its name is not valid text."""

    allowed: tuple[Path, ...]
    unreadable: set[Path] = field(default_factory=set)

    def folders(self, folder: Path) -> list[Path]:
        """Sub-folders by name. Hidden ones are left out."""
        found = [child for child in folder.iterdir() if child.is_dir() and not child.name.startswith(".")]
        return sorted(child for child in found if self._is_usable(child))

    def images(self, folder: Path) -> list[Path]:
        """Image files of a folder, by name; none where there is no folder. Hidden files are no images."""
        if not folder.is_dir():
            return []
        check_inside(folder, self.allowed, f"{folder.name} of the dataset")
        names = (name for name in os.listdir(folder) if not name.startswith("."))
        images = [folder / name for name in sorted(names) if os.path.splitext(name)[1].lower() in SUFFIXES]
        return [image for image in images if is_text(image.name) or self._leave_out(image)]

    def images_below(self, folder: Path) -> list[Path]:
        """Image files of a folder and of its sub-folders, by path; no deeper."""
        below = self.images(folder)
        if folder.is_dir():
            below += [image for child in self.folders(folder) for image in self.images(child)]
        return sorted(below)

    def left_out_below(self, place: Path) -> list[Path]:
        """What was left out below `place`, relative to it, with escapes for what is not text."""
        inside = sorted(path.relative_to(place) for path in self.unreadable if place in path.parents)
        return [Path(escape_name(str(path))) for path in inside]

    def _is_usable(self, child: Path) -> bool:
        check_inside(child, self.allowed, f"{child.name} of the dataset")
        return is_text(child.name) or self._leave_out(child)

    def _leave_out(self, path: Path) -> bool:
        self.unreadable.add(path)
        return False


def open_dataset(root: Path | str, allowed: Sequence[Path] = ()) -> Dataset:
    """Read the records of a dataset; no image is opened.

    allowed: real folders in which all that is listed or read must lie, links resolved; empty for no such bound.

    The layout is told by `layout` in `dataset.json`, or else by the folders and names in `root`, or in its only
    sub-folder that holds a dataset. DukeMTMC and Occluded-Duke look alike: "occluded" in the folder's name decides.
    Raises DatasetError for a folder that is missing or empty, a layout that is unknown or not there, and a split in
    which no name can be read; OutsideRootsError for a link out of the folders allowed, before it is followed.
    """
    root = Path(root)
    if not root.is_dir():
        raise DatasetError(f"there is no folder {root}; check the path of the dataset")
    disk = _Disk(tuple(allowed))
    place = _place(root, disk)
    label = {**_label(place, disk.allowed), **_label(root, disk.allowed)}
    wanted = str(label.get("layout", "auto"))
    if wanted != "auto" and wanted not in list(Layout):
        raise DatasetError(f"unknown layout {wanted!r}; use auto, {', '.join(Layout)}")
    found = _detect(place, disk) if wanted == "auto" else Layout(wanted)

    skipped: list[Path] = []
    junk = 0
    if found in (Layout.MARKET_1501, Layout.DUKE, Layout.OCCLUDED_DUKE):
        named = {split: _street(place, folder, split, skipped, disk) for split, folder in _STREET_SPLITS.items()}
        train, query, gallery = (
            [record for record in records if record.identity != _JUNK] for records in named.values()
        )
        junk = sum(map(len, named.values())) - len(train) - len(query) - len(gallery)
    elif found in (Layout.OCCLUDED_REID, Layout.PARTIAL_REID):
        train = []
        query = _body(place, _body_queries(place, found), "query", skipped, disk)
        gallery = _body(place, "whole_body_images", "gallery", skipped, disk)
    else:
        train, (query, gallery) = [], _plain(place, disk)
    skipped += disk.left_out_below(place)
    for records, split in ((query, "query"), (gallery, "gallery")):
        if not records:
            examples = f"; {len(skipped)} names could not be read, such as {skipped[0]}" if skipped else ""
            raise DatasetError(f"no {split} images in {place} ({found} layout){examples}; looked for {_LOOKED_FOR}")
    return Dataset(
        root=place,
        layout=found,
        train=tuple(train),
        query=tuple(query),
        gallery=tuple(gallery),
        uses_cameras=gallery[0].camera != NO_CAMERA,
        name=str(label.get("name", _TITLES.get(found, escape_name(place.resolve().name)))),
        synthetic=bool(label.get("synthetic", False)),
        note=str(label.get("note", "")),
        opening=_opening(label, query),
        neighbors=min(_neighbors(label), len(gallery)),
        skipped=tuple(skipped),
        junk=junk,
        allowed=disk.allowed,
    )


def _place(root: Path, disk: _Disk) -> Path:
    """`root`, or its only sub-folder that holds one of the five layouts: archives often unpack into one more folder."""
    if _has_layout(root, disk):
        return root
    nested = [folder for folder in disk.folders(root) if _has_layout(folder, disk)]
    if len(nested) > 1:
        raise DatasetError(f"{root} holds several datasets; name one of {', '.join(f.name for f in nested)}")
    return nested[0] if nested else root


def is_layout(names: Collection[str]) -> bool:
    """Whether a folder with sub-folders of these names is one of the five published layouts."""
    return {"query", "bounding_box_test"} <= set(names) or (
        "whole_body_images" in names and bool({"occluded_body_images", "partial_body_images"} & set(names))
    )


def _has_layout(folder: Path, disk: _Disk) -> bool:
    return is_layout({child.name for child in disk.folders(folder)})


def _detect(place: Path, disk: _Disk) -> Layout:
    if not _has_layout(place, disk):
        names = {folder.name for folder in disk.folders(place)}
        if strays := sorted(names & {"bounding_box_train", "bounding_box_test", "whole_body_images"}):
            raise DatasetError(
                f"{place} has {', '.join(strays)} but lacks what belongs to it: looked for {_LOOKED_FOR}"
            )
        return Layout.FOLDER
    name = place.resolve().name.lower()
    if (place / "whole_body_images").is_dir():
        partial = (place / "partial_body_images").is_dir() or "partial" in name
        return Layout.PARTIAL_REID if partial else Layout.OCCLUDED_REID
    matches = (_STREET_NAME.match(path.name) for path in disk.images(place / "query"))
    first = next((match for match in matches if match), None)
    if first and first[3]:
        return Layout.MARKET_1501
    return Layout.OCCLUDED_DUKE if "occluded" in name else Layout.DUKE


def _street(place: Path, folder: str, split: str, skipped: list[Path], disk: _Disk) -> list[ImageRecord]:
    """`0002_c1s1_000451_03.jpg`: identity 2, camera 0. Junk has identity -1, distractors 0."""
    records, inside = [], Path(folder)
    for path in disk.images(place / folder):
        match = _STREET_NAME.match(path.name)
        if not match or int(match[2]) < 1 or int(match[1]) < _JUNK:
            skipped.append(inside / path.name)
        else:
            records.append(ImageRecord(inside / path.name, int(match[1]), int(match[2]) - 1, split))
    return records


def _body(place: Path, folder: str, split: str, skipped: list[Path], disk: _Disk) -> list[ImageRecord]:
    """`001_01.tif`, in the folder itself or in one sub-folder per identity."""
    records = []
    for path in disk.images_below(place / folder):
        match = _BODY_NAME.match(path.name)
        if match:
            records.append(ImageRecord(path.relative_to(place), int(match[1]), NO_CAMERA, split))
        else:
            skipped.append(path.relative_to(place))
    return records


def _body_queries(place: Path, layout: Layout) -> str:
    """Partial-ReID has both folders, and its protocol takes the cropped images."""
    partial = layout is Layout.PARTIAL_REID and (place / "partial_body_images").is_dir()
    return "partial_body_images" if partial else "occluded_body_images"


def _plain(place: Path, disk: _Disk) -> tuple[list[ImageRecord], list[ImageRecord]]:
    """Query and gallery of a plain folder: its two sub-folders of these names, or every image as both.

    A sub-folder is one identity, the same in query and gallery; an image outside of any is an identity of its own.
    """
    split = (place / "query").is_dir() and (place / "gallery").is_dir()
    homes = {name: place / name if split else place for name in ("query", "gallery")}
    images = {name: disk.images_below(home) for name, home in homes.items()}

    def key(path: Path, home: Path) -> tuple[bool, str]:
        inside = path.parent != home
        return (not inside, path.parent.name if inside else path.relative_to(place).as_posix())

    keys = sorted({key(path, homes[name]) for name, paths in images.items() for path in paths})
    identities = {each: number for number, each in enumerate(keys)}
    query, gallery = (
        [
            ImageRecord(path.relative_to(place), identities[key(path, homes[name])], NO_CAMERA, name)
            for path in images[name]
        ]
        for name in ("query", "gallery")
    )
    return query, gallery


def _opening(label: dict[str, object], query: list[ImageRecord]) -> str:
    paths = [record.path.as_posix() for record in query]
    wanted = str(label.get("opening", paths[0]))
    if wanted not in paths:
        raise DatasetError(f"dataset.json opens with {wanted}, which is not among the queries; name one that is")
    return wanted


def _neighbors(label: dict[str, object]) -> int:
    wanted = label.get("neighbors", QuerySettings.neighbors)
    if type(wanted) is not int or not 1 <= wanted <= QuerySettings.shortlist:
        raise DatasetError(f"dataset.json begins with K = {wanted}; neighbors must lie in 1..{QuerySettings.shortlist}")
    return wanted


def _label(folder: Path, allowed: Sequence[Path]) -> dict[str, object]:
    """What `dataset.json` says; texts in it have escapes for what is not valid Unicode."""
    path = folder / "dataset.json"
    try:
        label = read_json(path, allowed=allowed)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return {}
    except UnusableFileError as error:
        raise DatasetError(str(error)) from error
    except OutsideRootsError:  # a ValueError too
        raise
    except ValueError as error:
        raise DatasetError(f"{path} is not JSON ({error}); correct or delete it") from error
    if not isinstance(label, dict):
        raise DatasetError(f'{path} must hold an object such as {{"name": "...", "synthetic": true}}')
    return {name: escape_name(value) if isinstance(value, str) else value for name, value in label.items()}

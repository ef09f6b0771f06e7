"""Read person re-identification datasets from disk into records.

| layout | folders | names |
|---|---|---|
| Market-1501 | bounding_box_train, query, bounding_box_test | `0002_c1s1_000451_03.jpg` |
| DukeMTMC-reID, Occluded-Duke | bounding_box_train, query, bounding_box_test | `0001_c2_f0046182.jpg` |
| Occluded-ReID | occluded_body_images, whole_body_images | `001/001_01.tif` |
| Partial-ReID | partial_body_images (or occluded_body_images), whole_body_images | `001_001.jpg` |
| plain folder | any; optionally query and gallery | any; a subfolder is one identity |

Records are sorted by file name, as in the released code. The root may contain a file `dataset.json` with `name`,
`synthetic` and `note`, which label the dataset wherever it is shown; `layout`; `opening`, the path of the query that
the app shows first; `examples`, named queries to try first; and `neighbors`, the initial K for a dataset with few
gallery images per person.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np

from fpc_core.config import QuerySettings
from fpc_core.data.dataset_label import DatasetError, Example, examples_of, neighbors_of, opening_of, read_label
from fpc_core.data.folder_listing import FolderListing
from fpc_core.data.images import decode_image
from fpc_core.io.bounded_files import escape_name

NO_CAMERA = -1


class Layout(StrEnum):
    """Dataset layouts that `open_dataset` can read."""

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
_EXPECTED = (
    "query and bounding_box_test (Market-1501, DukeMTMC-reID, Occluded-Duke), whole_body_images with "
    "occluded_body_images or partial_body_images (Occluded-ReID, Partial-ReID), or images, there or in subfolders"
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
"""Subfolders that contain a split of a dataset."""
# Only names in Market-1501 have the optional part, the number of a sequence.
_STREET_NAME = re.compile(r"(-?\d{1,9})_c(\d{1,4})(s\d+)?[_.]", re.ASCII)
_BODY_NAME = re.compile(r"(\d{1,9})_", re.ASCII)  # Longer numbers would overflow an array.
_STREET_SPLITS = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}
_JUNK = -1  # Identity of detections that the protocols exclude.


@dataclass(frozen=True)
class ImageRecord:
    """One image of a dataset.

    Attributes:
        path: Path relative to the dataset's root.
        identity: Number of the person, from the file name or, in a plain folder, from the subfolder.
        camera: 0-based camera, -1 if unknown.
        split: Split of the dataset: train, query or gallery.
    """

    path: Path
    identity: int
    camera: int
    split: str


@dataclass(frozen=True)
class Dataset:
    """Records of the three splits, and how to label them.

    Attributes:
        root: Folder of the dataset.
        layout: Layout of the dataset.
        train: Records of the training split.
        query: Records of the queries.
        gallery: Records of the gallery.
        uses_cameras: False if there are no camera numbers; then no image is junk and the model gets no camera.
        name: Name shown to users.
        synthetic: Whether the images are synthetic and must be labelled as such, from `dataset.json`.
        note: Note shown with the dataset, from `dataset.json`.
        opening: Path of the query that the app shows first, from `dataset.json`; by default the first query.
        examples: Named queries to try first, from `dataset.json`.
        neighbors: Initial K from `dataset.json`, or the default of QuerySettings; at most the number of gallery images.
        skipped: Paths relative to the root of images whose names do not follow the layout, and, with escapes, of images
            and folders whose names are not valid UTF-8.
        junk: Number of images of identity -1, which the protocols exclude; they are in no split.
        allowed: Real folders in which every file must be, links resolved; empty for no restriction.
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
    examples: tuple[Example, ...] = ()
    neighbors: int = QuerySettings.neighbors
    skipped: tuple[Path, ...] = ()
    junk: int = 0
    allowed: tuple[Path, ...] = ()

    def read(self, record: ImageRecord) -> np.ndarray:
        """Decode the image of a record as uint8 (H, W, 3).

        Raises:
            ImageError: The image cannot be decoded; the message names the file.
            OutsideRootsError: The file is a link that leads out of the folders in `allowed`.
        """
        return decode_image(self.root / record.path, str(record.path), allowed=self.allowed)

    @property
    def label(self) -> str:
        """Name of the dataset, with "(synthetic)" added if the name does not contain that word."""
        return f"{self.name} (synthetic)" if self.synthetic and "synthetic" not in self.name else self.name

    @property
    def shortlist(self) -> int:
        """Size of the shortlist: the default, or the size of the gallery if that is smaller."""
        return min(QuerySettings.shortlist, len(self.gallery))

    @property
    def queries_are_gallery(self) -> bool:
        """Whether this is a plain folder without splits, in which every query finds itself and scores mean nothing."""
        return bool(self.query) and self.query[0].path == self.gallery[0].path


def open_dataset(root: Path | str, allowed: Sequence[Path] = ()) -> Dataset:
    """Read the records of a dataset without opening any image.

    The dataset is in `root` or in its only subfolder that contains a dataset. Its layout is `layout` in `dataset.json`,
    or is detected from folders and file names. DukeMTMC-reID and Occluded-Duke have the same names; "occluded" in the
    name of the folder distinguishes them.

    Args:
        root: Folder of the dataset.
        allowed: Real folders in which everything that is listed or read must be after links are resolved; empty for no
            restriction.

    Raises:
        DatasetError: The folder is missing or empty, the layout is unknown or does not match, or no name of a split can
            be parsed.
        OutsideRootsError: A link leads out of the allowed folders; it is not followed.
    """
    root = Path(root)
    if not root.is_dir():
        raise DatasetError(f"the folder {root} does not exist; check the path of the dataset")
    listing = FolderListing(tuple(allowed))
    folder = _dataset_folder(root, listing)
    label = {**read_label(folder, listing.allowed), **read_label(root, listing.allowed)}
    requested = str(label.get("layout", "auto"))
    if requested != "auto" and requested not in list(Layout):
        raise DatasetError(f"unknown layout {requested!r}; use auto, {', '.join(Layout)}")
    layout = _detect(folder, listing) if requested == "auto" else Layout(requested)

    skipped: list[Path] = []
    junk = 0
    if layout in (Layout.MARKET_1501, Layout.DUKE, Layout.OCCLUDED_DUKE):
        named = {split: _street(folder, name, split, skipped, listing) for split, name in _STREET_SPLITS.items()}
        train, query, gallery = (
            [record for record in records if record.identity != _JUNK] for records in named.values()
        )
        junk = sum(map(len, named.values())) - len(train) - len(query) - len(gallery)
    elif layout in (Layout.OCCLUDED_REID, Layout.PARTIAL_REID):
        train = []
        query = _body(folder, _body_queries(folder, layout), "query", skipped, listing)
        gallery = _body(folder, "whole_body_images", "gallery", skipped, listing)
    else:
        train, (query, gallery) = [], _plain(folder, listing)
    skipped += listing.left_out_below(folder)
    for records, split in ((query, "query"), (gallery, "gallery")):
        if not records:
            examples = f"; {len(skipped)} names could not be parsed, such as {skipped[0]}" if skipped else ""
            raise DatasetError(f"no {split} images in {folder} ({layout} layout){examples}; expected {_EXPECTED}")
    return Dataset(
        root=folder,
        layout=layout,
        train=tuple(train),
        query=tuple(query),
        gallery=tuple(gallery),
        uses_cameras=gallery[0].camera != NO_CAMERA,
        name=str(label.get("name", _TITLES.get(layout, escape_name(folder.resolve().name)))),
        synthetic=bool(label.get("synthetic", False)),
        note=str(label.get("note", "")),
        opening=opening_of(label, [record.path.as_posix() for record in query]),
        examples=examples_of(label, {record.path.as_posix() for record in query}),
        neighbors=min(neighbors_of(label), len(gallery)),
        skipped=tuple(skipped),
        junk=junk,
        allowed=listing.allowed,
    )


def _dataset_folder(root: Path, listing: FolderListing) -> Path:
    """Return `root`, or its only subfolder with one of the five layouts, because archives often add a folder."""
    if _has_layout(root, listing):
        return root
    nested = [folder for folder in listing.folders(root) if _has_layout(folder, listing)]
    if len(nested) > 1:
        raise DatasetError(f"{root} contains several datasets; choose one of {', '.join(f.name for f in nested)}")
    return nested[0] if nested else root


def is_layout(names: Collection[str]) -> bool:
    """Return whether a folder with subfolders of these names has one of the five published layouts."""
    return {"query", "bounding_box_test"} <= set(names) or (
        "whole_body_images" in names and bool({"occluded_body_images", "partial_body_images"} & set(names))
    )


def _has_layout(folder: Path, listing: FolderListing) -> bool:
    return is_layout({child.name for child in listing.folders(folder)})


def _detect(folder: Path, listing: FolderListing) -> Layout:
    if not _has_layout(folder, listing):
        names = {child.name for child in listing.folders(folder)}
        if incomplete := sorted(names & {"bounding_box_train", "bounding_box_test", "whole_body_images"}):
            raise DatasetError(
                f"{folder} has {', '.join(incomplete)} but lacks other folders of that layout: expected {_EXPECTED}"
            )
        return Layout.FOLDER
    name = folder.resolve().name.lower()
    if (folder / "whole_body_images").is_dir():
        partial = (folder / "partial_body_images").is_dir() or "partial" in name
        return Layout.PARTIAL_REID if partial else Layout.OCCLUDED_REID
    matches = (_STREET_NAME.match(path.name) for path in listing.images(folder / "query"))
    first = next((match for match in matches if match), None)
    if first and first[3]:
        return Layout.MARKET_1501
    return Layout.OCCLUDED_DUKE if "occluded" in name else Layout.DUKE


def _street(root: Path, folder: str, split: str, skipped: list[Path], listing: FolderListing) -> list[ImageRecord]:
    """Parse names such as `0002_c1s1_000451_03.jpg` (identity 2, camera 0); junk has identity -1, distractors 0."""
    records, inside = [], Path(folder)
    for path in listing.images(root / folder):
        match = _STREET_NAME.match(path.name)
        if not match or int(match[2]) < 1 or int(match[1]) < _JUNK:
            skipped.append(inside / path.name)
        else:
            records.append(ImageRecord(inside / path.name, int(match[1]), int(match[2]) - 1, split))
    return records


def _body(root: Path, folder: str, split: str, skipped: list[Path], listing: FolderListing) -> list[ImageRecord]:
    """Parse names such as `001_01.tif`, in the folder itself or in one subfolder per identity."""
    records = []
    for path in listing.images_below(root / folder):
        match = _BODY_NAME.match(path.name)
        if match:
            records.append(ImageRecord(path.relative_to(root), int(match[1]), NO_CAMERA, split))
        else:
            skipped.append(path.relative_to(root))
    return records


def _body_queries(root: Path, layout: Layout) -> str:
    """Return the name of the folder with the queries; Partial-ReID may have both, and its protocol uses the partial."""
    partial = layout is Layout.PARTIAL_REID and (root / "partial_body_images").is_dir()
    return "partial_body_images" if partial else "occluded_body_images"


def _plain(root: Path, listing: FolderListing) -> tuple[list[ImageRecord], list[ImageRecord]]:
    """Return query and gallery of a plain folder: its subfolders of these names, or every image in both.

    A subfolder is one identity, the same in query and gallery. Every image outside of subfolders is a separate
    identity.
    """
    split = (root / "query").is_dir() and (root / "gallery").is_dir()
    homes = {name: root / name if split else root for name in ("query", "gallery")}
    images = {name: listing.images_below(home) for name, home in homes.items()}

    def key(path: Path, home: Path) -> tuple[bool, str]:
        inside = path.parent != home
        return (not inside, path.parent.name if inside else path.relative_to(root).as_posix())

    keys = sorted({key(path, homes[name]) for name, paths in images.items() for path in paths})
    identities = {each: number for number, each in enumerate(keys)}
    query, gallery = (
        [
            ImageRecord(path.relative_to(root), identities[key(path, homes[name])], NO_CAMERA, name)
            for path in images[name]
        ]
        for name in ("query", "gallery")
    )
    return query, gallery

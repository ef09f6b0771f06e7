"""Read person re-identification datasets from disk into records.

| layout | folders | names |
|---|---|---|
| Market-1501 | bounding_box_train, query, bounding_box_test | `0002_c1s1_000451_03.jpg` |
| DukeMTMC-reID, Occluded-Duke | the same | `0001_c2_f0046182.jpg` |
| Occluded-ReID | occluded_body_images, whole_body_images | `001/001_01.tif` |
| Partial-ReID | partial_body_images (or occluded_body_images), whole_body_images | `001_001.jpg` |
| plain folder | any; optionally query and gallery | any; a sub-folder is one identity |

Records are sorted by file name, as in the released code. An optional file `dataset.json` in the root may contain
`name`, `synthetic` and `note`, which label the dataset wherever it is shown; `layout`; `opening`, the path of the query
shown at a first visit; `examples`, named queries to try first; and `neighbors`, the initial K for a dataset with few
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
"""Sub-folders that contain a split of a dataset."""
_STREET_NAME = re.compile(r"(-?\d{1,9})_c(\d{1,4})(s\d+)?[_.]", re.ASCII)  # the optional part: Market-1501's sequence
_BODY_NAME = re.compile(r"(\d{1,9})_", re.ASCII)  # longer numbers would overflow an array
_STREET_SPLITS = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}
_JUNK = -1  # identity of detections that the protocols exclude


@dataclass(frozen=True)
class ImageRecord:
    """One image.

    Attributes:
        path: Relative to the dataset's root.
        identity: As in the file name.
        camera: 0-based, -1 if unknown.
        split: train, query or gallery.
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
        layout: Its layout.
        train: Records of the training split.
        query: Records of the queries.
        gallery: Records of the gallery.
        uses_cameras: False if there are no camera numbers; then no image is junk and the model gets no camera.
        name: Name shown to users.
        synthetic: Whether the images are synthetic and must be labelled so; from `dataset.json`.
        note: Note shown with the dataset, from `dataset.json`.
        opening: Path of the query shown at a first visit, from `dataset.json`; by default the first query.
        examples: Named queries to try first, from `dataset.json`.
        neighbors: Initial K, from `dataset.json`, otherwise that of QuerySettings; at most the number of gallery
            images.
        skipped: Images, relative to the root, whose names do not follow the layout, and images and folders whose names
            are not valid text (UTF-8), escaped.
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
        """Decode an image as uint8 (H, W, 3).

        Raises:
            ImageError: The image cannot be decoded; the message names the file.
            OutsideRootsError: It is a link out of `allowed`.
        """
        return decode_image(self.root / record.path, str(record.path), allowed=self.allowed)

    @property
    def label(self) -> str:
        """The name, marked as synthetic where the name does not say so itself."""
        return f"{self.name} (synthetic)" if self.synthetic and "synthetic" not in self.name else self.name

    @property
    def shortlist(self) -> int:
        """Number of candidates whose patches a search matches: the default, or the size of a smaller gallery."""
        return min(QuerySettings.shortlist, len(self.gallery))

    @property
    def queries_are_gallery(self) -> bool:
        """Whether this is a plain folder without a split, where every query finds itself and scores are meaningless."""
        return bool(self.query) and self.query[0].path == self.gallery[0].path


def open_dataset(root: Path | str, allowed: Sequence[Path] = ()) -> Dataset:
    """Read the records of a dataset; no image is opened.

    The layout is `layout` in `dataset.json`, or is detected from the folders and names in `root`, or in its only
    sub-folder that contains a dataset. DukeMTMC and Occluded-Duke look alike: "occluded" in the folder's name decides.

    Args:
        root: Folder of the dataset.
        allowed: Real folders in which everything that is listed or read must be, links resolved; empty for no
            restriction.

    Raises:
        DatasetError: The folder is missing or empty, the layout is unknown or does not match, or no name of a split can
            be parsed.
        OutsideRootsError: There is a link out of the allowed folders; it is not followed.
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
    """Return `root`, or its only sub-folder with one of the five layouts: archives often add a folder."""
    if _has_layout(root, listing):
        return root
    nested = [folder for folder in listing.folders(root) if _has_layout(folder, listing)]
    if len(nested) > 1:
        raise DatasetError(f"{root} contains several datasets; choose one of {', '.join(f.name for f in nested)}")
    return nested[0] if nested else root


def is_layout(names: Collection[str]) -> bool:
    """Whether a folder with sub-folders of these names has one of the five published layouts."""
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
    """Parse names such as `0002_c1s1_000451_03.jpg`: identity 2, camera 0. Junk has identity -1, distractors 0."""
    records, inside = [], Path(folder)
    for path in listing.images(root / folder):
        match = _STREET_NAME.match(path.name)
        if not match or int(match[2]) < 1 or int(match[1]) < _JUNK:
            skipped.append(inside / path.name)
        else:
            records.append(ImageRecord(inside / path.name, int(match[1]), int(match[2]) - 1, split))
    return records


def _body(root: Path, folder: str, split: str, skipped: list[Path], listing: FolderListing) -> list[ImageRecord]:
    """Parse names such as `001_01.tif`, in the folder itself or in one sub-folder per identity."""
    records = []
    for path in listing.images_below(root / folder):
        match = _BODY_NAME.match(path.name)
        if match:
            records.append(ImageRecord(path.relative_to(root), int(match[1]), NO_CAMERA, split))
        else:
            skipped.append(path.relative_to(root))
    return records


def _body_queries(root: Path, layout: Layout) -> str:
    """Return the folder of queries: Partial-ReID may have both, and its protocol uses the cropped images."""
    partial = layout is Layout.PARTIAL_REID and (root / "partial_body_images").is_dir()
    return "partial_body_images" if partial else "occluded_body_images"


def _plain(root: Path, listing: FolderListing) -> tuple[list[ImageRecord], list[ImageRecord]]:
    """Return query and gallery of a plain folder: its two sub-folders of these names, or every image as both.

    A sub-folder is one identity, the same in query and gallery; an image outside of sub-folders is an identity of its
    own.
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

"""Read person re-identification datasets from disk into records.

The layouts are defined in `fpc_core/data/layouts` and listed in `docs/layouts.md`. Records are sorted by file name, as
in the released code. The root may contain a file `dataset.json`, which `docs/layouts.md` also describes: `title` (or
`name`), `synthetic` and `note` label the dataset wherever it is shown; `layout`, `folders`, `cameras` and `protocol`
override what is recognised; `opening` is the path of the query that the app shows first, `examples` are named queries
to try first, and `neighbors` is the initial K for a dataset with few gallery images per person.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from fpc_core.config import QuerySettings, Variant
from fpc_core.data.dataset_json import (
    DatasetError,
    Example,
    choice_in,
    examples_of,
    first_query_of,
    folders_in,
    neighbors_of,
    read_label,
    title_in,
)
from fpc_core.data.folder_listing import FolderListing
from fpc_core.data.images import decode_image
from fpc_core.data.layouts.camera_numbers import with_cameras
from fpc_core.data.layouts.person_folders import FOLDER, UNSPLIT
from fpc_core.data.layouts.registry import FEW, LAYOUTS, has_layout, recognise, spec_of, title_of
from fpc_core.data.layouts.spec import Folders, Layout, LayoutSpec, read_names
from fpc_core.data.protocols import AUTO, Cameras, Protocol
from fpc_core.data.reading_notes import Note, notes_on
from fpc_core.data.records import NO_CAMERA, ImageRecord, LeftOutFile
from fpc_core.io.bounded_files import check_inside

__all__ = ["NO_CAMERA", "Dataset", "DatasetError", "ImageRecord", "Layout", "open_dataset"]

_UNREADABLE = "the name is not valid UTF-8"
_EXPECTED = (
    "query and bounding_box_test (Market-1501, DukeMTMC-reID, Occluded-Duke), whole_body_images with "
    "occluded_body_images or partial_body_images (Occluded-ReID, Partial-ReID), or images in it or its subfolders"
)


@dataclass(frozen=True)
class Dataset:
    """Records of the three splits of a dataset, and how to label it.

    Attributes:
        root: Folder of the dataset.
        layout: Key of the layout of the dataset.
        train: Records of the training split.
        query: Records of the queries.
        gallery: Records of the gallery.
        uses_cameras: Whether every record has a camera; the model then uses its camera embedding.
        name: Name shown to users.
        synthetic: Whether the images are synthetic and must be labelled as such, from `dataset.json`.
        note: Note shown with the dataset, from `dataset.json`.
        first_query: Path of the query that the app shows first, from `dataset.json`; by default the first query.
        examples: Named queries to try first, from `dataset.json`.
        neighbors: Initial K from `dataset.json`, or the default of QuerySettings; at most the size of the shortlist.
        left_out: Files that are not part of the dataset, with the reason.
        junk: Number of images of identity -1, which the protocols exclude; they are in no split.
        allowed: Real folders in which every file must be, links resolved; empty for no restriction.
        protocol: Which gallery images count for a query.
        cameras: Where the cameras come from.
        notes: Sentences on how the files were read, to be shown wherever the dataset is used.
    """

    root: Path
    layout: str
    train: tuple[ImageRecord, ...]
    query: tuple[ImageRecord, ...]
    gallery: tuple[ImageRecord, ...]
    uses_cameras: bool
    name: str
    synthetic: bool = False
    note: str = ""
    first_query: str = ""
    examples: tuple[Example, ...] = ()
    neighbors: int = QuerySettings.neighbors
    left_out: tuple[LeftOutFile, ...] = ()
    junk: int = 0
    allowed: tuple[Path, ...] = ()
    protocol: Protocol = Protocol.CAMERAS
    cameras: Cameras = Cameras.FROM_1
    notes: tuple[Note, ...] = ()

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
        """Size of the shortlist: the default, or the number of images other than the query if that is smaller."""
        return max(1, min(QuerySettings.shortlist, len(self.gallery) - self.queries_are_gallery))

    @property
    def skipped(self) -> tuple[Path, ...]:
        """Paths of the files that are not part of the dataset."""
        return tuple(each.path for each in self.left_out)

    @property
    def excludes_own_camera(self) -> bool:
        """Whether gallery images of the query's person from the query's camera are junk."""
        return self.uses_cameras and self.protocol is Protocol.CAMERAS

    @cached_property
    def own_rows(self) -> Mapping[Path, int]:
        """Rows in `gallery` of the images that are also queries, by path; a query is not compared with its own file."""
        queries = {record.path for record in self.query}
        return {record.path: row for row, record in enumerate(self.gallery) if record.path in queries}

    @property
    def queries_are_gallery(self) -> bool:
        """Whether queries are also gallery images, as in a folder without a split."""
        return bool(self.own_rows)


def open_dataset(
    root: Path | str,
    allowed: Sequence[Path] = (),
    *,
    protocol: str = AUTO,
    cameras: str = AUTO,
    variant: Variant = Variant.PAPER,
) -> Dataset:
    """Read the records of a dataset without opening any image.

    The dataset is in `root` or in its only subfolder, at most two levels below, that contains a dataset. Layout,
    folders, cameras and protocol are those in `dataset.json`, or are recognised from folders and file names.

    Args:
        root: Folder of the dataset.
        allowed: Real folders in which everything that is listed or read must be after links are resolved; empty for no
            restriction.
        protocol: Name of the `Protocol`; "auto" for that of `dataset.json` or, without one, of the data.
        cameras: Name of the `Cameras`; "auto" for that of `dataset.json` or, without one, of the layout.
        variant: Variant to follow if `cameras` is "auto": RELEASED numbers the cameras of some datasets that have none,
            as the released code does.

    Raises:
        DatasetError: The folder is missing or empty, the layout is unknown or does not match, no name of a split can be
            parsed, or the data do not allow the protocol.
        OutsideRootsError: A link leads out of the allowed folders; it is not followed.
    """
    root = Path(root)
    if not root.is_dir():
        raise DatasetError(f"the folder {root} does not exist; check the path of the dataset")
    listing = FolderListing(tuple(allowed))
    folder = _dataset_folder(root, listing)
    label = {**read_label(folder, listing.allowed), **read_label(root, listing.allowed)}
    spec, folders = _layout(folder, label, listing)
    reading = (spec.read or read_names)(spec, folder, folders, listing)
    for origin, value, names in (("cameras", cameras, Cameras), ("protocol", protocol, Protocol)):
        if value != AUTO and value not in list(names):
            raise DatasetError(f"unknown {origin} {value[:60]!r}; use auto, {', '.join(names)}")
    requested = cameras if cameras != AUTO else choice_in(label, "cameras", list(Cameras))
    numbered = with_cameras(reading, _cameras(spec, requested, variant))
    train, query, gallery = (numbered.records[split] for split in ("train", "query", "gallery"))
    unreadable = [LeftOutFile(path, _UNREADABLE) for path in listing.left_out_below(folder)]
    left_out = sorted({*reading.left_out, *numbered.left_out, *unreadable}, key=lambda each: each.path)
    for records, split in ((query, "query"), (gallery, "gallery")):
        if not records:
            examples = ""
            if left_out:
                first = left_out[0]
                examples = f"; {len(left_out)} names could not be parsed, such as {first.path} ({first.reason})"
            raise DatasetError(f"no {split} images in {folder} ({spec.key} layout){examples}; expected {_EXPECTED}")
    queries = [record.path.as_posix() for record in query]
    dataset = Dataset(
        root=folder,
        layout=spec.key,
        train=tuple(train),
        query=tuple(query),
        gallery=tuple(gallery),
        uses_cameras=gallery[0].camera != NO_CAMERA,
        name=title_in(label, title_of(folder)),
        synthetic=bool(label.get("synthetic", False)),
        note=str(label.get("note", "")),
        first_query=first_query_of(label, queries),
        examples=examples_of(label, set(queries)),
        left_out=tuple(left_out),
        junk=numbered.junk,
        allowed=listing.allowed,
        cameras=numbered.cameras,
    )
    requested = protocol if protocol != AUTO else choice_in(label, "protocol", list(Protocol))
    dataset = replace(
        dataset, protocol=_protocol(dataset, spec, requested), neighbors=min(neighbors_of(label), dataset.shortlist)
    )
    return replace(dataset, notes=notes_on(dataset, spec, reading.notes))


def _dataset_folder(root: Path, listing: FolderListing) -> Path:
    """Return `root`, or its only subfolder with a dataset at most two levels below, because archives often add one."""
    level = [root]
    for _ in range(3):
        found = [folder for folder in level if has_layout(folder, listing)]
        if len(found) > 1:
            raise DatasetError(f"{root} contains several datasets; choose one of {', '.join(f.name for f in found)}")
        if found:
            return found[0]
        level = [child for folder in level for child in listing.folders(folder)]
    return _unwrapped(root, listing)


def _unwrapped(root: Path, listing: FolderListing) -> Path:
    """Return the folder with images or people, which may be inside up to two folders that contain only one folder."""
    folder = root
    for _ in range(2):
        inner = listing.folders(folder)
        if len(inner) != 1 or listing.images_below(folder):
            break
        folder = inner[0]
    return folder if listing.images_below(folder) else root


def _layout(folder: Path, label: Mapping[str, object], listing: FolderListing) -> tuple[LayoutSpec, Folders]:
    """Return the layout of a dataset and the folders of its splits.

    Args:
        folder: Folder of the dataset.
        label: Content of `dataset.json`.
        listing: Listing of the folder.

    Raises:
        DatasetError: The layout in `dataset.json` is unknown or does not match, or a layout is incomplete.
    """
    chosen, requested = folders_in(dict(label)), str(label.get("layout", AUTO))
    for path in (path for paths in chosen.values() for path in paths):
        check_inside(folder / path, listing.allowed, f"{path} of the dataset")
        if not (folder / path).is_dir():
            raise DatasetError(f"folders in dataset.json must be folders in {folder}, got {path}; correct its path")
    whole: Folders = {"query": (folder,), "gallery": (folder,)}
    if requested != AUTO:
        spec = spec_of(requested)
        if spec is None:
            keys = dict.fromkeys([*Layout, *(each.key for each in LAYOUTS)])
            raise DatasetError(f"unknown layout {requested!r}; use auto, {', '.join(keys)}")
        folders = spec.located(folder, listing, chosen)
        if folders is None and spec in (FOLDER, UNSPLIT):
            return spec, whole
        if folders is None:
            raise DatasetError(f"no query images in {folder} ({spec.key} layout); expected {_EXPECTED}")
        return spec, folders
    if recognised := recognise(folder, listing, chosen):
        return recognised
    names = {child.name for child in listing.folders(folder)}
    incomplete = sorted(names & {"bounding_box_train", "bounding_box_test", "whole_body_images"})
    if incomplete and not chosen:
        raise DatasetError(
            f"{folder} has {', '.join(incomplete)} but lacks other folders of that layout: expected {_EXPECTED}"
        )
    if folders := FOLDER.located(folder, listing, chosen):
        return FOLDER, folders
    return (UNSPLIT if UNSPLIT.share(folder, whole, listing) >= FEW else FOLDER), whole


def _cameras(spec: LayoutSpec, requested: str, variant: Variant) -> Cameras:
    """Return the source of camera labels: the requested one or, for "auto", that of the layout and the variant."""
    if requested != AUTO:
        return Cameras(requested)
    return Cameras.RELEASED if spec.released_cameras and variant is Variant.RELEASED else spec.cameras


def _protocol(dataset: Dataset, spec: LayoutSpec, requested: str) -> Protocol:
    """Return the requested protocol or, for "auto", the one that fits the layout and the data.

    Raises:
        DatasetError: The data do not allow the requested protocol.
    """
    if requested == Protocol.CAMERAS and not dataset.uses_cameras:
        raise DatasetError(
            f"the protocol cameras needs camera numbers, but {dataset.name} has none; use --protocol no-cameras"
        )
    if requested == Protocol.LEAVE_ONE_OUT and not dataset.queries_are_gallery:
        raise DatasetError(
            f"the protocol leave-one-out is for a folder without a split, but {dataset.name} has queries and a "
            "gallery; use --protocol cameras or no-cameras"
        )
    if requested != AUTO:
        return Protocol(requested)
    if spec.protocol:
        return spec.protocol
    if dataset.cameras in (Cameras.FROM_0, Cameras.FROM_1):
        return Protocol.CAMERAS
    return Protocol.LEAVE_ONE_OUT if dataset.queries_are_gallery else Protocol.NO_CAMERAS

"""Define how a dataset layout is described, and read identities and cameras from the file names in its folders."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from fpc_core.data.folder_listing import FolderListing
from fpc_core.data.protocols import Cameras, Protocol
from fpc_core.data.records import LeftOutFile

BAD_NAME = "the name does not follow the layout"
JUNK = -1  # Identity of detections that the protocols exclude.
_SAMPLE = 500  # Maximum number of names of a split by which a layout is recognised.

Folders = Mapping[str, tuple[Path, ...]]


class Layout(StrEnum):
    """Keys of the layouts that code refers to; `layouts.registry` has all layouts."""

    MARKET_1501 = "market1501"
    DUKE = "dukemtmc"
    OCCLUDED_DUKE = "occluded_duke"
    OCCLUDED_REID = "occluded_reid"
    PARTIAL_REID = "partial_reid"
    FOLDER = "folder"


@dataclass(frozen=True)
class Entry:
    """One image, with what its layout reads from its name and folder.

    Attributes:
        path: Path relative to the dataset's folder.
        identity: Number of the person; -1 for junk.
        camera: Number of the camera as written in the name; None if the name has none.
        split: Split of the dataset: train, query or gallery.
        person: Name of the person, if a folder gives one.
    """

    path: Path
    identity: int
    camera: int | None
    split: str
    person: str = ""


@dataclass
class Reading:
    """Result of reading a folder according to a layout.

    Attributes:
        entries: Images of all splits.
        left_out: Files that are not part of the dataset, with the reason.
        notes: Sentences for the user on how the files were read.
    """

    entries: list[Entry] = field(default_factory=list)
    left_out: list[LeftOutFile] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class LayoutSpec:
    """One dataset layout.

    Attributes:
        key: Name of the layout in `dataset.json` and in messages.
        title: Published name of the dataset.
        titled: Regular expression for the name of a folder that contains this dataset. The name is first converted to
            lower case, and all characters except letters and digits become spaces. Empty if no name identifies the
            dataset.
        folders: Accepted paths of the folders of each split, preferred ones first; case is ignored.
        name: Regular expression that a file name must match at its start, with the groups `identity` and `camera`.
        example: Example of a file name.
        typical: Regular expression by which the layout is recognised; by default `name`.
        cameras: Where cameras come from.
        released_cameras: Whether the released code numbers cameras (query 1, gallery 2) although the dataset has none.
        protocol: Evaluation protocol; None to choose it from the data.
        depth: Number of folder levels below a split's folder in which images are read.
        own_folders: Folder names that no other kind of data uses, so that foreign file names are an error.
        needs_title: Whether only the folder's name distinguishes this layout from another one.
        shares_numbers: Whether the layout is recognised only if queries and gallery have identities in common.
        files: Files that must exist, for a layout with lists.
        read: Function that reads the folders; by default `read_names`.
        remark: Remark for the table of layouts.
    """

    key: str
    title: str
    folders: Mapping[str, tuple[str, ...]]
    name: str
    example: str
    titled: str = ""
    typical: str = ""
    cameras: Cameras = Cameras.NAMES
    released_cameras: bool = False
    protocol: Protocol | None = None
    depth: int = 2
    own_folders: tuple[str, ...] = ()
    needs_title: bool = False
    shares_numbers: bool = False
    files: tuple[str, ...] = ()
    read: Callable[[LayoutSpec, Path, Folders, FolderListing], Reading] | None = None
    remark: str = ""

    def located(
        self, root: Path, listing: FolderListing, chosen: Mapping[str, tuple[str, ...]] | None = None
    ) -> Folders | None:
        """Return the folders of each split, or None if those of queries or gallery, or a list, are missing.

        Args:
            root: Folder of the dataset.
            listing: Lists subfolders.
            chosen: Paths of the folders of some splits, from `dataset.json`, which replace those of the layout.
        """
        if not all((root / name).is_file() for name in self.files):
            return None
        found: dict[str, tuple[Path, ...]] = {}
        for split, paths in (self.folders or dict.fromkeys(chosen or {}, ())).items():
            if chosen and split in chosen:
                found[split] = tuple(root / path for path in chosen[split])
                continue
            each = next((folder for path in paths if (folder := find_folder(root, path, listing))), None)
            if each:
                found[split] = (each,)
        return found if {"query", "gallery"} <= set(found) else None

    def share(self, root: Path, folders: Folders, listing: FolderListing) -> float:
        """Return the share of names of queries and gallery that follow the layout, in [0, 1].

        Args:
            root: Folder of the dataset.
            folders: Folders from `located`.
            listing: Lists images.
        """
        if self.files:
            return 1.0
        pattern = re.compile(self.typical or self.name, re.ASCII)
        shares, numbers = [], []
        for split in ("query", "gallery"):
            images = [image for folder in folders[split] for image in listing.images_below(folder, 2)]
            sample = images[:: max(1, len(images) // _SAMPLE)]
            matches = [(image, pattern.match(image.name)) for image in sample]
            fits = [
                match
                for image, match in matches
                if match and any(levels(image, folder) <= self.depth for folder in folders[split])
            ]
            shares.append(len(fits) / max(1, len(sample)))
            numbers.append({int(match["identity"]) for match in fits})
        common = len(numbers[0] & numbers[1]) / max(1, len(numbers[0])) if self.shares_numbers else 1.0
        return min(1.0, 2 * common) * sum(shares) / 2


def levels(path: Path, folder: Path) -> int:
    """Return the number of folders between a folder and a file below it.

    Args:
        path: Path of the file.
        folder: Folder to start from.

    Returns:
        0 for a file in `folder` itself; 99, more than any layout reads, for a file that is not below it.
    """
    return len(path.relative_to(folder).parts) - 1 if folder in path.parents else 99


def find_folder(root: Path, path: str, listing: FolderListing) -> Path | None:
    """Return a subfolder by its path, ignoring case if there is no exact match, or None if there is none.

    Args:
        root: Folder to start from.
        path: Path such as "test/whole_body_images".
        listing: Lists subfolders.
    """
    folder = root
    for part in path.split("/"):
        children = listing.folders(folder)
        named = [child for child in children if child.name == part] or [
            child for child in children if child.name.lower() == part.lower()
        ]
        if not named:
            return None
        folder = named[0]
    return folder


def read_names(spec: LayoutSpec, root: Path, folders: Folders, listing: FolderListing) -> Reading:
    """Read identity and camera from file names.

    Args:
        spec: Layout of the dataset.
        root: Folder of the dataset.
        folders: Folders of each split.
        listing: Lists images.

    Returns:
        Entries sorted by file name within each split, as in the released code.
    """
    pattern = re.compile(spec.name, re.ASCII)
    reading = Reading()
    for split, homes in folders.items():
        images = [image for home in homes for image in listing.images_below(home, spec.depth)]
        for path in sorted(images, key=lambda each: each.name):
            inside = path.relative_to(root)
            entry = entry_of(pattern, inside, split)
            if entry is None:
                reading.left_out.append(LeftOutFile(inside, BAD_NAME))
            else:
                reading.entries.append(entry)
        for home in homes:
            reading.left_out += left_out_below(root, home, spec.depth, listing)
    return reading


def left_out_below(root: Path, home: Path, depth: int, listing: FolderListing) -> Sequence[LeftOutFile]:
    """Return the images one level too deep for a layout, which are left out, with the reason.

    Args:
        root: Folder of the dataset, to which the paths are relative.
        home: Folder of a split.
        depth: Number of folder levels below `home` that the layout reads.
        listing: Lists images.
    """
    reason = f"the image is more than {depth} folders below its split"
    return [LeftOutFile(path.relative_to(root), reason) for path in listing.images_at(home, depth + 1)]


def entry_of(pattern: re.Pattern[str], path: Path, split: str) -> Entry | None:
    """Return the entry of a file, or None if its name does not match or its identity is below -1.

    Args:
        pattern: Regular expression with the group `identity` and optionally `camera`.
        path: Path relative to the dataset's folder.
        split: Split of the file.
    """
    match = pattern.match(path.name)
    if match is None or int(match["identity"]) < JUNK:
        return None
    number = match.groupdict().get("camera")
    return Entry(path, int(match["identity"]), None if number is None else int(number), split)

"""Layouts of users' own data: one subfolder per person, with or without a split, or one folder of Market-1501 names."""

from __future__ import annotations

from pathlib import Path

from fpc_core.data.folder_listing import FolderListing
from fpc_core.data.layouts import market_and_duke
from fpc_core.data.layouts.spec import JUNK, Entry, Folders, Layout, LayoutSpec, Reading, left_out_below
from fpc_core.data.protocols import Cameras


def read_people(spec: LayoutSpec, root: Path, folders: Folders, listing: FolderListing) -> Reading:
    """Read subfolders as people; without a split, every image is a query and a gallery image.

    A subfolder is one identity, the same in query and gallery, and "-1" is junk. Every image outside of subfolders is a
    separate identity.

    Args:
        spec: Layout of the dataset.
        root: Folder of the dataset.
        folders: Folders of each split; those of queries and gallery are the root if there is no split.
        listing: Lists images.
    """
    reading = Reading()
    images = {
        split: [(path, home) for home in homes for path in listing.images_below(home, spec.depth)]
        for split, homes in folders.items()
    }
    for home in dict.fromkeys(each for homes in folders.values() for each in homes):
        reading.left_out += left_out_below(root, home, spec.depth, listing)

    def key(path: Path, home: Path) -> tuple[bool, str]:
        inside = path.parent != home
        return (not inside, path.parent.name if inside else path.relative_to(root).as_posix())

    people = sorted({key(path, home) for found in images.values() for path, home in found} - {(False, str(JUNK))})
    identities = {each: number for number, each in enumerate(people)} | {(False, str(JUNK)): JUNK}
    reading.entries = [
        Entry(path.relative_to(root), identities[key(path, home)], None, split, _person(path, home))
        for split, found in images.items()
        for path, home in found
    ]
    return reading


def _person(path: Path, home: Path) -> str:
    return path.parent.name if path.parent != home else path.stem


FOLDER = LayoutSpec(
    key=Layout.FOLDER,
    title="One folder per person",
    folders={
        "train": ("image_train", "train"),
        "query": ("query", "image_query", "probe"),
        "gallery": ("gallery", "image_test", "test"),
    },
    name=r"(?P<identity>)",
    example="anna/holiday.jpg",
    cameras=Cameras.NONE,
    depth=1,
    read=read_people,
    remark="without query and gallery folders, every image is compared with all others",
)
UNSPLIT = LayoutSpec(
    key="unsplit",
    title="One folder with names as in Market-1501 or DukeMTMC-reID",
    folders={},
    name=market_and_duke.NAME,
    example="0002_c1s1_000451_03.jpg",
    remark="every image is compared with all others",
)
LAYOUTS = (FOLDER, UNSPLIT)

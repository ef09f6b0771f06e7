"""Collect all dataset layouts, and recognise the layout of a folder."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path

from fpc_core.data.folder_listing import FolderListing
from fpc_core.data.layouts import (
    market_and_duke,
    msmt17_and_posetrack,
    occluded_and_partial_reid,
    partial_ilids_and_numbered,
    person_folders,
)
from fpc_core.data.layouts.person_folders import FOLDER, UNSPLIT
from fpc_core.data.layouts.spec import Folders, LayoutSpec
from fpc_core.io.bounded_files import escape_name

FEW = 0.5  # A layout that a smaller share of names follows is chosen only if its folder names are unmistakable.

LAYOUTS: tuple[LayoutSpec, ...] = (
    *occluded_and_partial_reid.LAYOUTS,
    *msmt17_and_posetrack.LAYOUTS,
    *partial_ilids_and_numbered.LAYOUTS,
    *person_folders.LAYOUTS,
    *market_and_duke.LAYOUTS,
)
"""All layouts. If a folder fits several of them equally well, the first one is chosen."""

TOP_FOLDERS = frozenset(
    path.split("/")[0].lower() for spec in LAYOUTS for paths in spec.folders.values() for path in paths
)
"""Names of subfolders that contain a split of a dataset, in lower case."""

# Names of folders that do not identify a dataset.
_UNSPECIFIC = frozenset(
    {"test", "pytorch", "images", "image", "imgs", "data", "dataset", "datasets", "archive", "reid", "detected"}
    | {"labeled", "labelled", "val", "eval"}
)
_SUBSETS = frozenset({"detected", "labeled", "labelled"})


def spec_of(key: str) -> LayoutSpec | None:
    """Return a layout by its key, or None."""
    return next((spec for spec in LAYOUTS if spec.key == key), None)


def recognise(
    folder: Path, listing: FolderListing, chosen: Mapping[str, tuple[str, ...]] | None = None
) -> tuple[LayoutSpec, Folders] | None:
    """Return the layout of a folder and the folders of its splits, or None if it has none or may be a plain folder.

    The layout that most names follow is chosen; the name of the folder, preferred names of subfolders and the order of
    the registry decide between equals. Names that follow no layout are accepted only in folders that only published
    datasets have (`LayoutSpec.own_folders`).

    Args:
        folder: Folder of the dataset.
        listing: Lists folders and images.
        chosen: Folders of some splits, from `dataset.json`.
    """
    name, found = normalised(dataset_names(folder)), []
    for index, spec in enumerate(LAYOUTS):
        folders = spec.located(folder, listing, chosen) if spec not in (FOLDER, UNSPLIT) else None
        is_titled = bool(spec.titled and re.search(spec.titled, name))
        if folders is None or (spec.needs_title and not is_titled):
            continue
        own = bool({path.name.lower() for homes in folders.values() for path in homes} & set(spec.own_folders))
        share = spec.share(folder, folders, listing)
        found.append((share >= FEW, own, round(share, 2), is_titled, -_rank(spec, folder, folders), -index, folders))
    if not found:
        return None
    fits, own, *_, negative_index, folders = max(found, key=lambda each: each[:-1])
    return (LAYOUTS[-negative_index], folders) if fits or own else None


def has_layout(folder: Path, listing: FolderListing) -> bool:
    """Return whether the subfolders and lists of a folder are those of a layout other than a plain folder.

    Args:
        folder: Folder to check.
        listing: Lists subfolders.
    """
    return any(spec not in (FOLDER, UNSPLIT) and spec.located(folder, listing) for spec in LAYOUTS)


def is_layout(names: Collection[str]) -> bool:
    """Return whether a folder that contains subfolders and lists of these names is a dataset with splits."""
    lower = {name.lower() for name in names}

    def has(spec: LayoutSpec, split: str) -> bool:
        return any("/" not in path and path in lower for path in spec.folders.get(split, ()))

    return any(set(spec.files) <= lower and has(spec, "query") and has(spec, "gallery") for spec in LAYOUTS)


def dataset_names(folder: Path) -> str:
    """Return the name that identifies a dataset: that of its folder, or of the nearest parent with a specific name."""
    real = folder.resolve()
    while real.name.lower() in _UNSPECIFIC and real.parent.name:
        real = real.parent
    return real.name


def normalised(name: str) -> str:
    """Return a name in lower case, with one space for each run of characters other than letters and digits."""
    return re.sub(r"[^a-z0-9]+", " ", name.lower()).strip()


def title_of(folder: Path) -> str:
    """Return the title of the dataset in a folder: a published title if the folder's name matches it, else that name.

    The subset of CUHK03-NP follows in parentheses.
    """
    name = dataset_names(folder)
    titles = (spec.title for spec in LAYOUTS if spec.titled and re.search(spec.titled, normalised(name)))
    title = next(titles, escape_name(name))
    subset = folder.resolve().name.lower()
    return f"{title} ({subset})" if subset in _SUBSETS else title


def _rank(spec: LayoutSpec, root: Path, folders: Folders) -> int:
    """Return the sum of the positions of a dataset's folders in the lists of accepted names; 0 if both are preferred.

    Args:
        spec: Layout with the accepted names.
        root: Folder of the dataset.
        folders: Folders of each split.
    """
    return sum(_position(spec.folders, split, root, folders) for split in ("query", "gallery"))


def _position(accepted: Mapping[str, tuple[str, ...]], split: str, root: Path, folders: Folders) -> int:
    path = folders[split][0].relative_to(root).as_posix().lower()
    return accepted[split].index(path) if path in accepted[split] else 0

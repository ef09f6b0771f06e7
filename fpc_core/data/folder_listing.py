"""List the folders and images of a dataset."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from fpc_core.data.images import SUFFIXES
from fpc_core.io.bounded_files import check_inside, escape_name, is_text


@dataclass(frozen=True)
class FolderListing:
    """Lists subfolders and images below a dataset's root without following links out of the allowed folders.

    Attributes:
        allowed: Real folders in which everything listed must be after links are resolved; empty for no restriction.
        unreadable: Paths that were left out because their names are not valid text.
    """

    allowed: tuple[Path, ...]
    unreadable: set[Path] = field(default_factory=set)

    def folders(self, folder: Path) -> list[Path]:
        """Return the subfolders of a folder sorted by name, without hidden ones."""
        children = [child for child in folder.iterdir() if child.is_dir() and not child.name.startswith(".")]
        return sorted(child for child in children if self._is_usable(child))

    def images(self, folder: Path) -> list[Path]:
        """Return the image files in a folder sorted by name, without hidden ones; empty if the folder is missing."""
        if not folder.is_dir():
            return []
        check_inside(folder, self.allowed, f"{folder.name} of the dataset")
        names = (name for name in os.listdir(folder) if not name.startswith("."))
        images = [folder / name for name in sorted(names) if os.path.splitext(name)[1].lower() in SUFFIXES]
        return [image for image in images if is_text(image.name) or self._leave_out(image)]

    def images_below(self, folder: Path) -> list[Path]:
        """Return the image files in a folder and its direct subfolders, sorted by path."""
        below = self.images(folder)
        if folder.is_dir():
            below += [image for child in self.folders(folder) for image in self.images(child)]
        return sorted(below)

    def left_out_below(self, folder: Path) -> list[Path]:
        """Return the paths that were left out below `folder`, relative to it, with invalid text escaped."""
        inside = sorted(path.relative_to(folder) for path in self.unreadable if folder in path.parents)
        return [Path(escape_name(str(path))) for path in inside]

    def _is_usable(self, child: Path) -> bool:
        check_inside(child, self.allowed, f"{child.name} of the dataset")
        return is_text(child.name) or self._leave_out(child)

    def _leave_out(self, path: Path) -> bool:
        self.unreadable.add(path)
        return False

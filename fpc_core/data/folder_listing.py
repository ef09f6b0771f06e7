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
    _folders: dict[Path, list[Path]] = field(default_factory=dict)
    _images: dict[Path, list[Path]] = field(default_factory=dict)

    def folders(self, folder: Path) -> list[Path]:
        """Return the subfolders of a folder sorted by name, without hidden ones; a folder is listed only once."""
        if folder not in self._folders:
            self._folders[folder] = self._list_folders(folder)
        return self._folders[folder]

    def _list_folders(self, folder: Path) -> list[Path]:
        with os.scandir(folder) as entries:  # Unlike pathlib, this needs no system call per file.
            children = [folder / each.name for each in entries if not each.name.startswith(".") and each.is_dir()]
        return sorted(child for child in children if self._is_usable(child))

    def images(self, folder: Path) -> list[Path]:
        """Return the image files in a folder sorted by name, without hidden ones; empty if the folder is missing."""
        if folder not in self._images:
            self._images[folder] = self._list_images(folder)
        return self._images[folder]

    def _list_images(self, folder: Path) -> list[Path]:
        if not folder.is_dir():
            return []
        check_inside(folder, self.allowed, f"{folder.name} of the dataset")
        names = (name for name in os.listdir(folder) if not name.startswith("."))
        images = [folder / name for name in sorted(names) if os.path.splitext(name)[1].lower() in SUFFIXES]
        return [image for image in images if is_text(image.name) or self._leave_out(image)]

    def images_below(self, folder: Path, depth: int = 1) -> list[Path]:
        """Return the image files in a folder and its subfolders, sorted by path.

        Args:
            folder: Folder to list; it may be missing.
            depth: Number of levels of subfolders; 0 for the folder alone.
        """
        deeper = [image for level in range(1, depth + 1) for image in self.images_at(folder, level)]
        # Sorting paths takes seconds for half a million images; those of one folder are sorted already.
        return sorted([*self.images(folder), *deeper]) if deeper else self.images(folder)

    def images_at(self, folder: Path, level: int) -> list[Path]:
        """Return the image files at one depth below a folder.

        Args:
            folder: Folder to start from; it may be missing.
            level: Number of folders between `folder` and the files; 0 for files in `folder` itself.
        """
        if level == 0 or not folder.is_dir():
            return self.images(folder) if level == 0 else []
        return [image for child in self.folders(folder) for image in self.images_at(child, level - 1)]

    def left_out_below(self, folder: Path) -> list[Path]:
        """Return the paths that were left out below `folder`, relative to it, with invalid text escaped."""
        inside = sorted(path.relative_to(folder) for path in self.unreadable if folder in path.parents)
        return [Path(escape_name(str(path))) for path in inside]

    def _is_usable(self, child: Path) -> bool:
        check_inside(child, self.allowed, f"{child.name} of the dataset")
        return is_text(child.name) or self._leave_out(child)

    def _leave_out(self, path: Path) -> bool:
        """Record a path whose name is not valid text, and return False, as the conditions that call this need it."""
        self.unreadable.add(path)
        return False

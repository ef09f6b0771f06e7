"""Records of images, and of files that were left out of a dataset."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

NO_CAMERA = -1
NO_IDENTITY = -1  # Identity of a person who is not known. Datasets use the same number for junk, which is in no split.


@dataclass(frozen=True)
class ImageRecord:
    """One image of a dataset.

    Attributes:
        path: Path relative to the dataset's root.
        identity: Number of the person, from the file name or, in a plain folder, from the subfolder; `NO_IDENTITY` if
            unknown.
        camera: 0-based camera, -1 if unknown.
        split: Split of the dataset: train, query or gallery.
        person: Name of the person if a folder gives one, such as "anna", otherwise empty; the name of the image if the
            identity is unknown.
    """

    path: Path
    identity: int
    camera: int
    split: str
    person: str = field(default="", compare=False)

    @property
    def person_label(self) -> str:
        """Name of the person, or the number of the identity, such as "id 7"; the image's name if neither is known."""
        return self.person or f"id {self.identity}"


@dataclass(frozen=True)
class LeftOutFile:
    """A file or folder that is not part of the dataset.

    Attributes:
        path: Path relative to the dataset's root, with escapes for invalid text.
        reason: Reason as a clause, such as "the name does not follow the layout".
    """

    path: Path
    reason: str

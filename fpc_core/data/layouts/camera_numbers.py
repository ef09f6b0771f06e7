"""Turn the images that a layout reads into records: exclude junk, and count cameras from 0."""

from __future__ import annotations

from dataclasses import dataclass

from fpc_core.data.layouts.spec import JUNK, Entry, Reading
from fpc_core.data.protocols import Cameras
from fpc_core.data.records import NO_CAMERA, ImageRecord, LeftOutFile

CAMERA_0 = "the name has camera 0, but cameras are counted from 1"
NO_NUMBER = "the name has no camera"
_FROM_0 = 0.01  # Minimum share of images of camera 0 from which cameras are taken to be counted from 0.


@dataclass(frozen=True)
class Numbered:
    """Records of a dataset with cameras counted from 0.

    Attributes:
        records: Records of each split, without junk.
        junk: Number of images of identity -1.
        left_out: Files that are left out because of their camera.
        cameras: Where the cameras come from; `Cameras.NAMES` is replaced by where the counting starts.
    """

    records: dict[str, list[ImageRecord]]
    junk: int
    left_out: list[LeftOutFile]
    cameras: Cameras


def with_cameras(reading: Reading, cameras: Cameras) -> Numbered:
    """Number the cameras of a dataset.

    Cameras in names are counted from 0 if at least two images, and 1 % of all, are of camera 0. A single such image
    among many is an error in its name.

    Args:
        reading: Images that the layout read.
        cameras: Where the cameras come from.
    """
    if cameras is Cameras.NAMES:
        numbers = [entry.camera for entry in reading.entries if entry.camera is not None]
        zeros = numbers.count(0)
        if not numbers:
            cameras = Cameras.NONE
        else:
            cameras = Cameras.FROM_0 if zeros >= max(2, _FROM_0 * len(numbers)) else Cameras.FROM_1
    records: dict[str, list[ImageRecord]] = {"train": [], "query": [], "gallery": []}
    left_out, junk = [], 0
    for entry in reading.entries:
        camera = _camera(entry, cameras)
        if camera is None:
            left_out.append(LeftOutFile(entry.path, NO_NUMBER if entry.camera is None else CAMERA_0))
        elif entry.identity == JUNK:
            junk += 1
        else:
            records[entry.split].append(ImageRecord(entry.path, entry.identity, camera, entry.split, entry.person))
    return Numbered(records, junk, left_out, cameras)


def _camera(entry: Entry, cameras: Cameras) -> int | None:
    """Return the 0-based camera of an image, NO_CAMERA without cameras, or None if the name has no valid camera."""
    if cameras is Cameras.NONE:
        return NO_CAMERA
    if cameras is Cameras.RELEASED:
        return 0 if entry.split == "query" else 1
    first = 0 if cameras is Cameras.FROM_0 else 1
    return None if entry.camera is None or entry.camera < first else entry.camera - first

"""Evaluation protocols, which define the gallery images that count for a query, and the sources of camera labels."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

AUTO = "auto"  # Value of the settings `protocol` and `cameras` that chooses them from the data.


class Protocol(StrEnum):
    """Which gallery images are ignored for a query besides its own file."""

    CAMERAS = "cameras"  # Images of the query's person from the query's camera, as in Market-1501.
    NO_CAMERAS = "no-cameras"  # None.
    LEAVE_ONE_OUT = "leave-one-out"  # None; every image is a query, and all other images are the gallery.


class Cameras(StrEnum):
    """Where the cameras of a dataset come from."""

    NAMES = "names"  # From the file names; counted from 0 if many images are of camera 0, otherwise from 1.
    FROM_0 = "from-0"  # From the file names, counted from 0.
    FROM_1 = "from-1"  # From the file names, counted from 1.
    RELEASED = "released"  # Queries are of camera 1 and gallery images of camera 2, as in the released code.
    NONE = "none"  # Unknown: the model uses the mean camera embedding, and no image is ignored for its camera.


PROTOCOL_TEXT: Mapping[Protocol, str] = {
    Protocol.CAMERAS: "with cameras: gallery images of the query's person from the query's camera do not count "
    "(Market-1501's junk rule)",
    Protocol.NO_CAMERAS: "without cameras: every gallery image counts, also images from the query's own "
    "camera if there are any",
    Protocol.LEAVE_ONE_OUT: "leave-one-out: every image is a query and is compared with all other images; not "
    "comparable with published scores, which need a separate query and gallery folder",
}

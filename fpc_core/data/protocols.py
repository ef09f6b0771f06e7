"""Evaluation protocols, which define the gallery images that count for a query, and the sources of camera labels."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

AUTO = "auto"  # Value of the settings `protocol` and `cameras` that chooses them from the data.


class Protocol(StrEnum):
    """Rule for the gallery images that are ignored for a query. Its own file is always ignored."""

    CAMERAS = "cameras"  # Images of the query's person from the query's camera are ignored, as in Market-1501.
    NO_CAMERAS = "no-cameras"  # Only the query's own file is ignored.
    LEAVE_ONE_OUT = "leave-one-out"  # Every image is a query, and all other images are its gallery.


class Cameras(StrEnum):
    """Source of the camera labels of a dataset."""

    NAMES = "names"  # File names, in which cameras count from 0 if many images are of camera 0, otherwise from 1.
    FROM_0 = "from-0"  # File names, in which cameras count from 0.
    FROM_1 = "from-1"  # File names, in which cameras count from 1.
    RELEASED = "released"  # Queries are of camera 1 and gallery images of camera 2, as in the released code.
    NONE = "none"  # Unknown; the model uses the mean camera embedding, and no image is ignored for its camera.


PROTOCOL_TEXT: Mapping[Protocol, str] = {
    Protocol.CAMERAS: "with cameras: gallery images of the query's person from the query's camera do not count "
    "(Market-1501's junk rule)",
    Protocol.NO_CAMERAS: "without cameras: every gallery image counts, also images from the query's own "
    "camera if there are any",
    Protocol.LEAVE_ONE_OUT: "leave-one-out: every image is a query and is compared with all other images; not "
    "comparable with published scores, which need a separate query and gallery folder",
}

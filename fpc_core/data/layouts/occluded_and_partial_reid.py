"""Layouts of Occluded-ReID and Partial-ReID: separate folders of whole and occluded or partial bodies, no cameras."""

from __future__ import annotations

from fpc_core.data.layouts.spec import Layout, LayoutSpec
from fpc_core.data.protocols import Cameras

OWN_FOLDERS = ("whole_body_images",)
_NUMBERED = r"(?P<identity>\d{1,9})_"

LAYOUTS = (
    LayoutSpec(
        key=Layout.PARTIAL_REID,
        title="Partial-ReID",
        titled=r"\bpartial ?re ?id",
        folders={"query": ("partial_body_images", "occluded_body_images"), "gallery": ("whole_body_images",)},
        name=_NUMBERED,
        typical=r"(?P<identity>\d{1,9})_\d+\.",
        example="001_001.jpg",
        cameras=Cameras.NONE,
        released_cameras=True,
        own_folders=OWN_FOLDERS,
    ),
    LayoutSpec(
        key=Layout.OCCLUDED_REID,
        title="Occluded-ReID",
        titled=r"\boccluded ?re ?id",
        folders={"query": ("occluded_body_images",), "gallery": ("whole_body_images",)},
        name=_NUMBERED,
        typical=r"(?P<identity>\d{1,9})_\d+\.",
        example="001/001_01.tif",
        cameras=Cameras.NONE,
        released_cameras=True,
        own_folders=OWN_FOLDERS,
    ),
)

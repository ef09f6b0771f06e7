"""Layouts whose file names contain the number of the person but no camera: Partial-iLIDS, and users' own data."""

from __future__ import annotations

from fpc_core.data.layouts.spec import LayoutSpec
from fpc_core.data.protocols import Cameras

LAYOUTS = (
    LayoutSpec(
        key="partial_ilids",
        title="Partial-iLIDS",
        titled=r"\bpartial ?i ?lids",
        folders={
            "query": ("probe", "partial_body_images", "occluded_body_images", "query"),
            "gallery": ("gallery", "whole_body_images"),
        },
        name=r"(?P<identity>\d{1,9})\.",
        example="001.jpg",
        cameras=Cameras.RELEASED,
        released_cameras=True,
        depth=0,
        shares_numbers=True,
        remark="one person per number",
    ),
    LayoutSpec(
        key="numbered",
        title="Numbered images",
        folders={"query": ("query", "image_query", "probe"), "gallery": ("gallery", "image_test", "test")},
        name=r"(?P<identity>\d{1,9})_\d+\.",
        example="001_01.jpg",
        cameras=Cameras.NONE,
        depth=0,
        shares_numbers=True,
        remark="the number before the first underscore is the person",
    ),
)

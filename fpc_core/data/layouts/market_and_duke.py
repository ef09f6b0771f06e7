"""Layouts with query and gallery folders and identity and camera in the names: Market-1501, DukeMTMC-reID and others.

Folder names vary between archives and codebases, and a widely used baseline sorts the images into one folder per
person. All of these are accepted.
"""

from __future__ import annotations

from fpc_core.data.layouts.spec import Layout, LayoutSpec

NAME = r"(?P<identity>-?\d{1,9})_c(?P<camera>\d{1,4})(s\d+)?[_.]"  # Without a limit, long numbers could overflow int64.
# Only Market-1501 has a sequence after the camera.
_WITHOUT_SEQUENCE = r"(?P<identity>-?\d{1,9})_c(?P<camera>\d{1,4})[_.]"
FOLDERS = {
    "train": ("bounding_box_train", "image_train", "train_all", "train"),
    "query": ("query", "image_query", "probe"),
    "gallery": ("bounding_box_test", "gallery", "image_test", "test"),
}
OWN_FOLDERS = ("bounding_box_test",)

LAYOUTS = (
    LayoutSpec(
        key=Layout.MARKET_1501,
        title="Market-1501",
        titled=r"\bmarket ?1501|^market$",
        folders=FOLDERS,
        name=NAME,
        typical=r"(?P<identity>-?\d{1,9})_c(?P<camera>\d{1,4})s\d+[_.]",
        example="0002_c1s1_000451_03.jpg",
        own_folders=OWN_FOLDERS,
        remark="also with one folder per person in each split",
    ),
    LayoutSpec(
        key=Layout.OCCLUDED_DUKE,
        title="Occluded-Duke",
        titled=r"\bocc(luded)? ?duke",
        folders=FOLDERS,
        name=NAME,
        typical=_WITHOUT_SEQUENCE,
        example="0001_c2_f0046182.jpg",
        own_folders=OWN_FOLDERS,
        needs_title=True,
    ),
    LayoutSpec(
        key="cuhk03_np",
        title="CUHK03-NP",
        titled=r"\bcuhk ?03",
        folders=FOLDERS,
        name=NAME,
        typical=_WITHOUT_SEQUENCE,
        example="0003_c1_21.png",
        own_folders=OWN_FOLDERS,
        needs_title=True,
        remark="choose the folder `detected` or `labeled`",
    ),
    LayoutSpec(
        key="msmt17_merged",
        title="MSMT17",
        titled=r"\bmsmt ?17",
        folders=FOLDERS,
        name=NAME,
        typical=_WITHOUT_SEQUENCE,
        example="0000_c14_0030.jpg",
        own_folders=OWN_FOLDERS,
        needs_title=True,
        remark="as some codebases rearrange it",
    ),
    LayoutSpec(
        key=Layout.DUKE,
        title="DukeMTMC-reID",
        titled=r"(?<!p )(?<!occluded )(?<!occ )(?<!partial )\bduke ?mtmc(?! ?video)|^duke$",
        folders=FOLDERS,
        name=NAME,
        typical=_WITHOUT_SEQUENCE,
        example="0001_c2_f0046182.jpg",
        own_folders=OWN_FOLDERS,
    ),
    LayoutSpec(
        key="p_dukemtmc",
        title="P-DukeMTMC-reID",
        titled=r"\bp ?duke",
        folders={
            "train": ("train",),
            "query": ("test/occluded_body_images", "occluded_body_images"),
            "gallery": ("test/whole_body_images", "whole_body_images"),
        },
        name=NAME,
        example="0005/0005_c2_f0046985.jpg",
        own_folders=("whole_body_images",),
    ),
)

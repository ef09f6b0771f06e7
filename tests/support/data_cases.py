"""Small datasets in layouts that users have: names for empty files, or for noise images that the model can encode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

PEOPLE = range(1, 13)
Names = Mapping[str, Sequence[str]]


def street(query: Sequence[int], gallery: Sequence[int]) -> dict[str, list[str]]:
    """Return names as in DukeMTMC-reID, with an image of every person from each of these cameras."""

    def named(cameras: Sequence[int]) -> list[str]:
        return [f"{person:04d}_c{camera}_f{person * 100 + camera:07d}.png" for person in PEOPLE for camera in cameras]

    return {"query": named(query), "bounding_box_test": named(gallery)}


def market_by_person() -> dict[str, list[str]]:
    """Return names as in Market-1501 after the preparation of a widely used baseline: one folder per person."""
    names = {f"query/{p:04d}": [f"{p:04d}_c1s1_{p:06d}_00.png"] for p in PEOPLE}
    names |= {f"gallery/{p:04d}": [f"{p:04d}_c{c}s1_{p:06d}_0{c}.png" for c in (1, 2, 3)] for p in PEOPLE}
    return names | {"gallery/-1": ["-1_c1s1_000001_00.png"], "gallery/0000": ["0000_c2s1_000001_00.png"]}


def market_flat(query: str, gallery: str) -> dict[str, list[str]]:
    """Return names as in Market-1501, in two folders with the given names."""
    return {
        query: [f"{p:04d}_c1s1_{p:06d}_00.png" for p in PEOPLE],
        gallery: [f"{p:04d}_c{c}s1_{p:06d}_00.png" for p in PEOPLE for c in (1, 2)],
    }


def numbers(query: str, gallery: str) -> dict[str, list[str]]:
    """Return names that consist of the number of a person, in two folders with the given names."""
    return {folder: [f"{p:03d}.png" for p in PEOPLE] for folder in (query, gallery)}


def body(prefix: str = "", name: str = "{0:03d}_{1:02d}.png") -> dict[str, list[str]]:
    """Return folders of occluded and whole bodies with one subfolder per person."""
    return {
        f"{prefix}{part}_body_images/{p:03d}": [name.format(p, shot)]
        for p in PEOPLE
        for part, shot in (("occluded", 1), ("whole", 2))
    }


def persons() -> dict[str, list[str]]:
    """Return one folder per person, without a split."""
    return {name: [f"{number}_{shot}.png" for shot in range(4)] for number, name in enumerate(("anna", "ben", "carla"))}


def lay_out(root: Path, names: Names, *, noise: bool = False) -> Path:
    """Create files with these names.

    Args:
        root: Folder of the dataset.
        names: Names of the files in each subfolder.
        noise: Whether the files are images with a colour pattern for each person; otherwise they are empty.
    """
    for folder, files in names.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        for shot, name in enumerate(files):
            if noise:
                digits = "".join(letter for letter in name.split("_")[0] if letter.isdigit())
                _image(int(digits or 0), shot).save(root / folder / name)
            else:
                (root / folder / name).touch()
    return root


def _image(person: int, shot: int) -> Image.Image:
    base = np.random.default_rng(person).integers(0, 255, (8, 4, 3))
    noise = np.random.default_rng([person, shot]).integers(-20, 20, base.shape)
    pixels = np.clip(base + noise, 0, 255).astype(np.uint8)
    return Image.fromarray(pixels).resize((64, 128), Image.Resampling.BICUBIC)

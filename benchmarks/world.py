"""Make a synthetic dataset with the layout of Occluded-Duke, at any share of its size, and random weights.

The images are small JPEGs of noise.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from fpc_core.config import ModelConfig
from fpc_core.model.checkpoint import save_checkpoint
from fpc_core.model.fpc import FPC

SPLITS = {  # Numbers of images and identities in each split of Occluded-Duke.
    "query": (2_210, 519),
    "bounding_box_test": (17_661, 1_110),
    "bounding_box_train": (15_618, 702),
}
CAMERAS = 8
SIZE = (16, 32)  # Width and height of the images in pixels, small so that decoding takes little time.
CONFIG = ModelConfig(stride=16, width=48, heads=4, cameras=CAMERAS, identities=702)


def make_dataset(root: Path, share: float = 1.0) -> Path:
    """Make a dataset in which every query has true matches from other cameras, and return its folder."""
    rng = np.random.default_rng(0)
    for folder, (images, identities) in SPLITS.items():
        (root / folder).mkdir(parents=True)
        people = max(1, round(share * identities))
        first = 5_001 if folder == "bounding_box_train" else 1
        for number in range(max(1, round(share * images))):
            person, shot = number % people, number // people
            # The images of a person cycle through the cameras. Queries are shifted by one camera to have matches.
            camera = (person + shot + (folder == "query")) % CAMERAS
            pixels = rng.integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
            name = f"{first + person:04d}_c{camera + 1}_f{number:07d}.jpg"
            Image.fromarray(pixels).save(root / folder / name, quality=50)
    label = {"name": f"Noise at {share:g} of Occluded-Duke's size", "synthetic": True, "layout": "occluded_duke"}
    (root / "dataset.json").write_text(json.dumps(label), encoding="utf-8")
    return root


def make_weights(path: Path, config: ModelConfig = CONFIG) -> Path:
    """Write reproducible random weights to `path`, and return the path."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        save_checkpoint(FPC(config).eval(), path)
    return path

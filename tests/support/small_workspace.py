"""Build a complete workspace in seconds: drawn people, a small random model, and its gallery memory."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

from fpc_core.config import ModelConfig
from fpc_core.data.datasets import open_dataset
from fpc_core.gallery.builder import build_memory
from fpc_core.model.checkpoint import load_checkpoint, save_checkpoint
from fpc_core.model.fpc import FPC
from fpc_core.workspace import Places

CONFIG = ModelConfig(stride=16, width=32, heads=4, cameras=4, identities=8)
IDENTITIES, CAMERAS = 8, 4


def build_world(root: Path, identities: int = IDENTITIES, cameras: Iterable[int] = range(1, CAMERAS + 1)) -> Places:
    """Build a dataset in Occluded-Duke's layout, weights and a gallery memory.

    Every identity has one gallery image per camera and one occluded query.

    Args:
        root: Folder in which everything is built.
        identities: Number of people.
        cameras: Camera numbers from 1.
    """
    places = Places(root / "small", root / "model.safetensors", root / "memory")
    for folder in ("query", "bounding_box_test", "bounding_box_train"):
        (places.data / folder).mkdir(parents=True)
    for identity in range(1, identities + 1):
        for camera in cameras:
            figure = paint(identity, camera)
            figure.save(places.data / "bounding_box_test" / f"{identity:04d}_c{camera}_f0000001.png")
        occluded = paint(identity, 1)
        ImageDraw.Draw(occluded).rectangle((0, 130, 128, 256), fill=(120, 110, 100))
        occluded.save(places.data / "query" / f"{identity:04d}_c1_f0000002.png")
    (places.data / "dataset.json").write_text('{"name": "Small world", "synthetic": true, "note": "for tests"}')
    torch.manual_seed(0)
    save_checkpoint(FPC(CONFIG).eval(), places.weights)
    model, _ = load_checkpoint(places.weights)
    dataset = open_dataset(places.data)
    build_memory(model.eval(), dataset.gallery, dataset.root, places.memory)
    return places


def paint(identity: int, camera: int) -> Image.Image:
    """Return an image of a person whose colours depend on the identity. The background depends on the camera."""
    rng = np.random.default_rng(identity)
    shirt, trousers = (tuple(int(value) for value in rng.integers(0, 256, 3)) for _ in range(2))
    image = Image.new("RGB", (128, 256), (60 + 40 * camera, 150, 220 - 40 * camera))
    draw = ImageDraw.Draw(image)
    draw.ellipse((48, 16, 80, 56), fill=(224, 180, 150))
    draw.rectangle((36, 58, 92, 140), fill=shirt)
    draw.rectangle((42, 140, 86, 240), fill=trousers)
    return image

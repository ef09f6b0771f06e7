"""The targets of `tests.fuzz.fuzzing`: functions that read input from visitors, and checks of what they accept."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch

from app.session.lab_scene import from_link, to_link
from app.session.view import read_view
from app.session.workspace_choice import read_choice
from fpc_core.config import PruneSettings, QuerySettings
from fpc_core.data.datasets import DatasetError, open_dataset
from fpc_core.data.images import MAX_PIXELS, MIN_SIDE, ImageError, decode_image
from fpc_core.data.occluder_rendering import coverage, paint
from fpc_core.data.occluders import CutOut, Scene, SceneRecipe, scale_occluders
from fpc_core.io.dataclass_json import RecipeError, from_json, to_json
from fpc_core.model.checkpoint import CheckpointError, load_checkpoint
from fpc_core.workspace import Places
from fpc_core.workspace.allowed_roots import OutsideRootsError, Root
from tests.fuzz.hostile_images import image_file
from tests.fuzz.hostile_text import file_names, label, link, recipe_text
from tests.fuzz.hostile_weights import File, checkpoint_file

PATCHES = 128


@dataclass(frozen=True)
class Target:
    """A function of the app or the core that reads input from visitors.

    Attributes:
        make: Function that makes a random input.
        feed: Function that passes an input to the reader, and asserts that the result is valid. It may use a folder.
        refuses: Exceptions with which it may refuse an input.
        share: Weight of this target in the number of inputs.
    """

    make: Callable[[Random], Any]
    feed: Callable[[Any, Path], None]
    refuses: tuple[type[Exception], ...]
    share: int


def _image(data: bytes, folder: Path) -> None:
    """Decode an image, and check its type and size."""
    image = decode_image(data, "image")
    assert image.dtype == np.uint8
    assert image.ndim == 3
    assert image.shape[2] == 3
    assert min(image.shape[:2]) >= MIN_SIDE
    assert image.shape[0] * image.shape[1] <= MAX_PIXELS


def _checkpoint(file: File, folder: Path) -> None:
    """Load a checkpoint, and check that the model can encode an image."""
    suffix, data, config = file
    path = folder / f"weights{suffix}"
    path.write_bytes(data)
    model, report = load_checkpoint(path, config=config)
    assert not model.training
    assert str(report)
    kinds = {tensor.dtype for tensor in model.state_dict().values()}
    assert kinds <= {torch.float32, torch.int64}
    model_config = model.config
    if model_config.patches <= 4 * PATCHES:
        cameras = torch.zeros(1, dtype=torch.int64) if model_config.cameras else None
        images = torch.zeros(1, 3, *model_config.image_size)
        with torch.inference_mode():
            tokens = model.encode(images, cameras, PruneSettings(keep_rate=1.0, blocks=(0,))).tokens
        assert tokens.shape == (1, 1 + model_config.patches, model_config.width)


def _recipe(case: tuple[type, str], folder: Path) -> None:
    """Read a recipe, and check that its text gives an equal recipe and that its scene can be painted."""
    kind, text = case
    recipe: Any = from_json(kind, text, 1)
    assert from_json(kind, to_json(recipe, 1), 1) == recipe
    scene = recipe.scene if isinstance(recipe, SceneRecipe) else recipe
    if isinstance(scene, Scene):
        image = np.full((64, 32, 3), 90, np.uint8)
        pictures = {(each.path, each.outline): np.full((64, 32, 4), 200, np.uint8) for each in scene.cut_outs}
        assert paint(image, scene, pictures).shape == image.shape
        assert coverage(scene, (64, 32), pictures).shape == (64, 32)
        assert len(scale_occluders(scene, 0.5).occluders) == len(scene.occluders)
        assert all(isinstance(each, CutOut) for each in scene.cut_outs)


def _link(params: dict[str, str], folder: Path) -> None:
    """Read a link. Check that every invalid parameter has a message, and that the result's own link gives it again."""
    view, problems = read_view(params, PATCHES)
    assert all(problems)
    again, none = read_view(view.to_params(), PATCHES)
    assert (again, none) == (view, ())
    assert isinstance(view.settings, QuerySettings)
    choice, problems = read_choice(params)
    assert all(problems)
    assert read_choice(choice.to_params()) == (choice, ())
    roots = (Root("house", folder),)
    places = choice.places(roots, Places(folder, folder, folder))
    assert all(folder in (each, *each.parents) for each in (places.data, places.weights))
    if "scene" in params:
        scene = from_link(params["scene"])
        assert from_link(to_link(scene)) == scene


def _label(content: bytes, folder: Path) -> None:
    """Open a dataset with this `dataset.json`, and check the types of its fields."""
    _lay_out(folder, ["0001_c1_f1.png"])
    (folder / "data" / "dataset.json").write_bytes(content)
    dataset = open_dataset(folder / "data")
    assert type(dataset.neighbors) is int
    assert 1 <= dataset.neighbors <= QuerySettings().shortlist
    assert isinstance(dataset.name, str)


def _names(names: list[str], folder: Path) -> None:
    """Open a dataset with these file names, and check that identities and cameras fit into integer arrays."""
    _lay_out(folder, names)
    dataset = open_dataset(folder / "data")
    for record in (*dataset.query, *dataset.gallery):
        np.array([record.identity, record.camera], np.int64)
        torch.tensor([record.camera])


def _lay_out(folder: Path, names: list[str]) -> None:
    """Replace the dataset in `folder` by one with empty files of these names."""
    for split in ("query", "bounding_box_test"):
        home = folder / "data" / split
        home.mkdir(parents=True, exist_ok=True)
        for old in os.scandir(home):
            Path(old.path).unlink()
        for name in names:
            (home / name).touch()


TARGETS = {
    "images": Target(image_file, _image, (ImageError,), 4),
    "checkpoints": Target(checkpoint_file, _checkpoint, (CheckpointError,), 3),
    "recipes": Target(recipe_text, _recipe, (RecipeError,), 3),
    "links": Target(link, _link, (RecipeError, OutsideRootsError), 3),
    "labels": Target(label, _label, (DatasetError,), 1),
    "names": Target(file_names, _names, (DatasetError,), 1),
}

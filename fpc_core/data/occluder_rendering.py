"""Paint a scene of occluders on an image.

Occluders are opaque and have anti-aliased edges. Results are deterministic.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from fpc_core.data.datasets import ImageRecord
from fpc_core.data.ground_truth import PERSON
from fpc_core.data.occluders import (
    CutOut,
    Occluder,
    Outline,
    Placed,
    Pole,
    Rectangle,
    Scene,
    Stroke,
    Texture,
    TexturedRectangle,
)
from fpc_core.io.dataclass_json import RecipeError

CutOutImages = Mapping[tuple[str, Outline], np.ndarray]
"""Results of `cut_out` by path and outline."""

TILE = 32  # Height and width of a texture's tile in its own pixels.
TILE_WIDTH = 0.25  # Width of a tile on the image, as a fraction of the image's width.
POLE_SHADE = (0.45, 0.9, 1.25, 1.1, 0.85, 0.65, 0.4)  # Factors for a pole's colour from its left to its right edge.
_SOFT_EDGE = 0.15  # Width of an ellipse's soft edge, as a fraction of its radius.
_OVERSAMPLING = 4  # Factor by which strokes are drawn larger and then shrunk, for smooth edges.


@dataclass(frozen=True, eq=False)
class _Layer:
    """One rendered occluder.

    Attributes:
        colour: (H, W, 3) or (3,) float32 colour in 0..255.
        opacity: (H, W) float32 opacity in 0..1.
    """

    colour: np.ndarray
    opacity: np.ndarray


def paint(image: np.ndarray, scene: Scene, pictures: CutOutImages | None = None) -> np.ndarray:
    """Paint a scene on an image; pixels that no occluder touches do not change.

    Args:
        image: (H, W, 3) uint8 image.
        scene: Occluders to paint.
        pictures: Images of the scene's cut-outs, from `cut_outs`.

    Returns:
        (H, W, 3) uint8 image.

    Raises:
        ValueError: The image has another shape or type, or a cut-out is missing.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"the image must be uint8 (H, W, 3), got {image.dtype} {image.shape}")
    painted: np.ndarray = image.astype(np.float32)
    for layer in _layers(scene, image.shape[:2], pictures or {}):
        opacity = layer.opacity[..., None]
        painted = painted * (1.0 - opacity) + layer.colour * opacity
    return np.rint(painted).astype(np.uint8)


def coverage(scene: Scene, shape: tuple[int, int], pictures: CutOutImages | None = None) -> np.ndarray:
    """Return which pixels are at least half covered by a scene.

    Args:
        scene: Occluders of the scene.
        shape: Height and width of the image.
        pictures: Images of the scene's cut-outs, from `cut_outs`.

    Returns:
        (H, W) bool mask.

    Raises:
        ValueError: A cut-out is missing.
    """
    visible = np.ones(shape, np.float32)
    for layer in _layers(scene, shape, pictures or {}):
        visible *= 1.0 - layer.opacity
    return visible <= 0.5


def cut_out(image: np.ndarray, outline: Outline, mask: np.ndarray | None = None) -> np.ndarray:
    """Cut a person out of an image.

    Args:
        image: (H, W, 3) uint8 image.
        outline: How to cut out the person.
        mask: (h, w) uint8 mask of `fpc_core.data.ground_truth`, or None if the dataset has no masks.

    Returns:
        (H, W, 4) uint8 image, whose last channel is the opacity.
    """
    height, width = image.shape[:2]
    if outline is Outline.BOX:
        opacity = np.ones((height, width), np.float32)
    elif outline is Outline.PERSON and mask is not None:
        person = cv2.resize((mask == PERSON).astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
        opacity = np.clip(2.0 * person - 0.5, 0.0, 1.0)
    else:
        y, x = ((np.arange(length) + 0.5) / length * 2.0 - 1.0 for length in (height, width))
        opacity = np.clip((1.0 - np.hypot(y[:, None], x[None, :])) / _SOFT_EDGE, 0.0, 1.0)
    return np.dstack([image, np.rint(255.0 * opacity).astype(np.uint8)])


def cut_outs(
    scenes: Iterable[Scene], records: Iterable[ImageRecord], cut: Callable[[ImageRecord, Outline], np.ndarray]
) -> dict[tuple[str, Outline], np.ndarray]:
    """Make all cut-outs that `paint` needs for some scenes.

    Args:
        scenes: Scenes that will be painted.
        records: Records of the images that persons may be cut out of.
        cut: Function that makes one cut-out of a record, as `cut_out` does; it is called once per cut-out.

    Returns:
        The cut-outs by path and outline.

    Raises:
        RecipeError: A scene uses an image that is not in `records`.
    """
    needed = {(each.path, each.outline) for scene in scenes for each in scene.cut_outs}
    paths = {Path(path) for path, _ in needed}
    by_path = {record.path: record for record in records if record.path in paths}
    for path, _ in sorted(needed):
        if Path(path) not in by_path:
            raise RecipeError(
                f"the scene uses a person from {path[:120]!r}, which is not in this gallery; choose another image"
            )
    return {(path, kind): cut(by_path[Path(path)], kind) for path, kind in needed}


@cache
def tile(texture: Texture) -> np.ndarray:
    """Return the tile that a texture repeats, a read-only (TILE, TILE, 3) uint8 array."""
    pixels = _TILES[texture]()
    pixels.flags.writeable = False
    return pixels


def _layers(scene: Scene, shape: tuple[int, int], pictures: CutOutImages) -> Iterator[_Layer]:
    return (_layer(occluder, shape, pictures) for occluder in scene.occluders)


def _layer(occluder: Occluder, shape: tuple[int, int], pictures: CutOutImages) -> _Layer:
    if isinstance(occluder, Stroke):
        return _Layer(_rgb(occluder.colour), _stroke(occluder, shape))
    if isinstance(occluder, CutOut):
        cut_out_image = pictures.get((occluder.path, occluder.outline))
        if cut_out_image is None:
            raise ValueError(
                f"the image of the cut-out {occluder.path} ({occluder.outline}) is missing; add it to `pictures`"
            )
        return _pasted(occluder, cut_out_image, shape)
    across, down, size = _own_axes(occluder, shape)
    opacity = _within(across, size[0]) * _within(down, size[1])
    if isinstance(occluder, Rectangle):
        return _Layer(_rgb(occluder.colour), opacity)
    if isinstance(occluder, Pole):
        shade = np.interp(across / size[0] + 0.5, np.linspace(0.0, 1.0, len(POLE_SHADE)), POLE_SHADE)
        return _Layer(np.clip(shade[..., None] * _rgb(occluder.colour), 0.0, 255.0), opacity)
    return _Layer(_tiled(occluder, across, down, size, shape[1]), opacity)


def _own_axes(shape: Placed, image: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, tuple[float, float]]:
    """Return the coordinates of all pixels in the coordinate system of a shape.

    Args:
        shape: Shape with a position, a size and a rotation.
        image: Height and width of the image in pixels.

    Returns:
        Coordinates of the pixel centres along the shape's width and height, (H, W) each, relative to its centre; and
        width and height of the shape in pixels.
    """
    height, width = image
    down, across = np.mgrid[:height, :width].astype(np.float32) + 0.5
    across, down = across - shape.x * width, down - shape.y * height
    angle = math.radians(shape.rotation)
    cos, sin = math.cos(angle), math.sin(angle)
    return cos * across + sin * down, cos * down - sin * across, (shape.width * width, shape.height * height)


def _within(distance: np.ndarray, size: float) -> np.ndarray:
    """Return the fraction of each pixel that a line of width `size` covers.

    Args:
        distance: Distance from the centre of each pixel to the middle of the line, in pixels.
        size: Width of the line in pixels.
    """
    return np.clip(size / 2 + 0.5 - np.abs(distance), 0.0, min(1.0, size)).astype(np.float32)


def _tiled(
    occluder: TexturedRectangle, across: np.ndarray, down: np.ndarray, size: tuple[float, float], width: int
) -> np.ndarray:
    """Return the colours of a texture whose tiles repeat from the upper left corner of the rectangle.

    Args:
        occluder: Rectangle with the texture.
        across: (H, W) distance of each pixel from the centre along the rectangle's width, in pixels.
        down: (H, W) distance of each pixel from the centre along the rectangle's height, in pixels.
        size: Width and height of the rectangle in pixels.
        width: Width of the image in pixels.

    Returns:
        (H, W, 3) float32 colours in 0..255.
    """
    step = TILE_WIDTH * width / TILE
    column, row = (
        np.floor((axis + length / 2) / step).astype(np.int64) % TILE
        for axis, length in zip((across, down), size, strict=True)
    )
    return tile(occluder.texture)[row, column].astype(np.float32)


def _pasted(occluder: CutOut, cut_out_image: np.ndarray, shape: tuple[int, int]) -> _Layer:
    height, width = shape
    wide, high = occluder.width * width, occluder.height * height
    columns, rows = max(1, math.ceil(wide)), max(1, math.ceil(high))
    opacity = cut_out_image[..., 3:].astype(np.float32) / 255.0
    # Premultiplied alpha prevents colours from bleeding over edges.
    layers = np.concatenate([cut_out_image[..., :3] * opacity, opacity], axis=2)
    if occluder.mirrored:
        layers = np.ascontiguousarray(layers[:, ::-1])
    if layers.shape[:2] != (rows, columns):
        smaller = rows * columns < layers.shape[0] * layers.shape[1]
        layers = cv2.resize(layers, (columns, rows), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
    angle = math.radians(occluder.rotation)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    turn = turn * np.array([wide / columns, high / rows])
    centre = np.array([occluder.x * width, occluder.y * height])
    move = centre - turn @ np.array([columns / 2, rows / 2]) + turn @ np.array([0.5, 0.5]) - 0.5
    layers = cv2.warpAffine(layers, np.column_stack([turn, move]), (width, height), flags=cv2.INTER_LINEAR)
    opacity = np.clip(layers[..., 3], 0.0, 1.0)
    colour = layers[..., :3] / np.maximum(opacity, 1e-6)[..., None]
    return _Layer(np.clip(colour, 0.0, 255.0), opacity)


def _stroke(occluder: Stroke, shape: tuple[int, int]) -> np.ndarray:
    height, width = shape
    points = np.array(occluder.points) * (width, height) * _OVERSAMPLING
    if len(points) == 1:
        points = np.repeat(points, 2, axis=0)
    thickness = max(1, round(occluder.width * width * _OVERSAMPLING))
    drawn = np.zeros((height * _OVERSAMPLING, width * _OVERSAMPLING), np.uint8)
    eighths = np.rint(8.0 * (points - 0.5)).astype(np.int32)  # OpenCV reads 3 bits of each coordinate as a fraction.
    cv2.polylines(drawn, [eighths], False, 255, thickness, cv2.LINE_8, shift=3)
    return cv2.resize(drawn.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA) / 255.0


def _rgb(colour: str) -> np.ndarray:
    return np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)], np.float32)


def _bricks() -> np.ndarray:
    row, column = np.indices((TILE, TILE))
    course = row // 8
    mortar = (row % 8 == 7) | ((column + 8 * (course % 2)) % 16 == 15)
    shade = np.array([0, 14, -12, 6])[(course + (column + 8 * (course % 2)) // 16 * 2) % 4]
    bricks = np.array([156, 74, 56]) + shade[..., None]
    return np.where(mortar[..., None], [188, 180, 170], bricks).astype(np.uint8)


def _hedge() -> np.ndarray:
    leaves: Any = np.random.default_rng(7).random((TILE, TILE)).astype(np.float32)
    leaves = cv2.GaussianBlur(np.tile(leaves, (3, 3)), (0, 0), 1.2)[TILE : 2 * TILE, TILE : 2 * TILE]
    light = np.clip((leaves - 0.5) / 0.2 + 0.5, 0.0, 1.0)[..., None]
    return np.rint(np.array([26, 48, 20]) * (1.0 - light) + np.array([96, 140, 62]) * light).astype(np.uint8)


def _barrier() -> np.ndarray:
    row, column = np.indices((TILE, TILE))
    return np.where((((row + column) % TILE) < TILE // 2)[..., None], [200, 40, 36], [238, 236, 230]).astype(np.uint8)


def _fabric() -> np.ndarray:
    row, column = np.indices((TILE, TILE))
    light = 0.5 * (row % 16 < 8) + 0.5 * (column % 16 < 8) + 0.12 * ((row + column) % 2)
    cloth = np.array([44, 62, 104]) + light[..., None] * np.array([86, 80, 70])
    return np.rint(np.clip(cloth, 0, 255)).astype(np.uint8)


def _noise() -> np.ndarray:
    return np.random.default_rng(11).integers(0, 256, (TILE, TILE, 3)).astype(np.uint8)


_TILES: dict[Texture, Callable[[], np.ndarray]] = {
    Texture.BRICKS: _bricks,
    Texture.HEDGE: _hedge,
    Texture.BARRIER: _barrier,
    Texture.FABRIC: _fabric,
    Texture.NOISE: _noise,
}

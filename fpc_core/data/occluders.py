"""Occluders that can be painted on an image, and scenes of occluders, which are stored as recipes.

Lengths are fractions of the image, so that a scene can be painted on images of any size: x and width are fractions of
the image's width, y and height of its height. x and y are the centre of a shape. Rotations are in degrees, clockwise,
and are applied in pixels, so that squares stay square. `occluder_rendering.py` paints scenes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import pairwise
from typing import ClassVar, TypeVar

from fpc_core.bounds import Range, format_value, limited
from fpc_core.config import QuerySettings
from fpc_core.io import dataclass_json
from fpc_core.io.dataclass_json import RecipeError

FORMAT = 1
MAX_OCCLUDERS = 30
MAX_POINTS = 400  # Maximum number of points in one stroke.
POSITIONS = (-2.0, 3.0)  # Range of centres and points; an occluder may be outside the image.
SIZES = (0.005, 3.0)  # Range of widths and heights.
_POSITION_RANGE = Range(*POSITIONS)
GREY = "#808080"  # This colour is near 0 after normalisation.
_COLOUR = re.compile(r"#[0-9a-f]{6}", re.ASCII)


class Texture(StrEnum):
    """Pattern of a textured rectangle."""

    BRICKS = "bricks"
    HEDGE = "hedge"
    BARRIER = "barrier"
    FABRIC = "fabric"
    NOISE = "noise"


class Outline(StrEnum):
    """How a person is cut out of an image."""

    PERSON = "person"  # Cuts along the ground-truth mask, or like ELLIPSE if there is no mask.
    ELLIPSE = "ellipse"  # Cuts an ellipse with a soft edge.
    BOX = "box"  # Uses the whole image.


@dataclass(frozen=True)
class Placed:
    """Base class of shapes with a position, a size and a rotation.

    Raises:
        RecipeError: A value is out of range.
    """

    x: float = 0.5
    y: float = 0.5
    width: float = 0.6
    height: float = 0.3
    rotation: float = 0.0

    def __post_init__(self) -> None:
        for name in ("x", "y"):
            _check(name, getattr(self, name), POSITIONS)
        for name in ("width", "height"):
            _check(name, getattr(self, name), SIZES)
        _check("rotation", self.rotation, (-360.0, 360.0))


@dataclass(frozen=True)
class Rectangle(Placed):
    """A rectangle of one colour."""

    KIND: ClassVar[str] = "rectangle"
    colour: str = GREY

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_colour(self.colour)


@dataclass(frozen=True)
class Pole(Placed):
    """A cylinder, drawn as a rectangle that is lit from the left and darker towards its edges."""

    KIND: ClassVar[str] = "pole"
    width: float = 0.14
    height: float = 1.04
    colour: str = "#9a9da1"

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_colour(self.colour)


@dataclass(frozen=True)
class TexturedRectangle(Placed):
    """A rectangle with a pattern of tiles; tiles have a fixed size, so a larger rectangle shows more of them."""

    KIND: ClassVar[str] = "texture"
    texture: Texture = Texture.BRICKS


@dataclass(frozen=True)
class CutOut(Placed):
    """A person cut out of another image.

    Attributes:
        path: Path of that image as in `ImageRecord.path.as_posix()`.
        outline: How the person is cut out.
        mirrored: Whether left and right are swapped.
    """

    KIND: ClassVar[str] = "cut_out"
    width: float = 1.0
    height: float = 1.0
    path: str = ""
    outline: Outline = Outline.PERSON
    mirrored: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= len(self.path) <= 500:
            raise RecipeError(f"path of a cut-out must have 1 to 500 characters, got {len(self.path):,}")


@dataclass(frozen=True)
class Stroke:
    """A freehand line.

    Attributes:
        points: x and y of the points of the line.
        width: Width of the brush as a fraction of the image's width.
        colour: Colour as #rrggbb.
    """

    KIND: ClassVar[str] = "stroke"
    points: tuple[tuple[float, float], ...] = limited(MAX_POINTS, min_items=1)
    width: float = 0.12
    colour: str = GREY

    def __post_init__(self) -> None:
        if not 1 <= len(self.points) <= MAX_POINTS:
            raise RecipeError(f"points must have 1 to {MAX_POINTS} items, got {len(self.points)}")
        for point in self.points:
            for value in point:
                if value not in _POSITION_RANGE:
                    _check("points", value, POSITIONS)
        _check("width", self.width, (SIZES[0], 1.0))
        _check_colour(self.colour)


Occluder = Rectangle | Pole | TexturedRectangle | CutOut | Stroke


@dataclass(frozen=True)
class Scene:
    """Occluders on an image, from bottom to top."""

    occluders: tuple[Occluder, ...] = limited(MAX_OCCLUDERS, default=())

    def __post_init__(self) -> None:
        if len(self.occluders) > MAX_OCCLUDERS:
            raise RecipeError(f"occluders must have at most {MAX_OCCLUDERS} items, got {len(self.occluders)}")

    @property
    def cut_outs(self) -> tuple[CutOut, ...]:
        """The occluders that are cut out of another image."""
        return tuple(each for each in self.occluders if isinstance(each, CutOut))


@dataclass(frozen=True)
class SceneRecipe:
    """A scene on a query, and the settings of the search.

    Attributes:
        scene: Occluders on the query.
        query: Path of the query in the dataset; empty for any image.
        settings: Settings of the search.
        weights: SHA-256 of the weights that the scene was made with; empty for any weights.
    """

    scene: Scene = field(default_factory=Scene)
    query: str = ""
    settings: QuerySettings = field(default_factory=QuerySettings)
    weights: str = ""

    def to_json(self, indent: int | None = 2) -> str:
        """Return the recipe as JSON with sorted keys, on one line if `indent` is None; `from_json` reverses this."""
        return dataclass_json.to_json(self, FORMAT, indent)

    @classmethod
    def from_json(cls, text: str) -> SceneRecipe:
        """Parse a recipe from JSON.

        Raises:
            RecipeError: The text is not a valid recipe; the message names the field.
        """
        return dataclass_json.from_json(cls, text, FORMAT)


def scale_occluders(scene: Scene, share: float) -> Scene:
    """Scale every occluder about its centre to a share of its area; strokes are cut to that share of their length.

    Args:
        scene: Scene to scale.
        share: Share in [0, 1]; at 0 the scene is empty.

    Raises:
        ValueError: `share` is out of range.
    """
    if not 0.0 <= share <= 1.0:
        raise ValueError(f"share must be in 0..1, got {share}")
    if share == 0.0:
        return Scene()
    return Scene(tuple(_scale_occluder(each, share) for each in scene.occluders))


def _scale_occluder(occluder: Occluder, share: float) -> Occluder:
    if isinstance(occluder, Stroke):
        return replace(occluder, points=_first_part(occluder.points, share))
    return _scale_shape(occluder, math.sqrt(share))


_Shape = TypeVar("_Shape", bound=Placed)


def _scale_shape(shape: _Shape, factor: float) -> _Shape:
    width, height = (max(SIZES[0], factor * length) for length in (shape.width, shape.height))
    return replace(shape, width=width, height=height)


def _first_part(points: Sequence[tuple[float, float]], share: float) -> tuple[tuple[float, float], ...]:
    """Return the first part of a line whose length, in fractions of the image, is `share` of the whole."""
    lengths = [math.dist(start, end) for start, end in pairwise(points)]
    remaining = share * sum(lengths)
    line = [points[0]]
    for ((x, y), (next_x, next_y)), length in zip(pairwise(points), lengths, strict=True):
        if remaining <= 0.0:
            break
        part = min(1.0, remaining / length) if length else 1.0
        line.append((_between(x, next_x, part), _between(y, next_y, part)))
        remaining -= length
    return tuple(line)


def _between(start: float, end: float, part: float) -> float:
    """Interpolate linearly by `part` in [0, 1]; rounding cannot leave the interval from `start` to `end`."""
    low, high = sorted((start, end))
    return end if part == 1.0 else min(max(start + part * (end - start), low), high)


def _check(name: str, value: float, bounds: tuple[float, float]) -> None:
    if value not in Range(*bounds):  # A Range contains neither NaN nor anything that is not a number.
        raise RecipeError(f"{name} must be in {bounds[0]:g}..{bounds[1]:g}, got {format_value(value)}")


def _check_colour(text: str) -> None:
    if not isinstance(text, str) or not _COLOUR.fullmatch(text):
        raise RecipeError(f"colour must be written as #rrggbb in lower case, got {format_value(text)}")

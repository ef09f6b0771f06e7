"""Occluders that can be put on an image, and scenes of them, which are recipes.

Every length is a fraction of the image: x and width of its width, y and height of its height, so that a scene means the
same on an image of any size. x, y: the centre. A rotation is in degrees, clockwise, and turns pixels, not fractions: a
square of pixels stays one. `painting.py` paints them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import pairwise
from typing import ClassVar, TypeVar

from fpc_core.bounds import Range, limited, shown
from fpc_core.config import QuerySettings
from fpc_core.io import dataclass_json
from fpc_core.io.dataclass_json import RecipeError

FORMAT = 1
MAX_OCCLUDERS = 30
MAX_POINTS = 400  # of one stroke
PLACES = (-2.0, 3.0)  # of centres and points: an occluder may lie outside of the image
SIZES = (0.005, 3.0)
_PLACES = Range(*PLACES)
GREY = "#808080"  # near 0 after normalisation, so it adds neither light nor dark
_COLOUR = re.compile(r"#[0-9a-f]{6}", re.ASCII)


class Texture(StrEnum):
    """What covers a textured rectangle."""

    BRICKS = "bricks"
    HEDGE = "hedge"
    BARRIER = "barrier"
    FABRIC = "fabric"
    NOISE = "noise"


class Outline(StrEnum):
    """How a person is cut out of an image."""

    PERSON = "person"  # by the true mask; where the data has none, as ELLIPSE
    ELLIPSE = "ellipse"  # with a soft edge
    BOX = "box"  # the whole image


@dataclass(frozen=True)
class Placed:
    """A shape with a box of its own. Raises RecipeError for values out of bounds."""

    x: float = 0.5
    y: float = 0.5
    width: float = 0.6
    height: float = 0.3
    rotation: float = 0.0

    def __post_init__(self) -> None:
        for name in ("x", "y"):
            _check(name, getattr(self, name), PLACES)
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
    """A cylinder: as a rectangle, with the light on its left and shade towards its edges."""

    KIND: ClassVar[str] = "pole"
    width: float = 0.14
    height: float = 1.04
    colour: str = "#9a9da1"

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_colour(self.colour)


@dataclass(frozen=True)
class TexturedRectangle(Placed):
    """Its tiles have a fixed size on the image: a larger rectangle shows more of them."""

    KIND: ClassVar[str] = "texture"
    texture: Texture = Texture.BRICKS


@dataclass(frozen=True)
class CutOut(Placed):
    """A person of another image.

    path: of the image in the dataset, as `ImageRecord.path.as_posix()`.  mirrored: left and right exchanged.
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
            raise RecipeError("path must name the image that is cut out, in 1 to 500 characters")


@dataclass(frozen=True)
class Stroke:
    """Painted by hand. points: x and y of a line through them.  width: of the brush, of the image's width."""

    KIND: ClassVar[str] = "stroke"
    points: tuple[tuple[float, float], ...] = limited(MAX_POINTS, least=1)
    width: float = 0.12
    colour: str = GREY

    def __post_init__(self) -> None:
        if not 1 <= len(self.points) <= MAX_POINTS:
            raise RecipeError(f"points must be 1 to {MAX_POINTS} pairs, not {len(self.points)}")
        for point in self.points:
            for value in point:
                if value not in _PLACES:
                    _check("points", value, PLACES)
        _check("width", self.width, (SIZES[0], 1.0))
        _check_colour(self.colour)


Occluder = Rectangle | Pole | TexturedRectangle | CutOut | Stroke


@dataclass(frozen=True)
class Scene:
    """Occluders, the first at the bottom."""

    occluders: tuple[Occluder, ...] = limited(MAX_OCCLUDERS, default=())

    def __post_init__(self) -> None:
        if len(self.occluders) > MAX_OCCLUDERS:
            raise RecipeError(f"occluders must be at most {MAX_OCCLUDERS}, not {len(self.occluders)}")

    @property
    def pictured(self) -> tuple[CutOut, ...]:
        """The occluders that need another image to be painted."""
        return tuple(each for each in self.occluders if isinstance(each, CutOut))


@dataclass(frozen=True)
class SceneRecipe:
    """A scene on a query, searched with these settings.

    query: path in the dataset, empty for any image.  weights: SHA-256 of those that it was made with, empty for any.
    """

    scene: Scene = field(default_factory=Scene)
    query: str = ""
    settings: QuerySettings = field(default_factory=QuerySettings)
    weights: str = ""

    def to_json(self, indent: int | None = 2) -> str:
        """The recipe as JSON with sorted keys; `from_json` gives an equal recipe."""
        return dataclass_json.to_json(self, FORMAT, indent)

    @classmethod
    def from_json(cls, text: str) -> SceneRecipe:
        """Raises RecipeError for what is no recipe, naming the field."""
        return dataclass_json.from_json(cls, text, FORMAT)


def grown(scene: Scene, share: float) -> Scene:
    """Every occluder at `share` in [0, 1] of its own area about its own centre; a stroke, of its own length.

    At 0 there is none. Raises ValueError for another share.
    """
    if not 0.0 <= share <= 1.0:
        raise ValueError(f"an occluder grows from 0 to 1 of its size, not to {share}")
    if share == 0.0:
        return Scene()
    return Scene(tuple(_grown(each, share) for each in scene.occluders))


def _grown(occluder: Occluder, share: float) -> Occluder:
    if isinstance(occluder, Stroke):
        return replace(occluder, points=_begun(occluder.points, share))
    return _scaled(occluder, math.sqrt(share))


_Shape = TypeVar("_Shape", bound=Placed)


def _scaled(shape: _Shape, factor: float) -> _Shape:
    width, height = (max(SIZES[0], factor * length) for length in (shape.width, shape.height))
    return replace(shape, width=width, height=height)


def _begun(points: Sequence[tuple[float, float]], share: float) -> tuple[tuple[float, float], ...]:
    """The first part of a line, `share` of its length in fractions."""
    lengths = [math.dist(here, there) for here, there in pairwise(points)]
    left = share * sum(lengths)
    begun = [points[0]]
    for ((x, y), (next_x, next_y)), length in zip(pairwise(points), lengths, strict=True):
        if left <= 0.0:
            break
        part = min(1.0, left / length) if length else 1.0
        begun.append((_between(x, next_x, part), _between(y, next_y, part)))
        left -= length
    return tuple(begun)


def _between(here: float, there: float, part: float) -> float:
    """`part` in [0, 1] of the way; rounding leads to neither side beyond the ends."""
    low, high = sorted((here, there))
    return there if part == 1.0 else min(max(here + part * (there - here), low), high)


def _check(name: str, value: float, bounds: tuple[float, float]) -> None:
    if value not in Range(*bounds):  # nor is nan, nor what is no number
        raise RecipeError(f"{name} must lie in {bounds[0]:g}..{bounds[1]:g}, not {shown(value)}")


def _check_colour(text: str) -> None:
    if not isinstance(text, str) or not _COLOUR.fullmatch(text):
        raise RecipeError(f"colour must be written as #rrggbb in lower case, not {shown(text)}")

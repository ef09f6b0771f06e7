"""A recipe says everything a figure depends on, as JSON: the same recipe gives the same bytes on the CPU."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import Any

from fpc_core.config import (
    KEEP_RATES,
    DropStrategy,
    MapMethod,
    MapTarget,
    PruneSettings,
    QuerySettings,
    Solver,
    TransportSettings,
    Variant,
)
from fpc_core.explain.methods import DECODER_METHODS

FORMAT = 1
MOST_QUERIES = 40
MOST_BYTES = 1 << 20  # of a recipe file


class RecipeError(ValueError):
    """A recipe cannot be used; the message names the field and what it may be."""


class FigureKind(StrEnum):
    """What is drawn, and the figure of the paper it follows."""

    DROP_STRATEGIES = "drop_strategies"  # Fig. 5
    DROP_PROCESS = "drop_process"  # Figs. 6 and 9
    DECODER_MAPS = "decoder_maps"  # Fig. 7
    KEEP_RATES = "keep_rates"  # Fig. 8
    TRANSPORT = "transport"
    RANKED_LIST = "ranked_list"
    ALPHA_LINES = "alpha_lines"


WIDTHS = {"cvpr-column": 3.25, "cvpr-page": 6.875, "ieee-column": 3.5, "ieee-page": 7.16}  # inches
LANGUAGES = ("en", "de", "fr")


@dataclass(frozen=True)
class FigureStyle:
    """width: a key of WIDTHS.  columns: queries side by side.  font: a family that matplotlib finds, with a fallback.

    letters: (a), (b), ... before the queries.  language: of the labels.
    """

    width: str = "cvpr-column"
    columns: int = 1
    font: str = "DejaVu Sans"
    font_size: float = 7.0
    letters: bool = False
    language: str = "en"

    def __post_init__(self) -> None:
        if self.width not in WIDTHS:
            raise RecipeError(f"style.width must be one of {', '.join(WIDTHS)}, not {self.width!r}")
        if self.language not in LANGUAGES:
            raise RecipeError(f"style.language must be one of {', '.join(LANGUAGES)}, not {self.language!r}")
        if not 1 <= self.columns <= 8:
            raise RecipeError(f"style.columns must lie in 1..8, not {self.columns}")
        if not 4.0 <= self.font_size <= 16.0:
            raise RecipeError(f"style.font_size must lie in 4..16 points, not {self.font_size}")


@dataclass(frozen=True)
class FigureRecipe:
    """One figure.

    queries: their paths in the dataset, as `ImageRecord.path.as_posix()`, in the order shown.
    gallery: path of the gallery image of TRANSPORT, empty for the nearest by D; and of the SIMILARITY that DECODER_MAPS
    explains, empty for the image ranked first in the end.
    method, target, relative: of DECODER_MAPS, see `MapSettings`.  identity: the training identity of the target
    IDENTITY, -1 for the one with the largest logit.
    hits: ranks shown (RANKED_LIST, ALPHA_LINES).  flows: lines drawn (TRANSPORT), heaviest first.
    keep_rates: columns of KEEP_RATES.  weights: SHA-256 of the weights it was made with; empty for any.
    """

    kind: FigureKind
    queries: tuple[str, ...]
    settings: QuerySettings = field(default_factory=QuerySettings)
    gallery: str = ""
    hits: int = 5
    flows: int = 80
    keep_rates: tuple[float, ...] = KEEP_RATES[1:]
    method: MapMethod = MapMethod.GRAD_CAM
    target: MapTarget = MapTarget.SIMILARITY
    identity: int = -1
    relative: bool = False
    style: FigureStyle = field(default_factory=FigureStyle)
    weights: str = ""

    def __post_init__(self) -> None:
        if not 1 <= len(self.queries) <= MOST_QUERIES:
            raise RecipeError(f"queries must name 1 to {MOST_QUERIES} images, not {len(self.queries)}")
        if not 1 <= self.hits <= 20:
            raise RecipeError(f"hits must lie in 1..20, not {self.hits}")
        if not 1 <= self.flows <= 5000:
            raise RecipeError(f"flows must lie in 1..5000, not {self.flows}")
        if not 1 <= len(self.keep_rates) <= 10 or not all(0 < rate <= 1 for rate in self.keep_rates):
            raise RecipeError(f"keep_rates must be 1 to 10 numbers in (0, 1], not {list(self.keep_rates)}")
        if self.method not in DECODER_METHODS:
            raise RecipeError(f"method must be one of {', '.join(DECODER_METHODS)}, not {self.method.value!r}")

    def to_json(self) -> str:
        """The recipe as JSON with sorted keys; `from_json` gives an equal recipe."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=2, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str) -> FigureRecipe:
        """Raises RecipeError for what is no recipe, naming the field."""
        try:
            content = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise RecipeError(f"the recipe is no JSON ({error}); export one from the app or see docs") from error
        if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
            raise RecipeError(f"the recipe must be a JSON object with format {FORMAT}")
        return _build(cls, content, "")


def read_recipe(path: Path) -> FigureRecipe:
    """The recipe in a file. Raises RecipeError, naming the file."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise RecipeError(f"{path} is larger than {MOST_BYTES:,} bytes: no recipe")
        return FigureRecipe.from_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} cannot be read ({error}); check the path") from error


_PARTS: Mapping[str, type] = {
    "settings": QuerySettings,
    "settings.prune": PruneSettings,
    "settings.transport": TransportSettings,
    "style": FigureStyle,
}
_CHOICES: Mapping[str, type[StrEnum]] = {
    "kind": FigureKind,
    "method": MapMethod,
    "target": MapTarget,
    "settings.variant": Variant,
    "settings.prune.strategy": DropStrategy,
    "settings.transport.solver": Solver,
}
_LISTS: Mapping[str, type] = {"queries": str, "keep_rates": float, "settings.prune.blocks": int}


def _build(kind: Any, content: Any, place: str) -> Any:
    """A frozen dataclass from a JSON object, field by field; `place` is its dotted name in the recipe."""
    if not isinstance(content, dict):
        raise RecipeError(f"{place or 'the recipe'} must be an object, not {type(content).__name__}")
    names = {each.name for each in fields(kind)}
    if unknown := sorted(set(content) - names):
        raise RecipeError(f"unknown {', '.join(f'{place}{name}'[:80] for name in unknown[:5])} in the recipe")
    values = {name: _value(kind, name, value, place) for name, value in content.items()}
    try:
        return kind(**values)
    except RecipeError:
        raise
    except (TypeError, ValueError) as error:
        raise RecipeError(f"{place.rstrip('.') or 'the recipe'}: {error}") from error


def _value(kind: Any, name: str, value: Any, place: str) -> Any:
    full = place + name
    if full in _PARTS:
        return _build(_PARTS[full], value, full + ".")
    if full in _CHOICES:
        if value not in list(_CHOICES[full]):
            raise RecipeError(f"{full} must be one of {', '.join(_CHOICES[full])}, not {str(value)[:60]!r}")
        return _CHOICES[full](value)
    if full in _LISTS:
        if not isinstance(value, list) or not all(_is(each, _LISTS[full]) for each in value):
            raise RecipeError(f"{full} must be a list of {_LISTS[full].__name__}")
        return tuple(_LISTS[full](each) for each in value)
    wanted: type = type(next(each.default for each in fields(kind) if each.name == name))
    if not _is(value, wanted):
        raise RecipeError(f"{full} must be a {wanted.__name__}, not {str(value)[:60]!r}")
    return wanted(value)


def _is(value: Any, kind: type) -> bool:
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, kind) and isinstance(value, bool) == (kind is bool)

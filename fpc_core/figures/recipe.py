"""A recipe says everything a figure depends on, as JSON: the same recipe gives the same bytes on the CPU."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from fpc_core.config import ALPHAS, KEEP_RATES, MapMethod, MapTarget, QuerySettings
from fpc_core.data.occluders import Scene
from fpc_core.explain.heatmap_methods import DECODER_METHODS
from fpc_core.io.dataclass_json import RecipeError, from_json, read_text, to_json

FORMAT = 1
MAX_QUERIES = 40
MAX_VALUES = 21  # of keep rates or alphas
MAX_LETTERS = 40  # of a label


class FigureKind(StrEnum):
    """What is drawn, and the figure of the paper it follows."""

    DROP_STRATEGIES = "drop_strategies"  # Fig. 5
    DROP_PROCESS = "drop_process"  # Figs. 6 and 9
    DECODER_MAPS = "decoder_maps"  # Fig. 7
    KEEP_RATES = "keep_rates"  # Fig. 8
    TRANSPORT = "transport"
    RANKED_LIST = "ranked_list"
    ALPHA_LINES = "alpha_lines"
    SCORE_CURVES = "score_curves"  # Fig. 4
    TRADE_OFF = "trade_off"  # Table 3 as a plot: scores of all queries against the encoder's work
    SWEEP_MAP = "sweep_map"  # keep rate x alpha at one K


OF_ALL_QUERIES = frozenset({FigureKind.SCORE_CURVES, FigureKind.TRADE_OFF, FigureKind.SWEEP_MAP})
"""Kinds that score every query of the data, and so name none."""
OF_ONE_QUERY = frozenset({FigureKind.TRANSPORT, FigureKind.ALPHA_LINES})
WIDTHS = {"cvpr-column": 3.25, "cvpr-page": 6.875, "ieee-column": 3.5, "ieee-page": 7.16}  # inches
LANGUAGES = ("en", "de", "fr")


@dataclass(frozen=True)
class FigureStyle:
    """width: a key of WIDTHS.  columns: queries, or panels of scores, side by side.  font: one of `fonts.fonts()`.

    letters: (a), (b), ... before the queries or panels.  language: of the labels.
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

    queries: their paths in the dataset, as `ImageRecord.path.as_posix()`, in the order shown; none where all queries
    are scored.  scenes: what covers each of them, empty for nothing on any.  labels: a line over each of them, of a
    sheet; empty for none.
    gallery: path of the gallery image of TRANSPORT, empty for the nearest by D; and of the SIMILARITY that DECODER_MAPS
    explains, empty for the image ranked first in the end.
    method, target, relative: of DECODER_MAPS, see `MapSettings`.  identity: the training identity of the target
    IDENTITY, -1 for the one with the largest logit.
    hits: ranks shown (RANKED_LIST, ALPHA_LINES).  flows: lines drawn (TRANSPORT), heaviest first.
    keep_rates: columns of KEEP_RATES, points of TRADE_OFF, rows of SWEEP_MAP.  alphas: columns of SWEEP_MAP.
    weights: SHA-256 of the weights it was made with; empty for any.
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
    relative: bool = True
    style: FigureStyle = field(default_factory=FigureStyle)
    weights: str = ""
    scenes: tuple[Scene, ...] = ()
    labels: tuple[str, ...] = ()
    alphas: tuple[float, ...] = ALPHAS

    def __post_init__(self) -> None:
        if self.kind in OF_ALL_QUERIES:
            if self.queries:
                raise RecipeError(f"queries must be empty for {self.kind}, which scores all queries of the data")
        elif not 1 <= len(self.queries) <= MAX_QUERIES:
            raise RecipeError(f"queries must name 1 to {MAX_QUERIES} images, not {len(self.queries)}")
        for name in ("scenes", "labels"):
            if len(getattr(self, name)) not in (0, len(self.queries)):
                raise RecipeError(f"{name} must be one for each of the {len(self.queries)} queries, or empty")
        if any(len(label) > MAX_LETTERS or not label.isprintable() for label in self.labels):
            raise RecipeError(f"labels must be single lines of up to {MAX_LETTERS} characters")
        if not 1 <= self.hits <= 20:
            raise RecipeError(f"hits must lie in 1..20, not {self.hits}")
        if not 1 <= self.flows <= 5000:
            raise RecipeError(f"flows must lie in 1..5000, not {self.flows}")
        _check_axis("keep_rates", self.keep_rates, "(0, 1]", all(0 < rate <= 1 for rate in self.keep_rates))
        _check_axis("alphas", self.alphas, "[0, 1]", all(0 <= alpha <= 1 for alpha in self.alphas))
        if self.method not in DECODER_METHODS:
            raise RecipeError(f"method must be one of {', '.join(DECODER_METHODS)}, not {self.method.value!r}")

    def to_json(self) -> str:
        """The recipe as JSON with sorted keys; `from_json` gives an equal recipe."""
        return to_json(self, FORMAT)

    @classmethod
    def from_json(cls, text: str) -> FigureRecipe:
        """Raises RecipeError for what is no recipe, naming the field."""
        return from_json(cls, text, FORMAT)


def read_recipe(path: Path) -> FigureRecipe:
    """The recipe in a file. Raises RecipeError, naming the file."""
    return FigureRecipe.from_json(read_text(path))


def _check_axis(name: str, values: tuple[float, ...], bounds: str, within: bool) -> None:
    if not within or not 1 <= len(values) <= MAX_VALUES or len(set(values)) != len(values):
        raise RecipeError(f"{name} must be 1 to {MAX_VALUES} different numbers in {bounds}, not {list(values)}")

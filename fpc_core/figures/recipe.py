"""A recipe says everything a figure depends on, as JSON: the same recipe gives the same bytes on the CPU."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from fpc_core.config import KEEP_RATES, MapMethod, MapTarget, QuerySettings
from fpc_core.explain.methods import DECODER_METHODS
from fpc_core.recipes import RecipeError, from_json, read_text, to_json

FORMAT = 1
MOST_QUERIES = 40


class FigureKind(StrEnum):
    """What is drawn, and the figure of the paper it follows."""

    DROP_STRATEGIES = "drop_strategies"  # Fig. 5
    DROP_PROCESS = "drop_process"  # Figs. 6 and 9
    DECODER_MAPS = "decoder_maps"  # Fig. 7
    KEEP_RATES = "keep_rates"  # Fig. 8
    TRANSPORT = "transport"
    RANKED_LIST = "ranked_list"
    ALPHA_LINES = "alpha_lines"
    TRADE_OFF = "trade_off"  # Table 3 as a plot: scores of all queries against the encoder's work


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

    queries: their paths in the dataset, as `ImageRecord.path.as_posix()`, in the order shown; none for TRADE_OFF.
    gallery: path of the gallery image of TRANSPORT, empty for the nearest by D; and of the SIMILARITY that DECODER_MAPS
    explains, empty for the image ranked first in the end.
    method, target, relative: of DECODER_MAPS, see `MapSettings`.  identity: the training identity of the target
    IDENTITY, -1 for the one with the largest logit.
    hits: ranks shown (RANKED_LIST, ALPHA_LINES).  flows: lines drawn (TRANSPORT), heaviest first.
    keep_rates: columns of KEEP_RATES, points of TRADE_OFF.
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
    relative: bool = False
    style: FigureStyle = field(default_factory=FigureStyle)
    weights: str = ""

    def __post_init__(self) -> None:
        if self.kind is FigureKind.TRADE_OFF:
            if self.queries:
                raise RecipeError("queries must be empty for trade_off, which scores all queries of the data")
        elif not 1 <= len(self.queries) <= MOST_QUERIES:
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
        return to_json(self, FORMAT)

    @classmethod
    def from_json(cls, text: str) -> FigureRecipe:
        """Raises RecipeError for what is no recipe, naming the field."""
        return from_json(cls, text, FORMAT)


def read_recipe(path: Path) -> FigureRecipe:
    """The recipe in a file. Raises RecipeError, naming the file."""
    return FigureRecipe.from_json(read_text(path))

"""Recipes of figures: everything that a figure depends on, as JSON. Equal recipes give equal bytes on the CPU."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from fpc_core.bounds import MAX_PATCHES, OMITTED, Range, bounded, check_bounds, format_value, limited
from fpc_core.config import ALPHAS, KEEP_RATES, MAX_ROW, DropStrategy, MapMethod, MapTarget, QuerySettings
from fpc_core.data.occluders import Scene
from fpc_core.explain.heatmap_methods import DECODER_METHODS
from fpc_core.figures.style import FigureStyle
from fpc_core.io.dataclass_json import RecipeError, from_json, read_text, to_json

FORMAT = 1
MAX_QUERIES = 40
MAX_VALUES = 21  # Maximum number of keep rates or alphas.
MAX_LETTERS = 40  # Maximum number of characters in a label.


class FigureKind(StrEnum):
    """Kind of a figure; comments name the figure of the paper that it follows."""

    DROP_STRATEGIES = "drop_strategies"  # Fig. 5.
    DROP_PROCESS = "drop_process"  # Figs. 6 and 9.
    DECODER_MAPS = "decoder_maps"  # Fig. 7.
    KEEP_RATES = "keep_rates"  # Fig. 8.
    TRANSPORT = "transport"
    RANKED_LIST = "ranked_list"
    ALPHA_LINES = "alpha_lines"
    SCORE_CURVES = "score_curves"  # Fig. 4.
    TRADE_OFF = "trade_off"  # Table 3 as a plot: scores over all queries against the FLOPs of the encoder.
    SWEEP_MAP = "sweep_map"  # Scores for each keep rate and alpha at one K.
    MARGIN = "margin"  # Why one hit is nearer than another.
    QUERY_MAPS = "query_maps"  # Heat maps of encoder and decoder over the query.
    PATCH_LIFELINE = "patch_lifeline"  # Attention to one patch in every block, and the keep rates that keep it.


OF_ALL_QUERIES = frozenset({FigureKind.SCORE_CURVES, FigureKind.TRADE_OFF, FigureKind.SWEEP_MAP})
"""Kinds of figures that score all queries of the dataset, so their recipes name no queries."""
OF_ONE_QUERY = frozenset({FigureKind.TRANSPORT, FigureKind.ALPHA_LINES, FigureKind.MARGIN, FigureKind.PATCH_LIFELINE})
OF_HEAT_MAPS = frozenset({FigureKind.DECODER_MAPS, FigureKind.QUERY_MAPS})
OF_MODEL = OF_ALL_QUERIES | {FigureKind.DROP_STRATEGIES, FigureKind.KEEP_RATES}
"""Kinds of figures in which the model must choose the dropped patches, so their settings must not give patches."""


@dataclass(frozen=True)
class FigureRecipe:
    """Recipe of one figure.

    Attributes:
        kind: Kind of the figure.
        queries: Paths of the queries as in `ImageRecord.path.as_posix()`, in order; empty if all queries are scored.
        settings: Settings of the searches.
        gallery: For TRANSPORT and MARGIN, the path of the gallery image, or empty for the nearest by D. For
            DECODER_MAPS and QUERY_MAPS with the target SIMILARITY, the path of the gallery image, or empty for the
            image that is ranked first after consolidation.
        hits: Number of ranks in RANKED_LIST and ALPHA_LINES.
        flows: Number of flows in TRANSPORT, heaviest first.
        keep_rates: Columns of KEEP_RATES, points of TRADE_OFF, rows of SWEEP_MAP, or bars of PATCH_LIFELINE.
        method: Method of DECODER_MAPS and QUERY_MAPS, see `MapSettings`.
        target: Target of the decoder's maps, see `MapSettings`.
        identity: Training identity for the target IDENTITY, or -1 for the one with the largest logit.
        relative: Whether heat maps show values relative to the mean patch.
        style: Size, fonts and labels.
        weights: SHA-256 of the weights; empty if any weights are allowed.
        scenes: Occluders of each query; empty for none on any query.
        labels: Line of text above each query; empty for none.
        alphas: Columns of SWEEP_MAP.
        rival: For MARGIN, the path of the gallery image that `gallery` is compared with, or empty for the most
            instructive one (see `comparison_candidates`).
        selected: For QUERY_MAPS, the path of the gallery image that the encoder's map explains, or empty for the
            nearest by D.
        patch: For PATCH_LIFELINE, the row-major grid position of the patch.
    """

    kind: FigureKind
    queries: tuple[str, ...] = limited(MAX_QUERIES)
    settings: QuerySettings = field(default_factory=QuerySettings)
    gallery: str = ""
    hits: int = bounded(5, 1, 20)
    flows: int = bounded(80, 1, 5000)
    keep_rates: tuple[float, ...] = limited(MAX_VALUES, default=KEEP_RATES[1:])
    method: MapMethod = MapMethod.GRAD_CAM
    target: MapTarget = MapTarget.SIMILARITY
    identity: int = bounded(-1, -1, MAX_ROW)
    relative: bool = True
    style: FigureStyle = field(default_factory=FigureStyle)
    weights: str = ""
    scenes: tuple[Scene, ...] = limited(MAX_QUERIES, default=())
    labels: tuple[str, ...] = limited(MAX_QUERIES, default=())
    alphas: tuple[float, ...] = limited(MAX_VALUES, default=ALPHAS)
    rival: str = field(default="", metadata=OMITTED)
    selected: str = field(default="", metadata=OMITTED)
    patch: int = bounded(0, 0, MAX_PATCHES - 1, omitted=True)

    def __post_init__(self) -> None:
        check_bounds(self, RecipeError)
        if self.kind in OF_ALL_QUERIES:
            if self.queries:
                raise RecipeError(
                    f"queries must be empty for {self.kind}, which scores all queries of the dataset, got "
                    f"{len(self.queries)} queries"
                )
        elif not 1 <= len(self.queries) <= MAX_QUERIES:
            raise RecipeError(f"queries must name 1 to {MAX_QUERIES} images, got {len(self.queries)}")
        for name in ("scenes", "labels"):
            count = len(getattr(self, name))
            if count not in (0, len(self.queries)):
                raise RecipeError(
                    f"{name} must be empty or have one entry per query ({len(self.queries)}), got {count}"
                )
        if any(len(label) > MAX_LETTERS or not label.isprintable() for label in self.labels):
            raise RecipeError(f"labels must be single lines of up to {MAX_LETTERS} characters")
        if self.settings.prune.strategy is DropStrategy.GIVEN and (self.kind in OF_MODEL or len(self.queries) != 1):
            raise RecipeError(
                "settings.prune.strategy given is for one query, but the recipe has "
                f"{len(self.queries)} queries and the kind {self.kind}; use another strategy, or one query and another "
                f"kind than {', '.join(sorted(OF_MODEL))}"
            )
        _check_axis("keep_rates", self.keep_rates, Range(0.0, 1.0, above=True))
        _check_axis("alphas", self.alphas, Range(0.0, 1.0))
        if self.method not in DECODER_METHODS:
            raise RecipeError(f"method must be one of {', '.join(DECODER_METHODS)}, got {self.method.value!r}")

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on fields of the recipe that have no effect."""
        if self.style.language == "en":
            return ()
        return (f"Labels are in English; the recipe's language {self.style.language!r} is supported only in 0.1.0.",)

    def to_json(self) -> str:
        """Return the recipe as JSON with sorted keys; `from_json` reverses this."""
        return to_json(self, FORMAT)

    @classmethod
    def from_json(cls, text: str) -> FigureRecipe:
        """Parse a recipe from JSON.

        Raises:
            RecipeError: The text is not a valid recipe; the message names the field.
        """
        return from_json(cls, text, FORMAT)


def read_recipe(path: Path) -> FigureRecipe:
    """Read a recipe from a file.

    Raises:
        RecipeError: The file cannot be read or is not a valid recipe.
    """
    return FigureRecipe.from_json(read_text(path))


def _check_axis(name: str, values: tuple[float, ...], allowed: Range) -> None:
    count = len(values)
    if not 1 <= count <= MAX_VALUES or not all(each in allowed for each in values) or len(set(values)) != count:
        listed = ", ".join(map(format_value, values[:MAX_VALUES]))
        raise RecipeError(f"{name} must be 1 to {MAX_VALUES} different numbers in {allowed}, got {listed or 'none'}")

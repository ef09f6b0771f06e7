"""The recipe of a score: the method, settings, data and weights that reproduce it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from fpc_core.bounds import bounded, check_bounds
from fpc_core.config import MODEL_STRATEGIES, DropStrategy, PruneSettings, QuerySettings
from fpc_core.evaluation.engine.passes import ENCODER, PassTask, Point, PostProcessing
from fpc_core.evaluation.metrics.bootstrap import Bootstrap, Unit
from fpc_core.io.dataclass_json import RecipeError, from_json, read_text, to_json

FORMAT = 1


class Method(StrEnum):
    """How the gallery is ranked for a query: by which feature, and whether re-ranking follows."""

    ENCODER = "encoder"  # The sparse encoder's own global feature, which is that of TransReID if nothing is dropped.
    FPC = "fpc"  # The consolidated feature.
    RE_RANKED = "fpc+re-ranking"  # The consolidated feature, followed by k-reciprocal re-ranking.


@dataclass(frozen=True)
class ScoreRecipe:
    """Recipe of one row of scores over all queries; the random strategy is sampled for each query.

    Attributes:
        method: Method to score.
        settings: Settings of the searches.
        gallery_keep_rate: 1 for the gallery memory, which is not pruned. With the method ENCODER it may be the keep
            rate of the settings, for a gallery that is pruned like the queries.
        bootstrap: How intervals are computed.
        data: Name of the dataset.
        weights: SHA-256 of the weights; empty if any weights are allowed.
        gallery: SHA-256 of the gallery files; empty if any gallery is allowed.
        queries: SHA-256 of the list of queries; empty if any queries are allowed.
    """

    method: Method = Method.FPC
    settings: QuerySettings = field(default_factory=QuerySettings)
    gallery_keep_rate: float = bounded(1.0, 0.0, 1.0, above=True)
    bootstrap: Bootstrap = field(default_factory=Bootstrap)
    data: str = ""
    weights: str = ""
    gallery: str = ""
    queries: str = ""

    def __post_init__(self) -> None:
        check_bounds(self, RecipeError)
        if self.settings.prune.strategy is DropStrategy.GIVEN:
            names = ", ".join(MODEL_STRATEGIES)
            raise RecipeError(f"settings.prune.strategy 'given' is for one query only; use one of {names}")
        if self.gallery_keep_rate != 1 and (
            self.method is not Method.ENCODER or self.gallery_keep_rate != self.settings.prune.keep_rate
        ):
            raise RecipeError(
                "gallery_keep_rate must be 1, or the keep rate of the settings if the method is encoder, got "
                f"{self.gallery_keep_rate}"
            )

    @property
    def prune(self) -> PruneSettings:
        """Prune settings of the queries, with defaults for a strategy or seed that has no effect."""
        prune = self.settings.prune
        if prune.keep_rate == 1:
            return replace(prune, strategy=DropStrategy.NON_SALIENT, seed=0)
        return prune if prune.strategy is DropStrategy.RANDOM else replace(prune, seed=0)

    @property
    def point(self) -> Point:
        """The feature to score: alpha, K and the post-processing."""
        if self.method is Method.ENCODER:
            return ENCODER if self.gallery_keep_rate == 1 else Point(then=PostProcessing.PRUNED_GALLERY)
        then = PostProcessing.RE_RANKED if self.method is Method.RE_RANKED else PostProcessing.NOTHING
        return Point(self.settings.alpha, self.settings.neighbors, then)

    def made_on(self, task: PassTask) -> ScoreRecipe:
        """Return the recipe with the data and weights of a task filled in.

        Raises:
            RecipeError: The recipe names other data or weights.
        """
        fingerprint = task.retriever.memory.fingerprint
        recipe = replace(
            self,
            data=task.dataset.name,
            queries=task.queries_digest,
            weights=fingerprint.weights if fingerprint else "",
            gallery=fingerprint.files if fingerprint else "",
        )
        for name in ("weights", "gallery", "queries"):
            expected, actual = getattr(self, name), getattr(recipe, name)
            if expected and expected != actual:
                raise RecipeError(
                    f"the recipe was made with the {name} {expected[:12]} of {self.data or 'unnamed data'}, not with "
                    f"{actual[:12]}; open the data, weights and gallery memory it was made with"
                )
        return recipe

    def to_json(self, indent: int | None = 2) -> str:
        """Return the recipe as JSON with sorted keys, on one line if `indent` is None; `from_json` reverses this."""
        return to_json(self, FORMAT, indent)

    @classmethod
    def from_json(cls, text: str) -> ScoreRecipe:
        """Parse a recipe from JSON.

        A bootstrap without a unit comes from release 0.1.0, which resampled queries.

        Raises:
            RecipeError: The text is not a valid recipe; the message names the field.
        """
        return from_json(cls, text, FORMAT, defaults={"bootstrap": {"unit": Unit.QUERIES.value}})


def read_score_recipe(path: Path) -> ScoreRecipe:
    """Read a recipe from a file.

    Raises:
        RecipeError: The file cannot be read or is not a valid recipe.
    """
    return ScoreRecipe.from_json(read_text(path))

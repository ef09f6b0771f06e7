"""The recipe of a score: which feature is compared with what, under which settings, on which data and weights."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from fpc_core.bounds import bounded, check_bounds
from fpc_core.config import DropStrategy, PruneSettings, QuerySettings
from fpc_core.evaluation.engine.passes import ENCODER, PassTask, Point, PostProcessing
from fpc_core.evaluation.metrics.bootstrap import Bootstrap
from fpc_core.io.dataclass_json import RecipeError, from_json, read_text, to_json

FORMAT = 1


class Method(StrEnum):
    """What of a query the gallery is ranked by."""

    ENCODER = "encoder"  # the sparse encoder's own global feature: TransReID where nothing is dropped
    FPC = "fpc"  # the consolidated feature
    RE_RANKED = "fpc+re-ranking"  # the same, then k-reciprocal re-ranking


@dataclass(frozen=True)
class ScoreRecipe:
    """One row of scores. Of all queries; the random strategy draws anew for every one.

    gallery_keep_rate: 1 for the gallery memory; the keep rate of the settings where the gallery is pruned like the
    queries, which only the encoder's own features can be.
    weights, gallery, queries: SHA-256 of what it was made with, empty for any; data: its name.
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
        if self.gallery_keep_rate != 1 and (
            self.method is not Method.ENCODER or self.gallery_keep_rate != self.settings.prune.keep_rate
        ):
            raise RecipeError(
                "gallery_keep_rate must be 1, the gallery memory, or with the method encoder the keep rate of the "
                f"settings, not {self.gallery_keep_rate}"
            )

    @property
    def prune(self) -> PruneSettings:
        """How queries are pruned, in one way of saying it: without drops no strategy, without chance no seed."""
        prune = self.settings.prune
        if prune.keep_rate == 1:
            return replace(prune, strategy=DropStrategy.NON_SALIENT, seed=0)
        return prune if prune.strategy is DropStrategy.RANDOM else replace(prune, seed=0)

    @property
    def point(self) -> Point:
        """What of the pass is scored."""
        if self.method is Method.ENCODER:
            return ENCODER if self.gallery_keep_rate == 1 else Point(then=PostProcessing.PRUNED_GALLERY)
        then = PostProcessing.RE_RANKED if self.method is Method.RE_RANKED else PostProcessing.NOTHING
        return Point(self.settings.alpha, self.settings.neighbors, then)

    def made_on(self, task: PassTask) -> ScoreRecipe:
        """The recipe with data and weights filled in.

        Raises RecipeError where it names others already.
        """
        made = task.retriever.memory.fingerprint
        found = replace(
            self,
            data=task.dataset.name,
            queries=task.queries_digest,
            weights=made.weights if made else "",
            gallery=made.files if made else "",
        )
        for name in ("weights", "gallery", "queries"):
            asked, here = getattr(self, name), getattr(found, name)
            if asked and asked != here:
                raise RecipeError(
                    f"the recipe was made with the {name} {asked[:12]} of {self.data or 'unnamed data'}, here are "
                    f"{here[:12]}; open the data, weights and memory it was made with"
                )
        return found

    def to_json(self, indent: int | None = 2) -> str:
        """The recipe as JSON with sorted keys; `from_json` gives an equal recipe. indent None: on one line."""
        return to_json(self, FORMAT, indent)

    @classmethod
    def from_json(cls, text: str) -> ScoreRecipe:
        """Raises RecipeError for what is no recipe, naming the field."""
        return from_json(cls, text, FORMAT)


def read_score_recipe(path: Path) -> ScoreRecipe:
    """The recipe in a file. Raises RecipeError, naming the file."""
    return ScoreRecipe.from_json(read_text(path))

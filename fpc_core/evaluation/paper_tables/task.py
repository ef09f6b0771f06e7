"""An evaluation: tables of recipes in, passes to run, tables of scores out. What CLI, page and library call.

task = evaluation_task(retriever, dataset, tables_of(["3", "4"], Setting(settings, config)))
task.filled(run_kept(task.work, ResultStore(cache_folder() / "results")).known)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from fpc_core.config import DropStrategy, QuerySettings
from fpc_core.data.datasets import Dataset
from fpc_core.evaluation.engine.passes import Known, Pass, PassTask, Point, gallery_pass
from fpc_core.evaluation.metrics.bootstrap import Estimate, estimates
from fpc_core.evaluation.paper_tables.score_recipe import ScoreRecipe
from fpc_core.evaluation.paper_tables.table import RANKS, OurScores, ReportTable
from fpc_core.retrieval import Retriever


@dataclass(frozen=True, eq=False)
class EvaluationTask:
    """What is asked. Made by `evaluation_task`.

    tables: their recipes name these data and weights.  work: the passes that answer them.  where: of every recipe, its
    pass and place in it.
    """

    tables: tuple[ReportTable, ...]
    work: PassTask
    where: Mapping[ScoreRecipe, tuple[Pass, int]]

    def filled(self, known: Known) -> tuple[ReportTable, ...]:
        """The tables with what is known, and notes that say whose and what it is."""
        found = []
        for table in self.tables:
            rows = tuple(
                replace(row, ours=self._scores(row.recipe, known)) if row.recipe else row for row in table.rows
            )
            filled = replace(table, rows=rows)
            found.append(replace(filled, about=self._about(filled)))
        return tuple(found)

    @cached_property
    def skipped(self) -> int:
        """Queries without a true match, left out of every mean."""
        return sum(not self.work.has_match(record) for record in self.work.queries)

    @cached_property
    def _settled(self) -> dict[ScoreRecipe, OurScores]:
        """Scores that change no more."""
        return {}

    def _scores(self, recipe: ScoreRecipe, known: Known) -> OurScores | None:
        asked, place = self.where[recipe]
        if asked not in known:
            return None
        settled = known[asked].knows(place)
        if settled and recipe in self._settled:
            return self._settled[recipe]
        precision, first = known[asked].average_precision[:, place], known[asked].first_match[:, place]
        scored = first >= 0
        if not scored.any():
            return None
        ranks = [first[scored] < rank for rank in RANKS]
        values = np.stack([*ranks, precision[scored]], axis=1).astype(np.float64)
        if not settled:
            means = values.mean(axis=0).tolist()
            return OurScores(tuple(Estimate(mean, mean, mean) for mean in means), len(values), settled=False)
        found = OurScores(tuple(estimates(values, recipe.bootstrap)), len(values), settled=True)
        self._settled[recipe] = found
        return found

    def _about(self, table: ReportTable) -> tuple[str, ...]:
        recipe, settings, dataset = table.recipes[0], table.settings, self.work.dataset
        notes = [
            f"Ours: {table.data}, {len(self.work.queries)} queries, {len(dataset.gallery)} gallery images, weights "
            f"{recipe.weights[:8] or 'without a name'}. Where a row does not say otherwise: keep rate "
            f"{settings.prune.keep_rate:g}, alpha {settings.alpha:g}, K = {settings.neighbors}, "
            f"{settings.prune.strategy.replace('_', '-')} patches dropped, {settings.variant} variant, "
            f"{settings.transport.solver} transport with epsilon {settings.transport.epsilon:g}; the gallery is not "
            f"pruned. Beside every score its {100 * recipe.bootstrap.level:g} % bootstrap interval over queries "
            f"({recipe.bootstrap.resamples:,} resamples, seed {recipe.bootstrap.seed})."
        ]
        if self.skipped:
            several = self.skipped != 1
            notes.append(
                f"{self.skipped} {'queries' if several else 'query'} without a true match {'are' if several else 'is'} "
                "left out."
            )
        if not table.complete:
            notes.append("Not complete: scores without an interval are means over the queries scored so far.")
        if table.paper:
            notes.append("The paper's: its own published figures, none of them measured here.")
        return tuple(notes)


def evaluation_task(retriever: Retriever, dataset: Dataset, tables: Iterable[ReportTable]) -> EvaluationTask:
    """Which passes answer the tables; recipes that share encodings and transport share a pass.

    Raises RecipeError for a recipe that was made on other data or weights, ValueError where no query has a true match.
    """
    bare = PassTask(retriever, dataset, dataset.query, ())
    if not any(bare.has_match(record) for record in dataset.query):
        raise ValueError("none of the queries has a true match in the gallery, so there is nothing to score")
    made = []
    for table in tables:
        rows = tuple(replace(row, recipe=row.recipe.made_on(bare)) if row.recipe else row for row in table.rows)
        made.append(replace(table, rows=rows, data=dataset.label))
    recipes = dict.fromkeys(recipe for table in made for recipe in table.recipes)
    points: dict[QuerySettings, list[Point]] = {}
    for recipe in recipes:
        shared = points.setdefault(_shared(recipe), [])
        if recipe.point not in shared:
            shared.append(recipe.point)
    # The pass that answers most comes first.
    passes = {
        settings: Pass(
            settings, tuple(points[settings]), resample_per_query=settings.prune.strategy is DropStrategy.RANDOM
        )
        for settings in sorted(points, key=lambda each: -len(points[each]))
    }
    pruned = [gallery_pass(recipe.prune) for recipe in recipes if recipe.gallery_keep_rate != 1]
    where = {recipe: passes[_shared(recipe)] for recipe in recipes}
    return EvaluationTask(
        tuple(made),
        replace(bare, passes=(*passes.values(), *dict.fromkeys(pruned))),
        {recipe: (asked, asked.points.index(recipe.point)) for recipe, asked in where.items()},
    )


def _shared(recipe: ScoreRecipe) -> QuerySettings:
    """What recipes of one pass have in common: all but method, alpha and K."""
    return replace(recipe.settings, prune=recipe.prune, alpha=0.0, neighbors=1)

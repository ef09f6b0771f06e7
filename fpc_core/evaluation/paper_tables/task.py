"""Find the passes that compute the recipes of some tables, and fill in the scores.

The command line and the app use it like this:

    task = evaluation_task(retriever, dataset, tables_of(["3", "4"], Setting(settings, config)))
    task.filled(run_with_store(task.work, ResultStore(cache_folder() / "results")).known)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from fpc_core.config import DropStrategy, QuerySettings
from fpc_core.data.datasets import Dataset
from fpc_core.evaluation.engine.passes import Known, Pass, PassTask, Point, gallery_pass
from fpc_core.evaluation.engine.protocol import nothing_to, protocol_notes
from fpc_core.evaluation.metrics.bootstrap import Bootstrap, Estimate, Unit, estimates
from fpc_core.evaluation.paper_tables.score_recipe import ScoreRecipe
from fpc_core.evaluation.paper_tables.table import RANKS, OurScores, ReportTable
from fpc_core.retrieval import Retriever


@dataclass(frozen=True, eq=False)
class EvaluationTask:
    """Tables and the passes that compute their scores; `evaluation_task` creates it.

    Attributes:
        tables: Tables without scores, whose recipes name the data and weights.
        work: Passes to run.
        where: Pass and index of the point for every recipe.
        notes: Sentences to show under every table, on the weights and the data.
    """

    tables: tuple[ReportTable, ...]
    work: PassTask
    where: Mapping[ScoreRecipe, tuple[Pass, int]]
    notes: tuple[str, ...] = ()

    def filled(self, known: Known) -> tuple[ReportTable, ...]:
        """Return the tables with the scores in `known`, and with notes on how these were computed."""
        tables = []
        for table in self.tables:
            rows = tuple(
                replace(row, ours=self._scores(row.recipe, known)) if row.recipe else row for row in table.rows
            )
            filled = replace(table, rows=rows)
            tables.append(replace(filled, about=self._about(filled)))
        return tuple(tables)

    @cached_property
    def skipped(self) -> int:
        """Number of queries without a true match; the scores exclude them."""
        return sum(not self.work.has_match(record) for record in self.work.queries)

    @cached_property
    def _settled(self) -> dict[ScoreRecipe, OurScores]:
        """Cache of final scores, so that their intervals are computed once."""
        return {}

    def _scores(self, recipe: ScoreRecipe, known: Known) -> OurScores | None:
        eval_pass, index = self.where[recipe]
        if eval_pass not in known:
            return None
        settled = known[eval_pass].is_scored(index)
        if settled and recipe in self._settled:
            return self._settled[recipe]
        precision, first = known[eval_pass].average_precision[:, index], known[eval_pass].first_match[:, index]
        scored = first >= 0
        if not scored.any():
            return None
        ranks = [first[scored] < rank for rank in RANKS]
        values = np.stack([*ranks, precision[scored]], axis=1).astype(np.float64)
        if not settled:
            means = values.mean(axis=0).tolist()
            return OurScores(tuple(Estimate(mean, mean, mean) for mean in means), len(values), settled=False)
        people = np.array([record.identity for record in self.work.records(eval_pass)])[scored]
        scores = OurScores(tuple(estimates(values, recipe.bootstrap, people)), len(values), settled=True)
        self._settled[recipe] = scores
        return scores

    def _resampled(self, bootstrap: Bootstrap) -> str:
        """Describe the units that the bootstrap draws, such as "the 70 people of the queries"."""
        scored = [record.identity for record in self.work.queries if self.work.has_match(record)]
        if bootstrap.unit is Unit.QUERIES:
            return f"the {len(scored)} queries as if they were independent"
        count = len({*scored})
        return f"the {count} people of the queries" if count != 1 else "the one person of the queries"

    def _about(self, table: ReportTable) -> tuple[str, ...]:
        recipe, settings, dataset = table.recipes[0], table.settings, self.work.dataset
        notes = [
            f"Ours: {table.data}, {len(self.work.queries)} queries, {len(dataset.gallery)} gallery images, weights "
            f"{recipe.weights[:8] or 'unnamed'}. Settings, unless a row changes them: keep rate "
            f"{settings.prune.keep_rate:g}, alpha {settings.alpha:g}, K = {settings.neighbors}, "
            f"{settings.prune.strategy.replace('_', '-')} patches dropped, {settings.variant} variant, "
            f"{settings.transport.solver} transport with epsilon {settings.transport.epsilon:g}. The gallery is not "
            f"pruned. Each score is shown with its {100 * recipe.bootstrap.level:g} % bootstrap interval over "
            f"{self._resampled(recipe.bootstrap)} ({recipe.bootstrap.resamples:,} resamples, seed "
            f"{recipe.bootstrap.seed})."
        ]
        notes += protocol_notes(dataset)
        if self.skipped:
            several = self.skipped != 1
            notes.append(
                f"{self.skipped} {'queries' if several else 'query'} without a true match {'are' if several else 'is'} "
                "left out."
            )
        if not table.complete:
            notes.append("Incomplete: scores without an interval are means over the queries scored so far.")
        if table.paper:
            notes.append("Columns of the paper show its published numbers; none were measured here.")
        return (*notes, *(f"Note: {note}." for note in self.notes))


def evaluation_task(
    retriever: Retriever, dataset: Dataset, tables: Iterable[ReportTable], notes: tuple[str, ...] = ()
) -> EvaluationTask:
    """Find the passes that compute some tables; recipes with the same encodings and transport share a pass.

    Args:
        retriever: Model and gallery memory.
        dataset: Dataset with the queries and the gallery.
        tables: Tables without scores.
        notes: Sentences to show under every table (`Workspace.notes`).

    Raises:
        RecipeError: A recipe names other data or weights.
        ValueError: No query has a true match.
    """
    bare = PassTask(retriever, dataset, dataset.query, ())
    if not any(bare.has_match(record) for record in dataset.query):
        raise ValueError(nothing_to("score", dataset))
    bound_tables = []
    for table in tables:
        rows = tuple(replace(row, recipe=row.recipe.made_on(bare)) if row.recipe else row for row in table.rows)
        bound_tables.append(replace(table, rows=rows, data=dataset.label, protocol=dataset.protocol.value))
    recipes = dict.fromkeys(recipe for table in bound_tables for recipe in table.recipes)
    points: dict[QuerySettings, list[Point]] = {}
    for recipe in recipes:
        shared = points.setdefault(_shared(recipe), [])
        if recipe.point not in shared:
            shared.append(recipe.point)
    # The pass with the most points comes first.
    passes = {
        settings: Pass(
            settings, tuple(points[settings]), resample_per_query=settings.prune.strategy is DropStrategy.RANDOM
        )
        for settings in sorted(points, key=lambda each: -len(points[each]))
    }
    pruned = [gallery_pass(recipe.prune) for recipe in recipes if recipe.gallery_keep_rate != 1]
    where = {recipe: passes[_shared(recipe)] for recipe in recipes}
    return EvaluationTask(
        tuple(bound_tables),
        replace(bare, passes=(*passes.values(), *dict.fromkeys(pruned))),
        {recipe: (eval_pass, eval_pass.points.index(recipe.point)) for recipe, eval_pass in where.items()},
        notes,
    )


def _shared(recipe: ScoreRecipe) -> QuerySettings:
    """Return the settings that recipes of one pass share: everything except method, alpha and K."""
    return replace(recipe.settings, prune=recipe.prune, alpha=0.0, neighbors=1)

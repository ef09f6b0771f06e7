"""Define the rows of each table: recipes of our scores, and the paper's numbers.

`task.py` computes the scores and fills them in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from fpc_core.config import ALPHAS, KEEP_RATES, DropStrategy, ModelConfig, QuerySettings
from fpc_core.evaluation.metrics.bootstrap import Bootstrap
from fpc_core.evaluation.metrics.flops import encoder_flops
from fpc_core.evaluation.paper_tables.published import (
    FIG_4_ALPHA,
    FIG_4_NEIGHBORS,
    TABLE_1,
    TABLE_2,
    TABLE_3,
    TABLE_4,
    TABLE_5,
    TABLE_6,
    TABLE_7,
    PublishedTable,
)
from fpc_core.evaluation.paper_tables.score_recipe import Method, ScoreRecipe
from fpc_core.evaluation.paper_tables.table import MEASURES, ReportTable, Row

NEIGHBORS = (1, 2, 3, 5, 8, 10, 15, 20)  # The values of K in Fig. 4b.
TABLE_6_KEEP_RATE = 0.9  # The keep rate in the caption of Table 6.
DUKE = "Occluded-Duke"


@dataclass(frozen=True)
class Setting:
    """The settings that tables vary, the model, and how intervals are computed."""

    settings: QuerySettings
    config: ModelConfig
    bootstrap: Bootstrap = field(default_factory=Bootstrap)

    def fpc(self, method: Method = Method.FPC, **changes: Any) -> ScoreRecipe:
        """Return the recipe of FPC with these settings, except for `changes`."""
        return ScoreRecipe(method, replace(self.settings, **changes), bootstrap=self.bootstrap)

    def at(self, keep_rate: float, strategy: DropStrategy | None = None) -> ScoreRecipe:
        """Return the recipe of FPC with another keep rate and, optionally, another drop strategy.

        Args:
            keep_rate: Share of the patches that a dropping block keeps.
            strategy: Drop strategy; by default that of the settings.
        """
        prune = replace(self.settings.prune, keep_rate=keep_rate)
        return self.fpc(prune=prune if strategy is None else replace(prune, strategy=strategy))

    def encoder(self, keep_rate: float, gallery_keep_rate: float = 1.0) -> ScoreRecipe:
        """Return the recipe of the encoder without matching and consolidation.

        Args:
            keep_rate: Keep rate of the queries.
            gallery_keep_rate: Keep rate of the gallery, either 1 or `keep_rate`.
        """
        settings = self.settings.with_keep_rate(keep_rate)
        return ScoreRecipe(Method.ENCODER, settings, gallery_keep_rate, self.bootstrap)

    @property
    def keep_rates(self) -> tuple[float, ...]:
        """The paper's keep rates and the keep rate of the settings, descending."""
        return tuple(sorted({*KEEP_RATES, self.settings.prune.keep_rate}, reverse=True))


def tables_of(names: Iterable[str], setting: Setting) -> tuple[ReportTable, ...]:
    """Return tables without scores.

    Args:
        names: Names of tables, from NAMES.
        setting: Settings and model of the tables.

    Raises:
        ValueError: A name is unknown.
    """
    requested = list(names)
    if unknown := [name for name in requested if name not in _BUILD]:
        raise ValueError(f"there is no table {unknown[0]!r}; choose from {', '.join(NAMES)}")
    return tuple(table for name in NAMES if name in requested for table in _BUILD[name](setting))


def scores_table(recipe: ScoreRecipe) -> ReportTable:
    """Return a one-row table of our scores: Rank-1, Rank-5, Rank-10 and mAP."""
    rows = (Row((recipe.method.value,), recipe),)
    return ReportTable("Scores", "CMC and mAP in percent", recipe.settings, ("method",), rows, measures=MEASURES)


def _methods(published: PublishedTable) -> Callable[[Setting], tuple[ReportTable, ...]]:
    """Return the builder of Table 1 or 2: the paper's methods, with our scores where we have them."""

    def build(setting: Setting) -> tuple[ReportTable, ...]:
        ours = {"TransReID": setting.encoder(1.0), "FPC": setting.fpc()}
        heads = tuple((head.rsplit(" ", 1)[0], head.rsplit(" ", 1)[1]) for head in published.columns[1:])
        rows = tuple(Row((str(name),), ours.get(str(name)), paper=_figures(rest)) for name, *rest in published.rows)
        note = "TransReID (ours): the same encoder without pruning, matching or consolidation."
        return (_table(published, setting, ("method",), rows, heads, notes=(note,)),)

    return build


def _table_3(setting: Setting) -> tuple[ReportTable, ...]:
    paper = {rate: figures for rate, *figures in TABLE_3.rows}
    rows = []
    for rate in setting.keep_rates:
        recipe = setting.at(rate)
        flops = encoder_flops(setting.config, recipe.prune)
        counted = (flops.without_attention_products / 1e9, flops.with_attention_products / 1e9)
        rows.append(Row((_step(rate),), recipe, counted, _figures(paper.get(rate, ()))))
    heads = ((DUKE, "Rank-1"), (DUKE, "mAP"), (DUKE, "FLOPs (G)"))
    note = "FLOPs: multiply-adds of the linear layers, as in the paper, and with the two products of attention."
    computed = ("FLOPs (G)", "with attention (G)")
    return (_table(TABLE_3, setting, ("keep rate",), tuple(rows), heads, computed=computed, notes=(note,)),)


def _table_4(setting: Setting) -> tuple[ReportTable, ...]:
    recipes = (
        setting.encoder(1.0),
        setting.encoder(setting.settings.prune.keep_rate),
        setting.fpc(alpha=0.0),  # Without matching (M), neighbours are chosen by the cosine of [cls] only.
        setting.fpc(),
    )
    rows = tuple(
        Row((str(index), *("yes" if part else "no" for part in parts)), recipe, paper=_figures(figures))
        for recipe, (index, *parts, rank_1, mean_ap) in zip(recipes, TABLE_4.rows, strict=True)
        for figures in [(rank_1, mean_ap)]
    )
    return (_table(TABLE_4, setting, ("index", "S", "M", "C"), rows, _DUKE_HEADS),)


def _table_5(setting: Setting) -> tuple[ReportTable, ...]:
    paper = {(strategy, rate): figures for strategy, rate, *figures in TABLE_5.rows}
    strategies, rates = tuple(dict.fromkeys(TABLE_5.column("strategy"))), setting.keep_rates
    rows = tuple(
        Row(
            (str(strategy).replace("_", "-"), _step(rate)),
            setting.at(rate, DropStrategy(str(strategy))),
            paper=_figures(paper.get((strategy, rate), ())),
        )
        for strategy in strategies
        for rate in rates
    )
    rules = tuple(len(rates) * index for index in range(1, len(strategies)))
    heads = ("dropped", "keep rate")
    return (_table(TABLE_5, setting, heads, rows, _DUKE_HEADS, notes=(RANDOM_NOTE,), rules=rules),)


def _table_6(setting: Setting) -> tuple[ReportTable, ...]:
    plain, sparse = (_figures(figures) for _, *figures in TABLE_6.rows)
    rate = TABLE_6_KEEP_RATE
    rows = (
        Row(("TransReID",), setting.encoder(1.0), paper=plain),
        Row(("TransReID + T.S.",), setting.encoder(rate), paper=sparse),
        Row(("TransReID + T.S., gallery too",), setting.encoder(rate, rate)),
    )
    heads = tuple((data, head) for data in (DUKE, "Occluded-ReID") for head in ("Rank-1", "mAP"))
    notes = (
        "TransReID (ours): the same encoder alone. The paper does not state whether its gallery was pruned as well.",
    )
    return (_table(TABLE_6, setting, ("method",), rows, heads, notes=notes),)


def _table_7(setting: Setting) -> tuple[ReportTable, ...]:
    ours = {"FPC": setting.fpc(), "FPC + re-ranking": setting.fpc(Method.RE_RANKED)}
    rows = tuple(Row((str(name),), ours.get(str(name)), paper=_figures(rest)) for name, *rest in TABLE_7.rows)
    note = (
        "Re-ranking (ours): k-reciprocal with k1 = 50, k2 = 15, lambda = 0.3, as in the released code. Where a person "
        "has few gallery images, 50 neighbours include many other people."
    )
    return (_table(TABLE_7, setting, ("method",), rows, _DUKE_HEADS, notes=(note,)),)


def _figure_4(setting: Setting) -> tuple[ReportTable, ...]:
    settings = setting.settings
    alphas = sorted({*ALPHAS, settings.alpha})
    counts = sorted({*(count for count in NEIGHBORS if count <= settings.shortlist), settings.neighbors})
    curves = (
        (FIG_4_ALPHA, "alpha", [(alpha, setting.fpc(alpha=alpha)) for alpha in alphas]),
        (FIG_4_NEIGHBORS, "K", [(count, setting.fpc(neighbors=count)) for count in counts]),
    )
    return tuple(_curve(published, setting, head, points) for published, head, points in curves)


def _curve(
    published: PublishedTable, setting: Setting, head: str, points: Sequence[tuple[float, ScoreRecipe]]
) -> ReportTable:
    paper = {value: figures for value, *figures in published.rows}
    rows = tuple(Row((_step(value),), recipe, paper=_figures(paper.get(value, ()))) for value, recipe in points)
    note = "The paper draws this curve, but states only its best point as a number."
    return _table(published, setting, (head,), rows, _DUKE_HEADS, notes=(note,))


def _table(
    published: PublishedTable,
    setting: Setting,
    labels: tuple[str, ...],
    rows: tuple[Row, ...],
    heads: tuple[tuple[str, str], ...],
    **more: Any,
) -> ReportTable:
    return ReportTable(published.name, published.title, setting.settings, labels, rows, paper=heads, **more)


def _step(value: float) -> str:
    """Format a keep rate or an alpha with at least one decimal, and K as an integer."""
    return f"{value:.1f}" if isinstance(value, float) and round(value, 1) == value else f"{value:g}"


def _figures(values: Iterable[object]) -> tuple[float | None, ...]:
    return tuple(value if isinstance(value, float) else None for value in values)


RANDOM_NOTE = "Random: sampled separately for each query, from the seed and the path of the image."
_DUKE_HEADS = ((DUKE, "Rank-1"), (DUKE, "mAP"))
_BUILD: Mapping[str, Callable[[Setting], tuple[ReportTable, ...]]] = {
    "1": _methods(TABLE_1),
    "2": _methods(TABLE_2),
    "3": _table_3,
    "4": _table_4,
    "5": _table_5,
    "6": _table_6,
    "7": _table_7,
    "fig4": _figure_4,
}
NAMES = tuple(_BUILD)

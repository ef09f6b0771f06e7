"""Figures that explain a result: why one hit is nearer than another, and which patches matter or are dropped.

Each function computes all results and returns a function that draws the figure, as in `query_figures.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fpc_core.config import Variant
from fpc_core.data.match_rule import MatchRule
from fpc_core.explain.cards import comparison_candidates
from fpc_core.explain.heatmaps import decoder_map, encoder_map
from fpc_core.explain.lifelines import SURVIVED, cutoffs, fell_in
from fpc_core.explain.lifelines import falls as falls_at
from fpc_core.explain.margin import margin
from fpc_core.explain.masks import to_grid
from fpc_core.explain.overlay import grid_to_pixels, heat, mark_dropped
from fpc_core.explain.sentences import margin_heads, margin_rows
from fpc_core.figures.explanation_plots import BlockAttention, MarginPicture, PatchHistory, draw_lifeline, draw_margin
from fpc_core.figures.image_grid import Block, Cell, draw_sheet
from fpc_core.figures.matplotlib_style import WORDS, DrawFn, FigureWithData, csv_text, heat_scale
from fpc_core.figures.queries import (
    FigureQuery,
    aspect,
    gallery_image,
    gallery_path,
    gallery_row,
    labels_of,
    map_settings,
    shortlisted_row,
)
from fpc_core.figures.recipe import FigureRecipe
from fpc_core.io.dataclass_json import RecipeError
from fpc_core.workspace import Workspace

_OFFERED = 10  # Number of hits among which the most instructive comparison is chosen.


def compute_margin(recipe: FigureRecipe, workspace: Workspace, queries: Sequence[FigureQuery]) -> DrawFn:
    """Compute the contribution of each query patch to the difference in D of two hits, and the parts of D.

    Args:
        recipe: Recipe of the figure.
        workspace: Data and weights.
        queries: The query, as a sequence of one.

    Raises:
        RecipeError: An image is not shortlisted, both are the same, or there is no other image.
    """
    query = queries[0]
    trace, retriever, alpha = query.trace, workspace.retriever, recipe.settings.alpha
    chosen = shortlisted_row(recipe.gallery, query)
    rival = _rival(recipe, query, chosen)
    positions = (trace.match.shortlist.position(row) for row in (chosen, rival))
    one, other = (retriever.plan(trace.encoding, trace.match, each, recipe.settings) for each in positions)
    difference = margin(trace.match, (one, other), alpha, retriever.model.config.grid)
    rows = difference.winner, difference.loser
    rule = MatchRule(retriever.memory.records, query.subject, workspace.dataset.excludes_own_camera)
    ranks = rule.ranks(trace.by_distance)
    winner, loser = (f"#{ranks[row]}" if row in ranks else WORDS["junk"] for row in rows)
    shares = dict(
        zip(trace.consolidation.neighbors.tolist(), trace.consolidation.neighbor_shares.tolist(), strict=True)
    )
    picture = MarginPicture(
        images=(gallery_image(workspace, rows[0]), query.image, gallery_image(workspace, rows[1])),
        tones=(query.tone(rows[0]), query.tone(rows[1])),
        names=(winner, loser),
        patches=difference.patches,
        table=(
            margin_heads(alpha),
            *margin_rows(difference, (winner, loser), (shares.get(rows[0]), shares.get(rows[1])), alpha),
        ),
    )
    about = (query.name, *(gallery_path(workspace, row) for row in rows))
    parts = [("cosine", difference.cosine), ("transport", difference.transport), ("total", difference.total)]
    values = difference.patches.ravel()
    data = csv_text(
        ("query", "winner", "loser", "part", "query_patch", "difference"),
        [
            *((*about, part, "", f"{value:.6f}") for part, value in parts),
            *((*about, "patch", patch, f"{values[patch]:.6g}") for patch in np.flatnonzero(np.isfinite(values))),
        ],
    )
    config, style = retriever.model.config, recipe.style
    return lambda: FigureWithData(draw_margin(picture, config, style), data)


def _rival(recipe: FigureRecipe, query: FigureQuery, chosen: int) -> int:
    """Return the row of the hit to compare with: that of the recipe, or the most instructive one.

    Args:
        recipe: Recipe of the figure.
        query: The query.
        chosen: Row of the hit that is compared.

    Raises:
        RecipeError: The image is not shortlisted or is the chosen one, or there is no other image.
    """
    if recipe.rival:
        row = shortlisted_row(recipe.rival, query)
        if row == chosen:
            raise RecipeError(f"rival must differ from the image that it is compared with, got {recipe.rival[:120]!r}")
        return row
    rows = query.trace.by_distance.indices.tolist()
    _, row_or_none = comparison_candidates(rows, [query.tone(row) for row in rows], chosen, _OFFERED, show_junk=False)
    if row_or_none is None:
        raise RecipeError("the shortlist has no other image that is not junk; enlarge the shortlist")
    return row_or_none


def compute_query_maps(recipe: FigureRecipe, workspace: Workspace, queries: Sequence[FigureQuery]) -> DrawFn:
    """Compute heat maps over each query: of the encoder and, in the paper's variant, of the decoder.

    Each map has a scale of its own; that of the decoder includes the neighbours.

    Args:
        recipe: Recipe of the figure.
        workspace: Data and weights.
        queries: Queries of the recipe.
    """
    retriever, config = workspace.retriever, workspace.retriever.model.config
    how = map_settings(recipe, workspace)
    reads_query = recipe.settings.variant is Variant.PAPER
    blocks, rows = [], []
    for query, label in zip(queries, labels_of(recipe), strict=True):
        selected = gallery_row(recipe.selected, query)
        maps = {"encoder": encoder_map(retriever, query.state, recipe.settings.prune, how.of_encoder(selected))}
        if reads_query:
            maps["decoder"] = decoder_map(retriever, query.trace, how)
        cells = [Cell(query.image), Cell(gallery_image(workspace, selected), tone=query.tone(selected))]
        about = (query.name, gallery_path(workspace, selected))
        for name, heat_map in maps.items():
            scaled = heat_map.scaled().query_grid
            alive = np.isfinite(scaled)
            coloured = heat(query.image, np.nan_to_num(scaled), config, 1.0)
            shown = np.where(grid_to_pixels(alive, config)[..., None], coloured, query.image)
            cells.append(Cell(mark_dropped(shown, alive, config, recipe.style.pruned)))
            rows += [
                (*about, name, patch, f"{heat_map.query_grid.flat[patch]:.6g}", f"{scaled.flat[patch]:.4f}")
                for patch in np.flatnonzero(alive)
            ]
        blocks.append(Block((tuple(cells),), label=label))
    heads = [WORDS["query"], WORDS["gallery"], WORDS["encoder"], *([WORDS["decoder"]] if reads_query else [])]
    data = csv_text(("query", "gallery", "map", "query_patch", "value", "heat"), rows)
    scale = heat_scale(how)
    return lambda: FigureWithData(draw_sheet(blocks, heads, recipe.style, aspect(workspace), scale), data)


def compute_lifeline(recipe: FigureRecipe, workspace: Workspace, queries: Sequence[FigureQuery]) -> DrawFn:
    """Compute the attention to one patch in every block, and the block that drops it at each keep rate.

    Args:
        recipe: Recipe of the figure.
        workspace: Data and weights.
        queries: The query, as a sequence of one.

    Raises:
        RecipeError: The grid does not have the patch.
    """
    query, config, prune = queries[0], workspace.retriever.model.config, recipe.settings.prune
    if recipe.patch >= config.patches:
        raise RecipeError(f"patch must be in 0..{config.patches - 1}, got {recipe.patch}")
    encoding, keep_rates = query.encode(prune), tuple(sorted(recipe.keep_rates))
    fell, cutoff = fell_in(encoding), cutoffs(encoding)
    blocks = tuple(
        BlockAttention(
            stage.block,
            to_grid(stage.attention[0].cpu().numpy(), stage.entered[0].cpu().numpy(), encoding.grid),
            cutoff.get(stage.block),
        )
        for stage in query.trace_blocks()
    )
    history = PatchHistory(
        recipe.patch,
        blocks,
        fell,
        prune.keep_rate,
        keep_rates,
        falls_at(query.encode, prune, keep_rates)[:, recipe.patch],
    )
    rows: list[tuple[object, ...]] = []
    for block in blocks:
        value = block.attention.flat[recipe.patch]
        rows += [("attention", block.block, f"{value:.6g}")] if np.isfinite(value) else []
        rows += [] if block.cutoff is None else [("cut_off", block.block, f"{block.cutoff:.6g}")]
    rows += [
        ("dropped_in_block", f"{rate:g}", "" if block == SURVIVED else block)
        for rate, block in zip(keep_rates, history.falls.tolist(), strict=True)
    ]
    heads = ("query", "query_patch", "quantity", "block_or_keep_rate", "value")
    data = csv_text(heads, [(query.name, recipe.patch, *row) for row in rows])
    return lambda: FigureWithData(draw_lifeline(query.image, history, config, recipe.style), data)

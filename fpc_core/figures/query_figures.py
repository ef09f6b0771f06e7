"""Figures of single queries. The image and the CSV data of a figure come from the same numbers.

Each function computes all results and returns a function that draws the figure, because only one thread at a time may
draw with matplotlib's global settings. Functions without an `Args` section have the arguments of `compute_figure`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from fpc_core.config import DropStrategy
from fpc_core.explain.heatmaps import decoder_map
from fpc_core.explain.masks import survivors
from fpc_core.explain.overlay import heat, mark_dropped
from fpc_core.figures.explanation_figures import compute_lifeline, compute_margin, compute_query_maps
from fpc_core.figures.flow_and_alpha_plots import draw_alpha_lines, draw_transport, heaviest
from fpc_core.figures.image_grid import Block, Cell, draw_sheet
from fpc_core.figures.matplotlib_style import WORDS, DrawFn, FigureWithData, csv_text, heat_scale
from fpc_core.figures.queries import (
    FigureQuery,
    aspect,
    gallery_image,
    gallery_path,
    labels_of,
    load_queries,
    map_settings,
    shortlisted_row,
)
from fpc_core.figures.recipe import FigureKind, FigureRecipe
from fpc_core.workspace import Workspace


def load_and_compute(recipe: FigureRecipe, workspace: Workspace) -> DrawFn:
    """Load the queries of a recipe, and compute its figure.

    Args:
        recipe: Recipe that names queries.
        workspace: Data and weights.

    Returns:
        A function that draws the figure; call it within `matplotlib_style.style_context`.

    Raises:
        RecipeError: The recipe does not match the data or the weights.
    """
    return compute_figure(recipe, workspace, load_queries(recipe, workspace))


def compute_figure(recipe: FigureRecipe, workspace: Workspace, queries: Sequence[FigureQuery]) -> DrawFn:
    """Compute the figure of a recipe for queries that are loaded already.

    Args:
        recipe: Recipe that names queries.
        workspace: Data and weights.
        queries: Queries of the recipe.

    Returns:
        A function that draws the figure; call it within `matplotlib_style.style_context`.

    Raises:
        RecipeError: The recipe does not match the data or the weights.
    """
    return _COMPUTE[recipe.kind](recipe, workspace, queries)


def _drop_strategies(recipe: FigureRecipe, workspace: Workspace, queries: Sequence[FigureQuery]) -> DrawFn:
    """Compute Fig. 5: the patches left after the last dropping block, for each drop strategy at one keep rate."""
    order = (DropStrategy.RANDOM, DropStrategy.SALIENT, DropStrategy.NON_SALIENT)

    def masks(query: FigureQuery) -> list[np.ndarray]:
        return [survivors(query.encode(replace(recipe.settings.prune, strategy=each)))[-1] for each in order]

    return _veiled(recipe, workspace, {query: masks(query) for query in queries}, [WORDS[each.value] for each in order])


def _drop_process(recipe: FigureRecipe, workspace: Workspace, queries: Sequence[FigureQuery]) -> DrawFn:
    """Compute Figs. 6 and 9: the patches left after each dropping block."""
    heads = [WORDS["block"].format(block) for block in recipe.settings.prune.blocks]
    masks = {query: survivors(query.encode(recipe.settings.prune)) for query in queries}
    return _veiled(recipe, workspace, masks, heads)


def _keep_rates(recipe: FigureRecipe, workspace: Workspace, queries: Sequence[FigureQuery]) -> DrawFn:
    """Compute Fig. 8: the patches left after the last dropping block, for each keep rate."""

    def masks(query: FigureQuery) -> list[np.ndarray]:
        prunes = (replace(recipe.settings.prune, keep_rate=rate) for rate in recipe.keep_rates)
        return [survivors(query.encode(prune))[-1] for prune in prunes]

    heads = [f"γ = {rate:g}" for rate in recipe.keep_rates]
    return _veiled(recipe, workspace, {query: masks(query) for query in queries}, heads)


def _veiled(
    recipe: FigureRecipe, workspace: Workspace, masks: Mapping[FigureQuery, Sequence[np.ndarray]], heads: Sequence[str]
) -> DrawFn:
    """Compute a sheet of images in which dropped patches are marked, with one block per query.

    Args:
        recipe: Recipe of the figure.
        workspace: Data and weights.
        masks: (rows, columns) bool masks of the kept patches of each query, one per column after the input image.
        heads: Heads of these columns.
    """
    config = workspace.retriever.model.config
    blocks, rows = [], []
    for query, label in zip(masks, labels_of(recipe), strict=True):
        cells = [
            Cell(query.image),
            *(Cell(mark_dropped(query.image, mask, config, recipe.style.pruned)) for mask in masks[query]),
        ]
        blocks.append(Block((tuple(cells),), label=label))
        for head, mask in zip(heads, masks[query], strict=True):
            kept = np.flatnonzero(mask)
            rows.append((query.name, head, len(kept), " ".join(map(str, kept))))
    heads = [WORDS["input"], *heads]
    data = csv_text(("query", "panel", "kept_patches", "kept"), rows)
    return lambda: FigureWithData(draw_sheet(blocks, heads, recipe.style, aspect(workspace)), data)


def _decoder_maps(recipe: FigureRecipe, workspace: Workspace, queries: Sequence[FigureQuery]) -> DrawFn:
    """Compute Fig. 7: heat maps of the decoder over the neighbours that it reads, with one scale per query."""
    config = workspace.retriever.model.config
    how = map_settings(recipe, workspace)
    blocks, rows = [], []
    for query, label in zip(queries, labels_of(recipe), strict=True):
        heat_map = decoder_map(workspace.retriever, query.trace, how)
        scaled = heat_map.scaled().neighbor_grids
        cells = [Cell(query.image)]
        for index, row in enumerate(query.trace.consolidation.neighbors.tolist()):
            cells.append(Cell(heat(gallery_image(workspace, row), scaled[index], config, 1.0), tone=query.tone(row)))
            shown = zip(heat_map.neighbor_grids[index].ravel(), scaled[index].ravel(), strict=True)
            about = (query.name, index + 1, gallery_path(workspace, row), query.tone(row))
            rows += [(*about, patch, f"{value:.6g}", f"{heat:.4f}") for patch, (value, heat) in enumerate(shown)]
        blocks.append(Block((tuple(cells),), label=label))
    bar = heat_scale(how)
    heads = [WORDS["query"], *map(str, range(1, recipe.settings.neighbors + 1))]
    data = csv_text(("query", "neighbor", "gallery", "relation", "patch", "value", "heat"), rows)
    return lambda: FigureWithData(draw_sheet(blocks, heads, recipe.style, aspect(workspace), bar), data)


def _ranked_list(recipe: FigureRecipe, workspace: Workspace, queries: Sequence[FigureQuery]) -> DrawFn:
    """Compute the nearest gallery images by cosine, by D and after consolidation, without junk."""
    blocks, rows = [], []
    for query, label in zip(queries, labels_of(recipe), strict=True):
        trace = query.trace
        rankings = {"cosine": trace.by_cosine, "D": trace.by_distance, "consolidated": trace.final}
        lines: list[tuple[Cell | None, ...]] = []
        for name, ranking in rankings.items():
            hits = query.hits(ranking, recipe.hits)
            cells = [Cell(gallery_image(workspace, row), f"{distance:.2f}", query.tone(row)) for row, distance in hits]
            empty = (None,) * (recipe.hits - len(hits))
            lines.append((None if lines else Cell(query.image), *cells, *empty))
            kept = trace.encoding.positions.shape[1]
            for rank, (row, distance) in enumerate(hits, start=1):
                rows.append(
                    (query.name, kept, name, rank, gallery_path(workspace, row), query.tone(row), f"{distance:.6f}")
                )
        names = (WORDS["cosine"], WORDS["distance"].format(f"{recipe.settings.alpha:g}"), WORDS["final"])
        blocks.append(Block(tuple(lines), names, label))
    heads = [WORDS["query"], *map(str, range(1, recipe.hits + 1))]
    data = csv_text(("query", "kept_patches", "ranking", "rank", "gallery", "relation", "distance"), rows)
    return lambda: FigureWithData(draw_sheet(blocks, heads, recipe.style, aspect(workspace)), data)


def _transport(recipe: FigureRecipe, workspace: Workspace, queries: Sequence[FigureQuery]) -> DrawFn:
    """Compute the heaviest flows of the transport plan to one gallery image."""
    query = queries[0]
    trace, target = query.trace, shortlisted_row(recipe.gallery, query)
    position = trace.match.shortlist.position(target)
    plan = workspace.retriever.plan(trace.encoding, trace.match, position, recipe.settings)
    rows = [
        (
            query.name,
            gallery_path(workspace, target),
            int(plan.query_positions[i]),
            j,
            f"{plan.plan[i, j]:.6g}",
            f"{plan.cost[i, j]:.6f}",
        )
        for i, j in zip(*(each.tolist() for each in heaviest(plan, recipe.flows)), strict=True)
    ]
    data = csv_text(("query", "gallery", "query_patch", "gallery_patch", "mass", "ground_cost"), rows)
    alive, target_image = survivors(trace.encoding)[-1], gallery_image(workspace, target)

    def draw() -> FigureWithData:
        figure = draw_transport(
            query.image,
            target_image,
            plan,
            alive,
            workspace.retriever.model.config,
            recipe.style,
            flows=recipe.flows,
            tone=query.tone(target),
        )
        return FigureWithData(figure, data)

    return draw


def _alpha_lines(recipe: FigureRecipe, workspace: Workspace, queries: Sequence[FigureQuery]) -> DrawFn:
    """Compute D of the nearest candidates against alpha, and the values of alpha at which ranks swap."""
    query = queries[0]
    match = query.trace.match
    shortlist = match.shortlist
    tones = [query.tone(row) for row in shortlist.indices.tolist()]
    rows = [
        (query.name, gallery_path(workspace, row), tone, f"{d_cos:.6f}", f"{d_emd:.6f}")
        for row, tone, d_cos, d_emd in zip(
            shortlist.indices.tolist(), tones, shortlist.d_cos, match.transport.distance, strict=True
        )
    ]
    data = csv_text(("query", "gallery", "relation", "D_cos", "D_EMD"), rows)
    style, alpha, hits = recipe.style, recipe.settings.alpha, recipe.hits
    return lambda: FigureWithData(draw_alpha_lines(match, tones, alpha, style, hits=hits), data)


_COMPUTE: Mapping[FigureKind, Callable[[FigureRecipe, Workspace, Sequence[FigureQuery]], DrawFn]] = {
    FigureKind.DROP_STRATEGIES: _drop_strategies,
    FigureKind.DROP_PROCESS: _drop_process,
    FigureKind.KEEP_RATES: _keep_rates,
    FigureKind.DECODER_MAPS: _decoder_maps,
    FigureKind.RANKED_LIST: _ranked_list,
    FigureKind.TRANSPORT: _transport,
    FigureKind.ALPHA_LINES: _alpha_lines,
    FigureKind.MARGIN: compute_margin,
    FigureKind.QUERY_MAPS: compute_query_maps,
    FigureKind.PATCH_LIFELINE: compute_lifeline,
}

"""Plots that consist of lines: a transport plan between two images, and D against alpha."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from fpc_core.colours import BLUE, MATCH_COLOURS
from fpc_core.config import ModelConfig
from fpc_core.data.match_label import MatchLabel
from fpc_core.explain.overlay import mark_dropped, patch_centres
from fpc_core.figures.image_grid import colour_bar, image_axes
from fpc_core.figures.matplotlib_style import DASHES, WORDS, new_figure
from fpc_core.figures.style import WIDTHS, FigureStyle
from fpc_core.matching.ranking import combined_distance, swap_alphas
from fpc_core.results import Match, TransportPlan


def draw_transport(
    query: np.ndarray,
    gallery: np.ndarray,
    plan: TransportPlan,
    alive: np.ndarray,
    config: ModelConfig,
    style: FigureStyle,
    *,
    flows: int,
    tone: MatchLabel,
) -> Figure:
    """Draw the heaviest flows of a plan as lines over the two images; dropped query patches are whitened.

    Width and opacity show mass relative to the heaviest flow, colour shows ground cost.

    Args:
        query: (H, W, 3) uint8 query image.
        gallery: (H, W, 3) uint8 gallery image.
        plan: Transport plan between the two images.
        alive: (rows, columns) bool, patches of the query that were kept.
        config: Architecture of the model.
        style: Size and fonts.
        flows: Number of flows to draw.
        tone: Label of the gallery image.
    """
    width = WIDTHS[style.width]
    text = style.font_size / 72 * 1.45
    height_px, width_px = config.image_size
    image_width = min(width * 0.3, 2.2)
    image_height = image_width * height_px / width_px
    bar = 4.0 * text
    figure = new_figure(style, image_height + text + bar)
    left, right = (width - image_width * 2.6) / 2, (width + image_width * 0.6) / 2
    names = (WORDS["query"], f"{WORDS['gallery']}, {WORDS[tone.value if tone is not MatchLabel.JUNK else 'match']}")
    for x, image, name in (
        (left, mark_dropped(query, alive, config, style.pruned), names[0]),
        (right, gallery, names[1]),
    ):
        image_axes(figure, image, x, bar, image_width, image_height)
        total = figure.get_size_inches()
        figure.text((x + image_width / 2) / total[0], 1 - text * 0.5 / total[1], name, ha="center", va="center")

    rows, columns = heaviest(plan, flows)
    mass, cost = plan.plan[rows, columns], plan.cost[rows, columns]
    low, high = (float(cost.min()), float(cost.max())) if len(cost) else (0.0, 1.0)
    high = max(high, low + 1e-3)
    scale = image_width / width_px  # Inches per pixel.
    centres = patch_centres(config)
    start = centres[plan.query_positions[rows]] * scale
    end = centres[columns] * scale
    start[:, 0] += left
    end[:, 0] += right
    for points in (start, end):
        points[:, 1] = bar + image_height - points[:, 1]
    weight = mass / mass.max() if len(mass) else mass
    colours = matplotlib.colormaps["viridis"]((cost - low) / (high - low))
    colours[:, 3] = 0.25 + 0.7 * weight
    order = np.argsort(weight, kind="stable")  # The heaviest flows are drawn last, so that they are on top.
    total = figure.get_size_inches()
    over = figure.add_axes((0, 0, 1, 1), xlim=(0, total[0]), ylim=(0, total[1]))
    over.set_axis_off()
    over.add_collection(
        LineCollection(
            np.stack([start, end], axis=1)[order].tolist(),
            colors=colours[order],
            linewidths=(0.3 + 1.5 * weight)[order],
        )
    )
    colour_bar(figure, (width * 0.3, text * 2.9, width * 0.4, text * 0.5), low, high, WORDS["cost"])
    return figure


def heaviest(plan: TransportPlan, flows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows and columns of the heaviest non-zero flows of a plan, heaviest first.

    Args:
        plan: Transport plan.
        flows: Maximum number of flows.

    Returns:
        (n,) rows (query patches) and (n,) columns (gallery patches) of the plan.
    """
    flat = plan.plan.ravel()
    first = np.argsort(-flat, kind="stable")[:flows]
    rows, columns = np.unravel_index(first[flat[first] > 0], plan.plan.shape)
    return rows, columns


def draw_alpha_lines(
    match: Match, tones: Sequence[MatchLabel], alpha: float, style: FigureStyle, *, hits: int
) -> Figure:
    """Plot D (Eq. 10) against alpha for all candidates that reach the first ranks at some alpha; rings mark swaps.

    Args:
        match: Shortlist and transport.
        tones: Label of each candidate, in the order of the shortlist.
        alpha: Value of alpha to mark with a vertical line.
        style: Size and fonts.
        hits: Number of top ranks to show.
    """
    cos, emd = match.shortlist.d_cos, match.transport.distance
    swaps = swap_alphas(cos, emd, hits)
    reach = {index for swap in swaps for index in (swap.first, swap.second)}
    reach |= set(np.argsort(combined_distance(cos, emd, 0.0), kind="stable")[:hits].tolist())
    figure = new_figure(style, WIDTHS[style.width] * 0.72)
    axes = figure.add_subplot()
    for index in sorted(reach):
        tone = tones[index]
        axes.plot(
            [0, 1],
            [cos[index], emd[index]],
            color=MATCH_COLOURS[tone],
            linestyle=DASHES[tone],
            linewidth=1.3 if tone is MatchLabel.MATCH else 0.8,
        )
    at = np.array([swap.alpha for swap in swaps])
    first = [swap.first for swap in swaps]
    height = (1 - at) * cos[first] + at * emd[first]
    rings = axes.plot(at, height, "o", markersize=3, fillstyle="none", color="#333333", mew=0.6)
    current = axes.axvline(alpha, color=BLUE, linewidth=1.0, zorder=0)
    axes.set(xlim=(0, 1), xlabel="α", ylabel="D")
    shown = [
        tone
        for tone in (MatchLabel.MATCH, MatchLabel.OTHER, MatchLabel.NEUTRAL)
        if tone in {tones[index] for index in reach}
    ]
    tones_of = [axes.plot([], [], color=MATCH_COLOURS[tone], linestyle=DASHES[tone])[0] for tone in shown]
    axes.legend(
        [*tones_of, *rings, current],
        [*(WORDS[tone.value] for tone in shown), WORDS["swap"], f"α = {alpha:g}"],
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=2,
        frameon=False,
        borderaxespad=0.2,
    )
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout(pad=0.4)
    return figure

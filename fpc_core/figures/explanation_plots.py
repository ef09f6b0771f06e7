"""Draw the margin between two hits, and the history of one patch. Positions and sizes are in inches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from fpc_core.colours import BLUE, ORANGE, RED, SIGNED_COLOURS
from fpc_core.config import ModelConfig
from fpc_core.data.match_label import MatchLabel
from fpc_core.explain.lifelines import SURVIVED
from fpc_core.explain.overlay import STRONGEST, grid_to_pixels, heat, mark_dropped, patch_centres, signed_heat
from fpc_core.figures.image_grid import Cell, colour_bar, draw_cell, fitting, write
from fpc_core.figures.matplotlib_style import WORDS, new_figure
from fpc_core.figures.style import WIDTHS, FigureStyle

_LINE = 1.45  # Height of a line of text as a multiple of the font size.
_AMBER = "#ffb000"
_PAGE = 5.0  # Width in inches above which images and charts are side by side.
_CROWDED = 10  # Number of keep rates above which their labels are vertical.
_LEAST = 1e-6  # Lower attention is drawn at this value, because the axis is logarithmic.


@dataclass(frozen=True, eq=False)
class MarginPicture:
    """Data of the figure of a margin.

    Attributes:
        images: (H, W, 3) uint8 images of winner, query and loser.
        tones: Labels of winner and loser.
        names: Names of winner and loser.
        patches: (rows, columns) contribution of each query patch, NaN where it was dropped; positive values favour the
            winner.
        table: Head and rows of the table below the images.
    """

    images: tuple[np.ndarray, np.ndarray, np.ndarray]
    tones: tuple[MatchLabel, MatchLabel]
    names: tuple[str, str]
    patches: np.ndarray
    table: tuple[list[str], ...]


def draw_margin(picture: MarginPicture, config: ModelConfig, style: FigureStyle) -> Figure:
    """Draw winner, query and loser with a signed map over the query, and the parts of D as a table.

    Args:
        picture: Data of the figure.
        config: Architecture of the model.
        style: Size and fonts.
    """
    width, text = WIDTHS[style.width], style.font_size / 72 * _LINE
    image_width = min(width * 0.24, 1.5)
    image_height = image_width * config.image_size[0] / config.image_size[1]
    gap, row_height, bar = image_width * 0.3, text * 1.15, text * 4.0
    table_height = row_height * len(picture.table) + text * 0.6
    figure = new_figure(style, text + image_height + bar + table_height)
    left, bottom = (width - 3 * image_width - 2 * gap) / 2, table_height + bar
    alive = np.isfinite(picture.patches)
    top = float(np.abs(picture.patches[alive]).max(initial=0.0))
    coloured = signed_heat(picture.images[1], picture.patches, config, top)
    query = mark_dropped(coloured, alive, config, style.pruned)
    cells = (
        Cell(picture.images[0], f"{picture.names[0]}, {WORDS[picture.tones[0].value]}", picture.tones[0]),
        Cell(query, WORDS["query"]),
        Cell(picture.images[2], f"{picture.names[1]}, {WORDS[picture.tones[1].value]}", picture.tones[1]),
    )
    size = fitting([cell.below for cell in cells], image_width + gap * 0.9, style)
    for index, cell in enumerate(cells):
        x = left + index * (image_width + gap)
        draw_cell(figure, cell, x, bottom, image_width, image_height)
        write(figure, x + image_width / 2, bottom + image_height + text * 0.5, cell.below, fontsize=size)

    negative, positive = (STRONGEST * np.array(to_rgb(colour)) + 1 - STRONGEST for colour in SIGNED_COLOURS)
    colours = LinearSegmentedColormap.from_list("signed", [negative, np.ones(3), positive])
    end = top or 1.0
    box = (width * 0.3, table_height + text * 2.6, width * 0.4, text * 0.5)
    axes = colour_bar(figure, box, -end, end, "", colours)
    favours = [WORDS["favours"].format(name) for name in reversed(picture.names)]
    axes.set_xticks([-end, 0.0, end], [f"{top:.4f}\n{favours[0]}", "0", f"{top:.4f}\n{favours[1]}"])

    table_width = min(width, 5.2)
    column = table_width / len(picture.table[0])
    size = fitting([word for row in picture.table for word in row], column * 0.82, style)  # The head is bold.
    for number, row in enumerate(picture.table):
        y = table_height - (number + 0.5) * row_height
        for index, word in enumerate(row):
            x = (width - table_width) / 2 + (index + 0.5) * column
            write(figure, x, y, word, fontsize=size, weight="bold" if number == 0 else "normal")
    return figure


@dataclass(frozen=True, eq=False)
class BlockAttention:
    """Attention of `[cls]` in one block.

    Attributes:
        block: Index of the block.
        attention: (rows, columns) attention to each patch that enters the block, NaN for patches dropped earlier.
        cutoff: Smallest attention of the patches that a dropping block keeps; None for other blocks.
    """

    block: int
    attention: np.ndarray
    cutoff: float | None


@dataclass(frozen=True, eq=False)
class PatchHistory:
    """Data of the figure of a patch's history.

    Attributes:
        patch: Row-major grid position of the patch.
        blocks: Attention in every block of the encoder.
        fell: (N,) block that drops each patch of the grid, SURVIVED for patches that are kept.
        keep_rate: Keep rate of the settings.
        keep_rates: R ascending keep rates.
        falls: (R,) block that drops the patch at each keep rate, SURVIVED if it is kept.
    """

    patch: int
    blocks: tuple[BlockAttention, ...]
    fell: np.ndarray
    keep_rate: float
    keep_rates: tuple[float, ...]
    falls: np.ndarray


def draw_lifeline(image: np.ndarray, history: PatchHistory, config: ModelConfig, style: FigureStyle) -> Figure:
    """Draw the query at each dropping block, and two charts of the patch: its attention, and the block that drops it.

    Args:
        image: (H, W, 3) uint8 query image.
        history: History of the patch.
        config: Architecture of the model.
        style: Size and fonts.
    """
    dropping = [block for block in history.blocks if block.cutoff is not None]
    width, text = WIDTHS[style.width], style.font_size / 72 * _LINE
    side_by_side = width > _PAGE
    room = width * 0.46 if side_by_side else width
    gap = text * 0.4
    image_width = min((room - gap * (len(dropping) - 1)) / len(dropping), 1.1)
    image_height = image_width * config.image_size[0] / config.image_size[1]
    crowded = len(history.keep_rates) > _CROWDED
    bar, chart, y_labels = text * 4.0, text * 8.0, text * 5.0
    below = text * 2.6, text * (3.8 if crowded else 2.6)  # Room for the labels of the two x axes.
    images_height = text + image_height + bar
    charts_height = 2 * (chart + text) + sum(below)
    height = max(images_height, charts_height) if side_by_side else images_height + charts_height
    figure = new_figure(style, height)
    bottom = height - text - image_height
    top = float(max(np.nanmax(block.attention) for block in dropping))
    start = 0.0 if side_by_side else (width - len(dropping) * (image_width + gap) + gap) / 2
    for index, block in enumerate(dropping):
        x = start + index * (image_width + gap)
        axes = draw_cell(
            figure, Cell(_at_block(image, block, config, style, top)), x, bottom, image_width, image_height
        )
        _mark_patches(axes, history, block, config)
        write(figure, x + image_width / 2, height - text * 0.5, WORDS["block"].format(block.block))
    images_width = len(dropping) * (image_width + gap) - gap
    box = (start + images_width * 0.2, bottom - text * 1.1, images_width * 0.6, text * 0.5)
    legend = colour_bar(figure, box, 0.0, top, WORDS["cls_attention"])
    legend.xaxis.set_major_formatter(FuncFormatter(_percent))

    left = (images_width + y_labels + text) if side_by_side else y_labels
    for number, draw in enumerate((_draw_attention, _draw_keep_rates)):
        y = below[1] + (1 - number) * (chart + text + below[0])
        size = (left / width, y / height, (width - left - text * 0.8) / width, chart / height)
        axes = figure.add_axes(size)
        draw(axes, history)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _at_block(
    image: np.ndarray, block: BlockAttention, config: ModelConfig, style: FigureStyle, top: float
) -> np.ndarray:
    """Return the query with the attention in a block as a heat map; patches dropped earlier are marked.

    Args:
        image: (H, W, 3) uint8 query image.
        block: Attention in the block.
        config: Architecture of the model.
        style: How dropped patches are marked.
        top: Attention with the last colour.

    Returns:
        (H, W, 3) uint8 image.
    """
    enters = np.isfinite(block.attention)
    coloured = heat(image, np.nan_to_num(block.attention), config, top)
    shown = np.where(grid_to_pixels(enters, config)[..., None], coloured, image)
    return mark_dropped(shown, enters, config, style.pruned)


def _mark_patches(axes: Axes, history: PatchHistory, block: BlockAttention, config: ModelConfig) -> None:
    """Draw a cross on every patch that the block drops, and a frame around the patch of the history.

    Args:
        axes: Axes of the image, in pixels.
        history: History of the patch.
        block: Dropping block.
        config: Architecture of the model.
    """
    centres, half = patch_centres(config), config.stride / 2
    dropped = centres[history.fell == block.block]
    arms = np.array([[[-1, -1], [1, 1]], [[-1, 1], [1, -1]]]) * half * 0.45
    lines = (dropped[:, None, None, :] + arms).reshape(-1, 2, 2)
    for colour, thick in (("white", 1.4), (RED, 0.7)):
        axes.add_collection(LineCollection(lines.tolist(), colors=colour, linewidths=thick))
    x, y = centres[history.patch] - half
    axes.add_patch(Rectangle((x, y), 2 * half, 2 * half, fill=False, edgecolor=_AMBER, linewidth=1.6))


def _percent(value: float, _position: int | None = None) -> str:
    """Format a share as a percentage, such as 0.0001 as 0.01%."""
    return f"{100 * value:g}%"


def _draw_attention(axes: Axes, history: PatchHistory) -> None:
    """Plot the attention to the patch in every block that it reaches, and the cut-offs of the dropping blocks."""
    reached = [block for block in history.blocks if np.isfinite(block.attention.flat[history.patch])]
    blocks = [block.block for block in reached]
    values = [max(float(block.attention.flat[history.patch]), _LEAST) for block in reached]
    axes.plot(blocks, values, "-o", color=BLUE, markersize=2.5, linewidth=1.0)
    limits = [(block.block, max(block.cutoff, _LEAST)) for block in history.blocks if block.cutoff is not None]
    axes.hlines(
        [value for _, value in limits],
        [block - 0.35 for block, _ in limits],
        [block + 0.35 for block, _ in limits],
        color=ORANGE,
        linewidth=1.8,
        label=WORDS["cut_off"],
    )
    if history.fell[history.patch] != SURVIVED:
        axes.plot(blocks[-1:], values[-1:], "x", color=RED, markersize=6, mew=1.4, label=WORDS["dropped"])
    axes.set_yscale("log")
    low, high = (10.0 ** step(np.log10(axes.get_ylim()[end])) for end, step in enumerate((np.floor, np.ceil)))
    axes.set(ylim=(low, high), xlim=(history.blocks[0].block - 0.6, history.blocks[-1].block + 0.6))
    axes.yaxis.set_major_locator(LogLocator(numticks=6))
    axes.yaxis.set_major_formatter(FuncFormatter(_percent))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set(ylabel=WORDS["cls_attention"], xlabel=WORDS["blocks"])
    axes.set_xticks([block.block for block in history.blocks])
    for block, tick in zip(history.blocks, axes.get_xticklabels(), strict=True):
        tick.set_fontweight("bold" if block.cutoff is not None else "normal")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 0.98), ncols=2, frameon=False, borderaxespad=0.0)


def _draw_keep_rates(axes: Axes, history: PatchHistory) -> None:
    """Plot the block that drops the patch at each keep rate as a hollow bar; filled bars mean that it is kept."""
    dropping = [block.block for block in history.blocks if block.cutoff is not None]
    kept = history.falls == SURVIVED
    steps = [len(dropping) + 1 if block == SURVIVED else dropping.index(block) + 1 for block in history.falls.tolist()]
    colours = [BLUE if each else "white" for each in kept]
    axes.bar(range(len(steps)), steps, 0.72, color=colours, edgecolor=BLUE, linewidth=0.7)
    axes.set(xlabel=WORDS["keep_rate"], xlim=(-0.6, len(steps) - 0.4), ylabel=WORDS["dropped_in"])
    axes.set_yticks(range(1, len(dropping) + 2), [*map(str, dropping), WORDS["kept"]])
    axes.set_xticks(range(len(steps)), [f"{rate:g}" for rate in history.keep_rates])
    crowded = len(steps) > _CROWDED
    for rate, tick in zip(history.keep_rates, axes.get_xticklabels(), strict=True):
        tick.set_fontweight("bold" if abs(rate - history.keep_rate) < 1e-9 else "normal")
        if crowded:
            tick.set_rotation(90)

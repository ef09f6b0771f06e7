"""Draw grids of images, with one block of cells per query. Positions and sizes are in inches."""

from __future__ import annotations

import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Rectangle
from matplotlib.textpath import TextPath
from matplotlib.ticker import MaxNLocator

from fpc_core.colours import MATCH_COLOURS
from fpc_core.data.match_label import MARKS, MatchLabel
from fpc_core.explain.cards import Scale
from fpc_core.figures.matplotlib_style import DASHES, new_figure
from fpc_core.figures.style import WIDTHS, FigureStyle

_GAP = 0.04  # Gap between cells in inches.
_BLOCK_GAP = 0.12  # Gap between blocks in inches.
_LINE = 1.45  # Height of a line of text as a multiple of the font size.


@dataclass(frozen=True, eq=False)
class Cell:
    """An image of a grid.

    Attributes:
        image: (H, W, 3) uint8 image.
        below: Line of text below the image; empty for none.
        tone: Label of a hit, which selects its border and mark; None for other images.
    """

    image: np.ndarray
    below: str = ""
    tone: MatchLabel | None = None


@dataclass(frozen=True, eq=False)
class Block:
    """Rows of cells for one query.

    Attributes:
        rows: Rows of equal length; None is an empty cell.
        names: Names of the rows, drawn to their left.
        label: Line of text above the rows.
    """

    rows: tuple[tuple[Cell | None, ...], ...]
    names: tuple[str, ...] = ()
    label: str = ""

    def __post_init__(self) -> None:
        if len({len(row) for row in self.rows}) != 1:
            raise ValueError(f"rows of a block must have the same length, got {[len(row) for row in self.rows]}")


def draw_sheet(
    blocks: Sequence[Block], heads: Sequence[str], style: FigureStyle, aspect: float, scale: Scale | None = None
) -> Figure:
    """Draw blocks in `style.columns` columns.

    Args:
        blocks: Blocks to draw, one per query.
        heads: Heads of the columns, drawn above each block in the first row.
        style: Size and fonts.
        aspect: Height of an image divided by its width.
        scale: Colour bar to draw below the blocks.
    """
    across = min(style.columns, len(blocks))
    length = len(blocks[0].rows[0])
    text = style.font_size / 72 * _LINE
    side = text * 1.1 if any(block.names for block in blocks) else 0.0
    below = text if any(cell and cell.below for block in blocks for row in block.rows for cell in row) else 0.0
    width = WIDTHS[style.width]
    letter = 1.15 * text if style.letters or any(block.label for block in blocks) else 0.0
    cell_width = (width - (across - 1) * _BLOCK_GAP - across * side) / across / length - _GAP
    cell_height = cell_width * aspect
    row_height = cell_height + below + _GAP
    lines = [blocks[start : start + across] for start in range(0, len(blocks), across)]
    heights = [max(len(block.rows) for block in line) * row_height + letter for line in lines]
    head = text if any(heads) else 0.0
    bar = 4.2 * text if scale else 0.0
    height = head + sum(heights) + (len(lines) - 1) * _BLOCK_GAP / 2 + bar
    figure = new_figure(style, height)
    head_size = fitting(heads, cell_width, style)
    below_size = fitting(
        [cell.below for block in blocks for row in block.rows for cell in row if cell], cell_width, style
    )
    block_width = (width - (across - 1) * _BLOCK_GAP) / across
    top = height - head
    for number, line in enumerate(lines):
        for position, block in enumerate(line):
            left = position * (block_width + _BLOCK_GAP)
            at = left + side + _GAP / 2
            if style.letters:
                sign = letter_of(number * across + position)
                write(figure, at, top - letter * 0.5, sign, ha="left", weight="bold")
                at += text * (0.25 + 0.35 * len(sign))
            if block.label:  # A label may contain $, which must not start a formula.
                write(figure, at, top - letter * 0.5, block.label, ha="left", parse_math=False)
            for row, cells in enumerate(block.rows):
                bottom = top - letter - row * row_height - cell_height
                if row < len(block.names):
                    write(figure, left + side * 0.45, bottom + cell_height / 2, block.names[row], rotation=90)
                for column, cell in enumerate(cells):
                    x = left + side + column * (cell_width + _GAP) + _GAP / 2
                    if number == 0 and row == 0 and column < len(heads):
                        write(figure, x + cell_width / 2, top + head * 0.35, heads[column], fontsize=head_size)
                    if cell is not None:
                        draw_cell(figure, cell, x, bottom, cell_width, cell_height)
                        if cell.below:
                            write(figure, x + cell_width / 2, bottom - below * 0.6, cell.below, fontsize=below_size)
        top -= heights[number] + _BLOCK_GAP / 2
    if scale:
        _scale_bar(figure, scale, width, text)
    return figure


def fitting(words: Iterable[str], room: float, style: FigureStyle) -> float:
    """Return the largest font size, at most that of the style, at which all texts fit into a width.

    Args:
        words: Texts to fit, each on one line.
        room: Width in inches.
        style: Style with the font size.

    Returns:
        Font size in points.
    """
    font = FontProperties(family=matplotlib.rcParams["font.family"])
    wide = [TextPath((0, 0), word, size=style.font_size, prop=font).get_extents().width for word in set(words) if word]
    return style.font_size * min(1.0, 72 * room / max(wide, default=1.0))


def letter_of(position: int) -> str:
    """Return the letter at a 0-based position of (a), (b), ..., (z), (aa), (ab), ..."""
    several, one = divmod(position, 26)
    return f"({string.ascii_lowercase[several - 1] if several else ''}{string.ascii_lowercase[one]})"


def image_axes(figure: Figure, image: np.ndarray, x: float, y: float, width: float, height: float) -> Axes:
    """Draw an image, and return its axes in pixel coordinates.

    Args:
        figure: Figure to draw in.
        image: (H, W, 3) uint8 image.
        x: Left edge in inches.
        y: Lower edge in inches.
        width: Width in inches.
        height: Height in inches.
    """
    total_width, total_height = figure.get_size_inches()
    axes = figure.add_axes((x / total_width, y / total_height, width / total_width, height / total_height))
    axes.imshow(image, aspect="auto")
    axes.set_axis_off()
    return axes


def colour_bar(
    figure: Figure,
    box: tuple[float, float, float, float],
    low: float,
    high: float,
    label: str,
    colours: Colormap | None = None,
) -> Axes:
    """Draw a colour bar with ticks, and return its axes.

    Args:
        figure: Figure to draw in.
        box: x, y, width and height of the bar in inches.
        low: Value at the left end.
        high: Value at the right end.
        label: Text below the bar.
        colours: Colours of the bar; viridis if None.
    """
    total_width, total_height = figure.get_size_inches()
    x, y, width, height = box
    axes = figure.add_axes((x / total_width, y / total_height, width / total_width, height / total_height))
    bar = figure.colorbar(
        ScalarMappable(Normalize(low, high), colours or matplotlib.colormaps["viridis"]),
        cax=axes,
        orientation="horizontal",
        ticks=MaxNLocator(nbins=4),
    )
    bar.set_label(label)
    bar.outline.set_linewidth(0.5)
    return axes


def draw_cell(figure: Figure, cell: Cell, x: float, y: float, width: float, height: float) -> Axes:
    """Draw a cell without its text, and return its axes in pixel coordinates.

    Args:
        figure: Figure to draw in.
        cell: Cell to draw.
        x: Left edge in inches.
        y: Lower edge in inches.
        width: Width in inches.
        height: Height in inches.
    """
    axes = image_axes(figure, cell.image, x, y, width, height)
    if cell.tone is None:  # A hairline separates whitened patches from the white background.
        axes.add_patch(
            Rectangle(
                (0.0, 0.0),
                1.0,
                1.0,
                transform=axes.transAxes,
                fill=False,
                edgecolor="#9aa0a8",
                linewidth=0.4,
                clip_on=False,
            )
        )
        return axes
    border = Rectangle(
        (0.0, 0.0),
        1.0,
        1.0,
        transform=axes.transAxes,
        fill=False,
        clip_on=False,
        edgecolor=MATCH_COLOURS[cell.tone],
        linestyle=DASHES[cell.tone],
        linewidth=1.4,
    )
    axes.add_patch(border)
    if MARKS[cell.tone]:
        axes.text(
            0.97,
            0.985,
            MARKS[cell.tone],
            transform=axes.transAxes,
            ha="right",
            va="top",
            color="white",
            weight="bold",
            fontfamily="DejaVu Sans",
            fontsize=max(width * 8.0, 4.0),
            bbox={"boxstyle": "circle,pad=0.15", "facecolor": MATCH_COLOURS[cell.tone], "linewidth": 0},
        )
    return axes


def _scale_bar(figure: Figure, scale: Scale, width: float, text: float) -> None:
    axes = colour_bar(figure, (width * 0.3, text * 2.9, width * 0.4, text * 0.6), 0.0, 1.0, scale.label)
    axes.set_xticks([0.0, 1.0], [scale.low, scale.high])


def write(figure: Figure, x: float, y: float, text: str, *, ha: str = "center", **options: object) -> None:
    """Draw text that is vertically centred at a position.

    Args:
        figure: Figure to draw in.
        x: Horizontal position in inches.
        y: Vertical position in inches.
        text: Text to draw.
        ha: Horizontal alignment relative to `x`.
        options: Further arguments of `Figure.text`.
    """
    width, height = figure.get_size_inches()
    figure.text(x / width, y / height, text, ha=ha, va="center", **options)  # type: ignore[arg-type]

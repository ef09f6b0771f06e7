"""Style of publication figures: words, dashes and matplotlib settings for embedded fonts and reproducible bytes."""

from __future__ import annotations

import csv
import io
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from fpc_core.config import MapSettings
from fpc_core.data.match_label import MatchLabel
from fpc_core.explain.cards import Scale
from fpc_core.explain.heatmap_methods import NAMES
from fpc_core.figures.style import WIDTHS, FigureStyle
from fpc_core.runtime.interruption import uninterrupted

DASHES = {MatchLabel.MATCH: "-", MatchLabel.OTHER: (0, (3, 1.5)), MatchLabel.JUNK: (0, (1, 1)), MatchLabel.NEUTRAL: "-"}

WORDS = {
    "input": "input",
    "block": "block {}",
    "query": "query",
    "random": "random",
    "salient": "salient",
    "non_salient": "non-salient",
    "cosine": "cosine",
    "distance": "D, α = {}",
    "final": "consolidated",
    "cost": "ground cost (1 − cosine)",
    "gallery": "gallery",
    "low": "low",
    "high": "high",
    "match": "same identity",
    "other": "another identity",
    "neutral": "identity unknown",
    "flops": "multiply-adds of an image (G)",
    "percent": "percent",
    "keep_rate": "keep rate γ",
    "alpha": "α",
    "neighbors": "neighbours K",
    "swap": "ranks swap",
    "relative": "{}, from the mean patch",
    "attention": "attention",
    "value_norm": "attention × value norm",
    "left_out": "lost without the patch",
    "encoder": "encoder",
    "decoder": "decoder",
    "junk": "same camera",
    "favours": "favours {}",
    "difference": "difference",
    "cls_attention": "attention from [cls]",
    "cut_off": "least attention kept",
    "dropped": "dropped",
    "dropped_in": "dropped in block",
    "kept": "kept",
    "blocks": "block (bold: drops patches)",
}


_style_lock = threading.RLock()  # Matplotlib's settings are global to the process.


@dataclass(frozen=True, eq=False)
class FigureWithData:
    """A figure, and its numbers as CSV."""

    figure: Figure
    data: str


def heat_scale(how: MapSettings) -> Scale:
    """Return the colour bar of heat maps with these settings."""
    label = WORDS.get(how.method.value, NAMES[how.method])
    return Scale(WORDS["relative"].format(label) if how.relative else label, WORDS["low"], WORDS["high"])


DrawFn = Callable[[], FigureWithData]
"""Draws a computed figure; call it within `style_context`."""


def csv_text(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table as CSV.

    Args:
        heads: Heads of the columns.
        rows: Rows with one value per column.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(heads)
    writer.writerows(rows)
    return out.getvalue()


@contextmanager
def style_context(style: FigureStyle) -> Iterator[None]:
    """Apply matplotlib settings while a figure is drawn and saved; only one thread at a time can do so.

    Fonts are embedded as Type 42, as IEEE and CVPR require.
    """
    settings: dict[Any, Any] = {
        "font.family": [style.font, "DejaVu Sans"] if style.font != "DejaVu Sans" else ["DejaVu Sans"],
        "font.size": style.font_size,
        "axes.labelsize": style.font_size,
        "xtick.labelsize": style.font_size - 1,
        "ytick.labelsize": style.font_size - 1,
        "legend.fontsize": style.font_size - 1,
        "axes.linewidth": 0.5,
        "xtick.major.width": 0.5,
        "ytick.major.width": 0.5,
        "pdf.fonttype": 42,
        "ps.fonttype": 42,
        "svg.fonttype": "path",
        "svg.hashsalt": "fpc",
        "image.interpolation": "nearest",
        "image.composite_image": False,
    }
    with uninterrupted(), _style_lock, matplotlib.rc_context(settings):
        yield


def new_figure(style: FigureStyle, height: float) -> Figure:
    """Return an empty figure.

    Args:
        style: Style with the width.
        height: Height in inches.
    """
    return Figure(figsize=(WIDTHS[style.width], height), facecolor="white")

"""Style of publication figures, and saving them with editable fonts and reproducible bytes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from fpc_core.data.match_label import MatchLabel
from fpc_core.figures.recipe import WIDTHS, FigureStyle
from fpc_core.runtime.interruption import uninterrupted

PNG_DPI = (300, 600)
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
}


_style_lock = threading.RLock()  # Matplotlib's settings are global to the process.


@dataclass(frozen=True, eq=False)
class FigureWithData:
    """A figure, and its numbers as CSV."""

    figure: Figure
    data: str


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
    """Return an empty figure with the width of the style and a height in inches."""
    return Figure(figsize=(WIDTHS[style.width], height), facecolor="white")

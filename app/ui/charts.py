"""Plotly figures of core results. Streamlit's theme sets the colours of text and background."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from fpc_core.colours import BLUE, GREY, LINE_COLOURS, ORANGE
from fpc_core.results import Consolidation

TEXT_COLOURS = {GREY: "black", BLUE: "white", ORANGE: "black"}  # Text colour by the colour of the bar below it.


def distance_parts_figure(parts: Sequence[tuple[str, float, float, float]], *, height: int = 150) -> go.Figure:
    """Return a chart of D (Eq. 10) with one stacked bar per side.

    Args:
        parts: Name, alpha, D_cos and D_EMD of each side.
        height: Height of the figure in pixels.
    """
    names = [name for name, *_ in parts]
    cos = [(1 - alpha) * d_cos for _, alpha, d_cos, _ in parts]
    emd = [alpha * d_emd for _, alpha, _, d_emd in parts]
    figure = go.Figure()
    for label, values, colour in (("(1 − α) · D_cos", cos, BLUE), ("α · D_EMD", emd, ORANGE)):
        figure.add_bar(
            x=values,
            y=names,
            orientation="h",
            name=label,
            marker_color=colour,
            text=[f"{value:.3f}" for value in values],
            textposition="inside",
            insidetextanchor="middle",
            insidetextfont={"color": TEXT_COLOURS[colour]},
            hovertemplate=f"%{{y}}: {label} = %{{x:.4f}}<extra></extra>",
        )
    _layout_bars(figure, "stack", height, "D")
    return figure


def attention_figure(sides: Sequence[tuple[str, Consolidation]], *, height: int = 150) -> go.Figure:
    """Return a chart of the three attention shares (Eq. 13) with one stacked bar per side.

    Args:
        sides: Name and consolidation of each side.
        height: Height of the figure in pixels.
    """
    figure = go.Figure()
    for label, share, colour in (
        ("[cls]", lambda each: each.cls_share, GREY),
        ("query", lambda each: each.query_share, ORANGE),
        ("neighbours", lambda each: float(each.neighbor_shares.sum()), BLUE),
    ):
        values = [100 * share(consolidation) for _, consolidation in sides]
        figure.add_bar(
            x=values,
            y=[name for name, _ in sides],
            orientation="h",
            name=label,
            marker_color=colour,
            text=[f"{value:.1f} %" if value >= 6 else "" for value in values],
            textposition="inside",
            insidetextanchor="middle",
            insidetextfont={"color": TEXT_COLOURS[colour]},
            hovertemplate=f"%{{y}}: {label} %{{x:.2f}} %<extra></extra>",
        )
    _layout_bars(figure, "stack", height, "attention of the decoder's [cls], %")
    return figure


def neighbor_shares_figure(names: Sequence[str], shares: Mapping[str, Sequence[float]]) -> go.Figure:
    """Return a chart of the attention to each neighbour, with one bar per side.

    Args:
        names: Names of the neighbours.
        shares: Attention to each neighbour in percent, by side.
    """
    figure = go.Figure()
    stripes = {"fillmode": "overlay", "fgcolor": "white", "size": 7, "solidity": 0.15}
    for (label, values), colour, pattern in zip(shares.items(), (BLUE, ORANGE), "/\\", strict=True):
        figure.add_bar(
            x=values,
            y=list(names),
            orientation="h",
            name=label,
            marker={"color": colour, "pattern": {**stripes, "shape": pattern}},
            hovertemplate=f"{label}: %{{x:.1f}} %<extra></extra>",
        )
    _layout_bars(figure, "group", 90 + 30 * len(names), "attention, %")
    return figure


def _layout_bars(figure: go.Figure, mode: str, height: int, title: str) -> None:
    """Set the layout of a chart of horizontal bars, with the first bar on top and the legend above.

    Args:
        figure: Chart to change.
        mode: "stack" or "group".
        height: Height of the figure in pixels.
        title: Title of the x-axis.
    """
    figure.update_layout(
        barmode=mode,
        height=height,
        margin={"l": 4, "r": 10, "t": 6, "b": 4},
        xaxis={"title": title, "fixedrange": True},
        yaxis={"autorange": "reversed", "fixedrange": True, "automargin": True, "type": "category"},
        legend={"orientation": "h", "y": 1.05, "yanchor": "bottom", "x": 0, "traceorder": "normal"},
        dragmode=False,
    )


def pairs_figure(
    edges: np.ndarray, same: np.ndarray, other: np.ndarray, threshold: float, title: str, *, height: int = 300
) -> go.Figure:
    """Return histograms of same-person and different-person pairs, with the threshold as a line.

    Args:
        edges: (bins + 1,) edges of the bins, from `verification.histograms`.
        same: (bins,) share of same-person pairs in each bin.
        other: (bins,) share of different-person pairs in each bin.
        threshold: Maximum distance at which a pair is accepted.
        title: Name of the distance, shown on the x-axis.
        height: Height of the figure in pixels.
    """
    figure = go.Figure()
    middles, widths = (edges[1:] + edges[:-1]) / 2, np.diff(edges)
    stripes = {"fillmode": "overlay", "fgcolor": "white", "size": 7, "solidity": 0.15}
    for name, shares, colour, shape in (("same person", same, BLUE, "/"), ("different people", other, ORANGE, "")):
        figure.add_bar(
            x=middles,
            y=100 * shares,
            width=widths,
            name=name,
            opacity=0.65,
            marker={"color": colour, "line": {"width": 0}, "pattern": {**stripes, "shape": shape}},
            customdata=np.stack([edges[:-1], edges[1:]], axis=1),
            hovertemplate=f"{name}: %{{y:.1f}} % of the pairs at %{{customdata[0]:.3f}} to %{{customdata[1]:.3f}}"
            "<extra></extra>",
        )
    figure.add_vline(threshold, line={"width": 2, "dash": "dash", "color": GREY}, annotation_text=f"{threshold:.3f}")
    figure.update_layout(
        barmode="overlay",
        height=height,
        margin={"l": 4, "r": 10, "t": 6, "b": 4},
        xaxis={"title": title, "fixedrange": True},
        yaxis={"title": "% of its pairs", "fixedrange": True, "automargin": True, "rangemode": "tozero"},
        legend={"orientation": "h", "y": 1.05, "yanchor": "bottom", "x": 0},
        dragmode=False,
    )
    return figure


SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x")


def occlusion_rank_figure(
    shares: np.ndarray, ranks: np.ndarray, lost_shares: Sequence[float | None], keep_rates: Sequence[float]
) -> go.Figure:
    """Return a chart of the first true match's rank against the covered share, with one line per keep rate.

    Args:
        shares: (S,) covered shares of the image, 0 to 1.
        ranks: (R, S) rank of the first true match, NaN where unknown.
        lost_shares: Covered share at which each keep rate loses rank 1; None if it never does.
        keep_rates: (R,) keep rates.
    """
    figure = go.Figure()
    for rate, values, lost_at, colour, symbol in zip(
        keep_rates, ranks, lost_shares, LINE_COLOURS, SYMBOLS, strict=False
    ):
        name = f"γ {rate:g}"
        figure.add_scatter(
            x=100 * shares,
            y=values,
            name=name,
            mode="lines+markers",
            line={"color": colour, "width": 2},
            marker={"symbol": symbol, "size": 6},
            hovertemplate=f"{name}: rank %{{y:.0f}}<extra></extra>",
        )
        if lost_at is not None:
            figure.add_vline(100 * lost_at, line={"color": colour, "width": 1.5, "dash": "dash"})
    top = float(np.nanmax(ranks, initial=1.0))
    ticks = [tick for tick in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000, 20_000) if tick <= max(2.0, 1.2 * top)]
    _layout_cover_axis(figure)
    figure.update_yaxes(
        type="log",
        title="rank of the first correct match",
        tickvals=ticks,
        range=[np.log10(max(2.0, 1.2 * top)), -0.05],
    )
    return figure


def occlusion_part_figure(
    shares: np.ndarray, match: np.ndarray, wrong: np.ndarray, keep_rates: Sequence[float], name: str
) -> go.Figure:
    """Return a chart of one part of D against the covered share.

    Args:
        shares: (S,) covered shares of the image, 0 to 1.
        match: (R, S) values for the nearest true match by D.
        wrong: (R, S) values for the nearest wrong hit by D.
        keep_rates: (R,) keep rates.
        name: Name of the part, shown on the y-axis.
    """
    figure = go.Figure()
    for rate, one, other, colour, symbol in zip(keep_rates, match, wrong, LINE_COLOURS, SYMBOLS, strict=False):
        for values, hit, dash in ((one, "correct match", "solid"), (other, "wrong hit", "dot")):
            figure.add_scatter(
                x=100 * shares,
                y=values,
                name=f"γ {rate:g} {hit}",
                mode="lines+markers",
                line={"color": colour, "width": 2, "dash": dash},
                marker={"symbol": symbol, "size": 5},
                hovertemplate=f"γ {rate:g}, {hit}: {name} %{{y:.4f}}<extra></extra>",
            )
    _layout_cover_axis(figure)
    figure.update_yaxes(title=name)
    return figure


def _layout_cover_axis(figure: go.Figure) -> None:
    figure.update_layout(
        height=360,
        margin={"l": 4, "r": 10, "t": 6, "b": 4},
        xaxis={"title": "covered", "ticksuffix": " %", "range": [-1, 101], "fixedrange": True},
        yaxis={"fixedrange": True, "automargin": True},
        legend={"orientation": "h", "y": 1.03, "yanchor": "bottom", "x": 0},
        hovermode="x unified",
        dragmode=False,
    )

"""Plotly figures from core results. Colours of text and background come from Streamlit's theme."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from app.strips import Tone
from fpc_core.results import Consolidation, Match, Swap

GREEN, RED, GREY, BLUE, ORANGE = "#1a8f4c", "#d03b3b", "#8a8f98", "#2f6fde", "#d9822b"
TONES = {Tone.MATCH: GREEN, Tone.OTHER: RED, Tone.JUNK: GREY, Tone.NEUTRAL: BLUE}
DASHES = {Tone.MATCH: "solid", Tone.OTHER: "dot", Tone.JUNK: "dash", Tone.NEUTRAL: "solid"}


def shares_figure(consolidation: Consolidation, *, height: int = 130) -> go.Figure:
    """The three attention shares of Eq. 13 as one bar that sums to 100 %."""
    parts = (
        ("[cls]", consolidation.cls_share, GREY),
        ("query", consolidation.query_share, ORANGE),
        ("neighbours", float(consolidation.neighbor_shares.sum()), BLUE),
    )
    figure = go.Figure()
    for name, share, colour in parts:
        figure.add_bar(
            x=[100 * share],
            y=[""],
            orientation="h",
            name=f"{name} {100 * share:.1f} %",
            marker_color=colour,
            hovertemplate=f"{name} {100 * share:.2f} %<extra></extra>",
        )
    figure.update_layout(
        barmode="stack",
        height=height,
        margin={"l": 4, "r": 10, "t": 6, "b": 4},
        xaxis={"range": [0, 100], "ticksuffix": " %", "fixedrange": True},
        yaxis={"visible": False, "fixedrange": True},
        legend={"orientation": "h", "y": 1.05, "yanchor": "bottom", "x": 0, "traceorder": "normal"},
        dragmode=False,
    )
    return figure


def alpha_figure(
    match: Match,
    places: Sequence[int],
    tones: Sequence[Tone],
    labels: Sequence[str],
    swaps: Sequence[Swap],
    alpha: float,
    *,
    chosen: int | None = None,
    height: int = 360,
) -> go.Figure:
    """D of Eq. 10 of shortlisted candidates against alpha: straight lines, so their crossings are exact.

    places: places in the shortlist to draw, with one tone and label each.  swaps: crossings to mark; those between
    candidates that are not drawn are left out.  chosen: place drawn thicker.
    """
    d_cos, d_emd = match.shortlist.d_cos, match.transport.distance
    figure = go.Figure()
    for place, tone, label in zip(places, tones, labels, strict=True):
        figure.add_scatter(
            x=[0, 1],
            y=[float(d_cos[place]), float(d_emd[place])],
            mode="lines",
            line={"color": TONES[tone], "dash": DASHES[tone], "width": 4 if place == chosen else 1.6},
            opacity=1.0 if place == chosen or tone is Tone.MATCH else 0.65,
            hovertemplate=f"{label}<br>D %{{y:.3f}}<extra></extra>",
            showlegend=False,
        )
    drawn = set(places)
    marked = [swap for swap in swaps if swap.first in drawn and swap.second in drawn]
    figure.add_scatter(
        x=[swap.alpha for swap in marked],
        y=[(1 - swap.alpha) * float(d_cos[swap.first]) + swap.alpha * float(d_emd[swap.first]) for swap in marked],
        mode="markers",
        marker={"size": 8, "symbol": "circle-open", "color": GREY, "line": {"width": 1.8}},
        hovertemplate="order swaps at α = %{x:.3f}<extra></extra>",
        showlegend=False,
    )
    for tone, name in ((Tone.MATCH, "same identity"), (Tone.OTHER, "another identity")):
        if tone in tones:
            line = {"color": TONES[tone], "dash": DASHES[tone], "width": 2}
            figure.add_scatter(x=[None], y=[None], mode="lines", name=name, line=line)
    figure.add_vline(x=alpha, line={"color": BLUE, "width": 2}, annotation_text=f"α = {alpha:g}")
    figure.update_layout(
        height=height,
        margin={"l": 4, "r": 4, "t": 26, "b": 4},
        xaxis={"title": "α", "range": [0, 1], "fixedrange": True},
        yaxis={"title": "D", "fixedrange": True},
        legend={"orientation": "h", "y": -0.2, "yanchor": "top", "x": 0},
        dragmode=False,
    )
    return figure


def timings_figure(seconds: Mapping[str, float], reused: frozenset[str], *, height: int = 240) -> go.Figure:
    """Milliseconds per stage; stages whose result was reused from an earlier move stay, hollow."""
    names = list(seconds)
    values = [1000 * seconds[name] for name in names]
    figure = go.Figure(
        go.Bar(
            x=values,
            y=names,
            orientation="h",
            text=[
                f"{value:.1f} ms" + (", reused" if name in reused else "")
                for name, value in zip(names, values, strict=True)
            ],
            textposition="outside",
            cliponaxis=False,
            marker={
                "color": ["rgba(0,0,0,0)" if name in reused else BLUE for name in names],
                "line": {"color": BLUE, "width": 1.5},
            },
            hoverinfo="skip",
        )
    )
    figure.update_layout(
        height=height,
        margin={"l": 4, "r": 90, "t": 4, "b": 4},
        xaxis={"visible": False, "range": [0, 1.1 * max(values, default=1.0)], "fixedrange": True},
        yaxis={"autorange": "reversed", "fixedrange": True, "automargin": True},
        dragmode=False,
    )
    return figure

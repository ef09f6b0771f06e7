"""Plotly figures from core results. Colours of text and background come from Streamlit's theme."""

from __future__ import annotations

from collections.abc import Mapping

import plotly.graph_objects as go

from fpc_core.results import Consolidation

GREY, BLUE, ORANGE = "#8a8f98", "#2f6fde", "#d9822b"


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

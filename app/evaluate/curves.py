"""Curves of Fig. 4: measured scores with intervals, and the numbers that the paper prints."""

from __future__ import annotations

import plotly.graph_objects as go

from fpc_core.colours import BLUE, ORANGE
from fpc_core.evaluation.paper_tables.table import ReportTable

_STYLES = {  # Line colour, interval colour, dash and symbol by score.
    "Rank-1": (BLUE, "rgba(47, 111, 222, 0.18)", "solid", "circle"),
    "mAP": (ORANGE, "rgba(217, 130, 43, 0.18)", "dash", "square"),
}


def curve_figure(table: ReportTable, *, height: int = 330) -> go.Figure:
    """Return a chart of Rank-1 and mAP in percent over the parameter in the first label of each completed row.

    Args:
        table: Table of Fig. 4.
        height: Height of the figure in pixels.
    """
    figure = go.Figure()
    for measure, (colour, interval_colour, dash, symbol) in _STYLES.items():
        known = [(float(row.labels[0]), row.ours[measure]) for row in table.rows if row.ours and row.ours.settled]
        x = [x_value for x_value, _ in known]
        low, high = [100 * score.low for _, score in known], [100 * score.high for _, score in known]
        figure.add_scatter(
            x=[*x, *reversed(x)],
            y=[*high, *reversed(low)],
            fill="toself",
            fillcolor=interval_colour,
            line={"width": 0},
            mode="lines",
            hoverinfo="skip",
            showlegend=False,
        )
        figure.add_scatter(
            x=x,
            y=[100 * score.value for _, score in known],
            mode="lines+markers",
            name=measure,
            line={"color": colour, "width": 2, "dash": dash},
            marker={"symbol": symbol, "size": 7},
            customdata=[[f"{interval[0]:.1f}", f"{interval[1]:.1f}"] for interval in zip(low, high, strict=True)],
            hovertemplate=f"{measure} %{{y:.1f}} [%{{customdata[0]}}, %{{customdata[1]}}]<extra></extra>",
        )
        for index, (data, head) in enumerate(table.paper):
            printed = [(float(row.labels[0]), row.paper[index]) for row in table.rows if row.paper]
            points = [(x_value, value) for x_value, value in printed if value is not None]
            if head == measure and points:
                figure.add_scatter(
                    x=[x_value for x_value, _ in points],
                    y=[value for _, value in points],
                    mode="markers",
                    name=f"{measure}, the paper's ({data})",
                    marker={"symbol": f"{symbol}-open", "size": 12, "color": colour, "line": {"width": 2}},
                    hovertemplate=f"the paper's {measure} on {data}: %{{y:.1f}}<extra></extra>",
                )
    axis = [float(row.labels[0]) for row in table.rows]
    padding = 0.03 * (max(axis) - min(axis))
    figure.update_layout(
        height=height,
        margin={"l": 4, "r": 10, "t": 6, "b": 4},
        xaxis={
            "title": {"alpha": "α"}.get(table.labels[0], table.labels[0]),
            "fixedrange": True,
            "range": (min(axis) - padding, max(axis) + padding),
        },
        yaxis={"title": "percent", "fixedrange": True, "automargin": True},
        legend={"orientation": "h", "y": 1.05, "yanchor": "bottom", "x": 0},
        hovermode="x unified",
        dragmode=False,
    )
    return figure

"""Plotly figures from core results. Colours of text and background come from Streamlit's theme."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import plotly.colors
import plotly.graph_objects as go

from app.pictures import patch_centres
from fpc_core.config import ModelConfig
from fpc_core.results import Consolidation, TransportPlan

GAP = 0.55  # between the two images, in image widths
GREY, BLUE, ORANGE = "#8a8f98", "#2f6fde", "#d9822b"


def top_flows(plan: TransportPlan, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the `count` entries of the plan with the most mass, heaviest first; never empty ones."""
    flat = plan.plan.ravel()
    heaviest = np.argsort(-flat, kind="stable")[:count]
    rows, columns = np.unravel_index(heaviest[flat[heaviest] > 0], plan.plan.shape)
    return rows, columns


def transport_figure(
    query_uri: str, gallery_uri: str, plan: TransportPlan, config: ModelConfig, flows: int, *, height: int = 460
) -> go.Figure:
    """The heaviest flows of a plan as lines from the query (left) to the gallery image (right).

    Colour: ground cost, with its bar.  Width and opacity: mass, relative to the heaviest flow.
    """
    image_height, image_width = config.image_size
    shift = image_width * (1 + GAP)
    rows, columns = top_flows(plan, flows)
    centres = patch_centres(config)
    start = centres[plan.query_positions[rows]]
    end = centres[columns] + np.array([shift, 0.0])
    mass, cost = plan.plan[rows, columns], plan.cost[rows, columns]
    low, high = (float(cost.min()), float(cost.max())) if len(cost) else (0.0, 1.0)
    span = max(high - low, 1e-6)
    colours = plotly.colors.sample_colorscale("Viridis", np.clip((cost - low) / span, 0, 1).tolist())
    weight = mass / mass.max() if len(mass) else mass

    figure = go.Figure()
    for x, source in ((0.0, query_uri), (shift, gallery_uri)):
        figure.add_layout_image(
            source=source, x=x, y=0, sizex=image_width, sizey=image_height, xref="x", yref="y", sizing="stretch",
            layer="below",
        )  # fmt: skip
    lines = [
        {
            "type": "line", "layer": "above", "x0": p[0], "y0": p[1], "x1": q[0], "y1": q[1], "opacity": 0.25 + 0.7 * w,
            "line": {"color": colour, "width": 0.8 + 3.2 * w},
        }
        for p, q, w, colour in zip(start, end, weight.tolist(), colours, strict=True)
    ]  # fmt: skip
    middle = (start + end) / 2
    share = 100 * mass * cost / max(float(plan.contributions.sum()), 1e-12)
    figure.add_scatter(
        x=middle[:, 0],
        y=middle[:, 1],
        mode="markers",
        marker={
            "size": 7,
            "opacity": 0.0,
            "color": cost,
            "colorscale": "Viridis",
            "cmin": low,
            "cmax": low + span,
            "showscale": True,
            "colorbar": {
                "title": {"text": "ground cost (1 − cosine)", "side": "top"},
                "orientation": "h",
                "thickness": 10,
                "len": 0.8,
                "y": -0.02,
                "yanchor": "top",
                "nticks": 5,
            },
        },
        customdata=np.stack([100 * mass, cost, share], axis=1),
        hovertemplate="mass %{customdata[0]:.2f} %<br>cost %{customdata[1]:.3f}<br>"
        "%{customdata[2]:.1f} % of D_EMD<extra></extra>",
        showlegend=False,
    )
    figure.update_layout(
        shapes=lines,
        height=height,
        margin={"l": 4, "r": 4, "t": 8, "b": 66},
        xaxis={
            "visible": False, "range": [-2, shift + image_width + 2], "fixedrange": True, "constrain": "domain",
        },
        yaxis={
            "visible": False, "range": [image_height + 2, -2], "fixedrange": True, "scaleanchor": "x",
            "constrain": "domain", "constraintoward": "top",
        },
        hovermode="closest",
        dragmode=False,
    )  # fmt: skip
    return figure


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

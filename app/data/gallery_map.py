"""Gallery map of the Data page: a 2-D projection of the gallery, with a query before and after consolidation."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
import streamlit as st
from plotly.colors import qualitative

from app.messages import escape_markdown
from app.server import resources, search
from app.server.search import Query
from app.ui import controls
from app.ui.page_frame import report_errors
from app.ui.query_picker import query_of
from fpc_core.colours import GREEN, GREY, ORANGE, RED
from fpc_core.config import QuerySettings, Variant
from fpc_core.data.datasets import ImageRecord
from fpc_core.data.match_label import MatchLabel, QueryIdentity, match_label
from fpc_core.explain.cards import identity_label
from fpc_core.explain.projection import map_rows
from fpc_core.results import QueryTrace
from fpc_core.workspace import Workspace

MAX_IMAGES = 5_000  # Maximum number of images drawn; more would slow the page down.
MAX_NAMED_IDENTITIES = 10  # Maximum number of identities with separate entries in the legend.
COLOURS = (*qualitative.Plotly, *qualitative.Vivid)  # Colours of identities, visible on white and on black.


@dataclass(frozen=True, eq=False)
class GalleryMap:
    """Projection of the gallery and a query.

    Attributes:
        coordinates: (G, 2) coordinates of the gallery.
        rows: Gallery rows that are drawn.
        shortlist: Gallery rows of the shortlist, nearest by D first.
        query: (2, 2) coordinates of the query: encoder feature, then consolidated feature.
        records: Records of the gallery.
        subject: Identity and camera of the query.
        uses_cameras: Whether the dataset uses cameras.
    """

    coordinates: np.ndarray
    rows: np.ndarray
    shortlist: np.ndarray
    query: np.ndarray
    records: Sequence[ImageRecord]
    subject: QueryIdentity
    uses_cameras: bool


@st.fragment
@report_errors("-map")
def gallery(workspace: Workspace, variant: Variant) -> None:
    """Render the gallery map. It is a fragment, so that clicking a point reruns nothing else.

    Args:
        workspace: Workspace with the gallery.
        variant: Variant of the search.
    """
    if len(workspace.retriever.memory) < 2:
        st.info("The gallery map needs at least two gallery images.", icon=":material/map:")
        return
    names = {record.path.as_posix(): record for record in workspace.dataset.query}
    left, right = st.columns([3, 1], gap="medium", vertical_alignment="bottom")
    with left:
        name = controls.query_name(list(names), workspace.dataset.first_query, "m_query")
    with right:
        fit = st.segmented_control(
            "Projection (PCA) fitted to",
            ("whole gallery", "shortlist"),
            default="whole gallery",
            required=True,
            key="axes",
            help="Fitting to the shortlist spreads out the images nearest to the query.",
        )
    record = names[name]
    query = query_of(workspace, record)
    shortlist_size = workspace.dataset.shortlist
    settings = QuerySettings(variant=variant, neighbors=workspace.dataset.neighbors, shortlist=shortlist_size)
    trace = search.search(workspace, query, settings).trace
    points, explained = project_query(workspace, query, trace, fit == "shortlist")
    chart, side = st.columns([4, 1], gap="medium")
    with chart:
        event = st.plotly_chart(
            gallery_map_figure(points),
            config={"displaylogo": False, "scrollZoom": True},
            key="landscape",
            on_select="rerun",
            selection_mode="points",
            alt="The gallery on two principal components, with the query",
        )
    with side:
        st.image(
            query.image,
            width=110,
            caption=f"Query: {escape_markdown(identity_label(record))}",
            alt=f"query, {identity_label(record)}",
        )
        picked = [point["customdata"][0] for point in event.selection.points if point.get("customdata")]
        row = int(picked[0]) if picked else int(points.shortlist[0])
        image = workspace.retriever.memory.records[row]
        st.image(
            resources.image(workspace, image),
            width=110,
            caption=f"{'Selected' if picked else 'Nearest by D'}: {escape_markdown(identity_label(image))}",
            alt=f"gallery image, {identity_label(image)}",
        )
        st.caption("Click a point to see its image.")
    st.caption(_legend(points, explained, fit == "shortlist"))


def project_query(
    workspace: Workspace, query: Query, trace: QueryTrace, of_shortlist: bool
) -> tuple[GalleryMap, tuple[float, float]]:
    """Return the gallery map for a query, and the share of variance on each axis.

    Args:
        workspace: Workspace of the query.
        query: Query image.
        trace: Results of the search.
        of_shortlist: Whether the map is fitted to the shortlist and the images of the query's person, and shows no
            others.
    """
    memory, shortlist = workspace.retriever.memory, trace.by_distance.indices
    records, subject = memory.records, query.subject
    same = np.flatnonzero([record.identity == subject.identity for record in records])
    near = np.union1d(shortlist, same)
    flat, coordinates = resources.gallery_map(workspace, near if of_shortlist else None)
    own = np.stack((workspace.retriever.global_feature(trace.encoding), trace.consolidation.feature))
    own = own / np.linalg.norm(own, axis=1, keepdims=True)
    rows = near if of_shortlist else map_rows(len(records), near, MAX_IMAGES)
    return (
        GalleryMap(
            coordinates, rows, shortlist, flat.project(own), records, subject, workspace.dataset.excludes_own_camera
        ),
        flat.explained,
    )


def _legend(points: GalleryMap, explained: tuple[float, float], of_shortlist: bool) -> str:
    """Return a text on what the map shows and how to interpret it.

    Args:
        points: Map to explain.
        explained: Share of the variance on each axis, 0 to 1.
        of_shortlist: Whether the map is fitted to the shortlist.
    """
    whole = "of the shortlist" if of_shortlist else "of the gallery"
    text = (
        f"Global features (after the BNNeck, L2-normalised) on two principal components: {explained[0]:.1%} "
        f"and {explained[1]:.1%} of the variance {whole}. Points that are far apart are different; points that are "
        "close together may not be similar. The arrow shows how consolidation moves the query."
    )
    drawn, total = len(points.rows), len(points.records)
    if drawn < total and not of_shortlist:
        text += f" Showing {drawn:,} of {total:,} images: shortlist, correct matches and a random sample of the others."
    return text


def gallery_map_figure(points: GalleryMap, *, height: int = 560) -> go.Figure:
    """Return the map as a figure. Images near the query or of its person have symbols and strong colours.

    Args:
        points: Map to draw.
        height: Height of the figure in pixels.
    """
    tones = [match_label(points.records[row], points.subject, points.uses_cameras) for row in points.rows]
    listed = np.isin(points.rows, points.shortlist)
    figure = go.Figure()
    others = [position for position, tone in enumerate(tones) if tone in (MatchLabel.OTHER, MatchLabel.NEUTRAL)]
    _draw_others(figure, points, np.array([position for position in others if not listed[position]], dtype=int))
    marks = {"color": RED, "symbol": "x-thin", "size": 7, "line": {"width": 1.5, "color": RED}}
    _draw_points(
        figure,
        points,
        np.array([position for position in others if listed[position]], dtype=int),
        "✗ shortlisted",
        marks,
    )
    for tone, colour, symbol, name in (
        (MatchLabel.JUNK, GREY, "square", "junk: same person, same camera"),
        (MatchLabel.MATCH, GREEN, "circle", "✓ same person"),
    ):
        positions = np.array([position for position, each in enumerate(tones) if each is tone], dtype=int)
        marker = {"color": colour, "symbol": symbol, "size": 11, "line": {"width": 1.5, "color": "white"}}
        _draw_points(figure, points, positions, name, marker)
    (x0, y0), (x1, y1) = points.query.tolist()
    figure.add_annotation(
        x=x1,
        y=y1,
        ax=x0,
        ay=y0,
        xref="x",
        yref="y",
        axref="x",
        ayref="y",
        arrowcolor=ORANGE,
        arrowwidth=2,
        arrowhead=2,
        standoff=9,
        startstandoff=7,
    )
    for name, x, y, symbol in (("query, encoder", x0, y0, "diamond-open"), ("query, consolidated", x1, y1, "star")):
        figure.add_scatter(
            x=[x],
            y=[y],
            mode="markers",
            name=name,
            hovertemplate=f"{name}<extra></extra>",
            marker={"color": ORANGE, "symbol": symbol, "size": 16, "line": {"width": 2, "color": ORANGE}},
            unselected={"marker": {"opacity": 1.0}},
        )
    figure.update_layout(
        height=height,
        margin={"l": 4, "r": 10, "t": 6, "b": 4},
        xaxis={"title": "first component", "zeroline": False},
        yaxis={"title": "second component", "zeroline": False, "scaleanchor": "x"},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "itemsizing": "constant"},
        modebar={"orientation": "v"},
        dragmode="pan",
        clickmode="event+select",
    )
    return figure


def _draw_others(figure: go.Figure, points: GalleryMap, positions: np.ndarray) -> None:
    """Draw images that are not shortlisted and do not show the query's person, with a colour per identity.

    Args:
        figure: Figure to which the images are added.
        points: Map to draw.
        positions: Positions of these images in `points.rows`.
    """
    people = sorted({points.records[row].identity for row in points.rows[positions]})
    colours = {person: COLOURS[index % len(COLOURS)] for index, person in enumerate(people)}
    identities = np.array([points.records[row].identity for row in points.rows[positions]], dtype=int)
    if len(people) <= MAX_NAMED_IDENTITIES:
        for person in people:
            marker = {"color": colours[person], "size": 7, "opacity": 0.6}
            _draw_points(figure, points, positions[identities == person], f"person {person}", marker)
        return
    marker = {"color": [colours[person] for person in identities.tolist()], "size": 6, "opacity": 0.4}
    _draw_points(figure, points, positions, f"{len(people):,} other people", marker)


def _draw_points(figure: go.Figure, points: GalleryMap, positions: np.ndarray, name: str, marker: dict) -> None:
    if not len(positions):
        return
    rows = points.rows[positions]
    rank = {int(row): index for index, row in enumerate(points.shortlist, start=1)}
    texts = [
        f"{html.escape(identity_label(points.records[row]))}<br>{html.escape(points.records[row].path.name)}"
        + (f"<br>rank {rank[row]} by D" if row in rank else "")
        for row in rows.tolist()
    ]
    figure.add_scattergl(
        x=points.coordinates[rows, 0],
        y=points.coordinates[rows, 1],
        mode="markers",
        name=f"{name} ({len(rows):,})",
        marker=marker,
        customdata=[[row] for row in rows.tolist()],
        text=texts,
        hovertemplate="%{text}<extra></extra>",
        unselected={"marker": {"opacity": marker.get("opacity", 1.0)}},
        selected={"marker": {"size": 15, "opacity": 1.0}},
    )

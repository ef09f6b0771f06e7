"""Query thumbnails at the top of Explore, and their filter."""

from __future__ import annotations

import streamlit as st

from app.session.uploads import stored_uploads
from app.ui import controls
from app.ui.query_picker import choose_query, query_strip
from fpc_core.workspace import Workspace

PER_PAGE = 18  # Number of query thumbnails per page, including the visitor's own images.
WIDTH = "calc(0.8 * var(--unit))"  # Width of a thumbnail. The unit depends on the size of the window (explore.css).


def render_queries(workspace: Workspace, chosen: str, identity: int | None) -> None:
    """Render the strip of query thumbnails, with page buttons.

    Args:
        workspace: Workspace with the queries.
        chosen: Name of the selected query.
        identity: Identity of the only person to show; None for all.
    """
    records = [record for record in workspace.dataset.query if identity in (None, record.identity)]
    names = [record.path.as_posix() for record in records]
    with st.container(key="queries", horizontal=True, vertical_alignment="center"):
        strip = st.container()
        per_page = PER_PAGE - len(stored_uploads(workspace.retriever.model.config.image_size))
        positions = controls.pagination(len(names), per_page, names.index(chosen) if chosen in names else None, 3)
        with strip:
            shown = [records[position] for position in positions]
            query_strip(workspace, shown, chosen, compact=True, width=WIDTH)


def filter_by_person(workspace: Workspace, chosen: str) -> int | None:
    """Render the filter of the query strip, and return the selected identity, or None for all.

    Args:
        workspace: Workspace with the queries.
        chosen: Name of the selected query.
    """
    persons = {record.path.as_posix(): record.identity for record in workspace.dataset.query}
    first = {person: path for path, person in reversed(persons.items())}
    return controls.identity(list(first), persons.get(chosen), lambda person: choose_query(first[person]))

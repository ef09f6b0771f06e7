"""The choice of a query that pages share: one of the dataset, or the visitor's own image."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from app.messages import show_warning
from app.server import resources
from app.server.search import Query
from app.session import pending_release
from app.session.uploads import forget_last_upload, last_upload, uploaded_image
from app.session.view import NEIGHBORS, Pin, View, read_view, write_slider_params
from app.ui import controls
from fpc_core.data.datasets import ImageRecord
from fpc_core.data.images import ImageError
from fpc_core.explain.cards import QueryIdentity
from fpc_core.workspace import Workspace

_UPLOADED = "uploaded "
PER_PAGE = 10


def choose_query(name: str, key: str = "query") -> None:
    st.session_state[key] = name
    for stale in ("neighbor", "rival", "pin"):
        st.query_params.pop(stale, None)


def apply_first_visit_defaults(neighbors: int) -> None:
    """Set K on a first visit, unless the link sets a query or K."""
    if st.session_state.setdefault("first-visit", not st.query_params.keys() & {"query", "k"}):
        write_slider_params(st.query_params, {"k": min(neighbors, NEIGHBORS[1])})
        st.session_state["first-visit"] = False


def choose_neighbor(row: str) -> None:
    st.query_params["neighbor"] = row
    st.query_params.pop("rival", None)
    if st.query_params.get("pin", "").startswith("g"):  # the pin belongs to the previous image
        del st.query_params["pin"]


def choose_pin(pin: Pin | None) -> None:
    if pin is None:
        st.query_params.pop("pin", None)
    else:
        st.query_params["pin"] = str(pin)


def is_dataset_query(query: Query) -> bool:
    """Return whether a query belongs to the dataset. Recipes and links cannot name an upload."""
    return not query.name.startswith(_UPLOADED)


def query_of(workspace: Workspace, record: ImageRecord) -> Query:
    """Return a query of the dataset."""
    subject = QueryIdentity(record.identity, record.camera)
    return Query(record.path.as_posix(), resources.image(workspace, record), subject, workspace.key)


def view_from_url(workspace: Workspace, *names: str) -> tuple[View, tuple[str, ...]]:
    """Return the view that the URL requests, and messages about what is ignored.

    Values of a pending release replace those of the URL, because the browser may not know its own URL yet.

    Args:
        workspace: Sets the ranges.
        names: Parameters to read; all by default.
    """
    if (release := pending_release.pending()) is not None:
        write_slider_params(st.query_params, release.values)
    params: Mapping[str, str] = st.query_params  # never iterated: a run that is just ending may still write to it
    if names:
        params = {name: params[name] for name in names if name in params}
    return read_view(params, workspace.retriever.model.config.patches, len(workspace.retriever.memory))


def pick_query(workspace: Workspace, requested: str, key: str = "query") -> tuple[Query, tuple[str, ...]]:
    """Render the upload and the search box, and return the query.

    Args:
        workspace: Holds the queries.
        requested: Name of the query in the link.
        key: Of the search box. With any key but Explore's, the search box itself checks the link.

    Returns:
        The query, and a message if the requested one does not exist.
    """
    records = {record.path.as_posix(): record for record in workspace.dataset.query}
    problems: tuple[str, ...] = ()
    own = _pick_upload(workspace)
    own_name = own.name if own else None
    if own_name and st.session_state.get("seen-upload") != own_name:
        choose_query(own_name, key)
    st.session_state["seen-upload"] = own_name
    names = [own_name, *records] if own_name else list(records)
    if requested and requested not in names:
        missing = (
            "This link points to an uploaded image, which isn't stored on the server."
            if requested.startswith(_UPLOADED)
            else f"The link's query {requested[:120]} is not in this dataset."
        )
        problems = (f"{missing} Showing {workspace.dataset.opening}.",)
    name = controls.query_name(names, workspace.dataset.opening, key)
    if own is not None and name == own_name:
        return own, problems
    return query_of(workspace, records[name]), problems


def _pick_upload(workspace: Workspace) -> Query | None:
    """Return the visitor's own image; None without one or, after a message, if it cannot be used."""
    config, upload = workspace.retriever.model.config, controls.uploaded(forget_last_upload)
    try:
        own = uploaded_image(upload.name, upload.data, config.image_size) if upload else last_upload(config.image_size)
    except ImageError as error:
        show_warning(str(error))
        return None
    if own is None:
        return None
    if not upload:
        controls.render_stored_upload(own.name, forget_last_upload)
    camera = controls.camera(config.cameras) if workspace.dataset.uses_cameras else None
    return Query(_UPLOADED + own.digest, own.image, QueryIdentity(camera=camera), workspace.key)

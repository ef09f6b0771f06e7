"""Selection of a query, shared by pages: an image of the dataset, or one that the visitor uploads."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from app.server import resources
from app.server.search import Query
from app.session import given_patches, pending_release
from app.session.shared_view import is_upload
from app.session.uploads import UploadedImage, add_upload, remove_upload, stored_uploads, was_uploaded
from app.session.view import NEIGHBORS, Pin, View, read_view, write_slider_params
from app.ui import controls, upload_controls
from fpc_core.data.datasets import ImageRecord
from fpc_core.data.match_label import QueryIdentity, subject_of
from fpc_core.workspace import Workspace

PER_PAGE = 10  # Number of query thumbnails per page.


def choose_query(name: str, key: str = "query") -> None:
    """Select a query in the search box with this key, and reset the hit, the comparison, the pin and given patches."""
    st.session_state[key] = name
    for stale in ("neighbor", "rival", "pin"):
        st.query_params.pop(stale, None)
    given_patches.forget()


def step_query(workspace: Workspace, chosen: str, identity: int | None, steps: int) -> None:
    """Select the query that is `steps` after the chosen one, from the last one on to the first and back.

    The queries are the visitor's own images and then those of the dataset, or of one person, as in the strip.
    """
    uploads = [upload.query for upload in stored_uploads(workspace.retriever.model.config.image_size)]
    records = [record for record in workspace.dataset.query if identity in (None, record.identity)]
    names = [*uploads, *(record.path.as_posix() for record in records)]
    position = names.index(chosen) + steps if chosen in names else 0
    choose_query(names[position % len(names)])


def apply_first_visit_defaults(neighbors: int) -> None:
    """Set K on a first visit, unless the link sets a query or K."""
    if st.session_state.setdefault("first-visit", not st.query_params.keys() & {"query", "k"}):
        write_slider_params(st.query_params, {"k": min(neighbors, NEIGHBORS[1])})
        st.session_state["first-visit"] = False


def choose_neighbor(row: str) -> None:
    """Select a hit, given by its gallery row, and reset the comparison and a pin on the previous hit."""
    st.query_params["neighbor"] = row
    st.query_params.pop("rival", None)
    if st.query_params.get("pin", "").startswith("g"):  # This pin is on a patch of the previous hit.
        del st.query_params["pin"]


def choose_pin(pin: Pin | None) -> None:
    """Pin a patch, or remove the pin if it is None."""
    if pin is None:
        st.query_params.pop("pin", None)
    else:
        st.query_params["pin"] = str(pin)


def is_dataset_query(query: Query) -> bool:
    """Return whether a query is an image of the dataset. Recipes and links cannot refer to uploads."""
    return not is_upload(query.name)


def query_of(workspace: Workspace, record: ImageRecord) -> Query:
    """Return the query for an image of the dataset."""
    subject = subject_of(record, workspace.dataset)
    return Query(record.path.as_posix(), resources.image(workspace, record), subject, workspace.key)


def view_from_url(workspace: Workspace, *names: str) -> tuple[View, tuple[str, ...]]:
    """Return the view in the URL, and messages about parameters that are ignored.

    Values of a pending release replace those of the URL, because the browser may not have updated its URL yet.

    Args:
        workspace: Workspace that determines the allowed patches and gallery rows.
        names: Names of the parameters to read; all by default.
    """
    if (release := pending_release.pending()) is not None:
        write_slider_params(st.query_params, release.values)
    params: Mapping[str, str] = st.query_params  # Not iterated, because a run that is ending may still modify it.
    if names:
        params = {name: params[name] for name in names if name in params}
    return read_view(params, workspace.retriever.model.config.patches, len(workspace.retriever.memory))


def pick_query(workspace: Workspace, requested: str, key: str = "query") -> tuple[Query, tuple[str, ...]]:
    """Render the uploader and the search box, and return the selected query.

    Args:
        workspace: Workspace with the queries to choose from.
        requested: Name of the query in the link; empty if the link does not set one.
        key: Key of the search box.

    Returns:
        The query, and a message if the requested one does not exist.
    """
    size, opening = workspace.retriever.model.config.image_size, workspace.dataset.opening
    records = {record.path.as_posix(): record for record in workspace.dataset.query}
    upload_controls.render_uploader(lambda name, data: choose_query(add_upload(name, data, size).query, key))
    below_uploader = st.container()
    uploads = {upload.query: upload for upload in stored_uploads(size)}
    names = [*uploads, *records]
    problems: tuple[str, ...] = ()
    if requested and requested not in names and not was_uploaded(requested):
        missing = (
            "This link points to an uploaded image, which isn't stored on the server."
            if is_upload(requested)
            else f"The link's query {requested[:120]} is not in this dataset."
        )
        problems = (f"{missing} Showing {opening}.",)
    name = controls.query_name(names, opening, key)
    if name in records:
        return query_of(workspace, records[name]), problems
    with below_uploader:
        return _render_upload(workspace, uploads[name], key), problems


def _render_upload(workspace: Workspace, upload: UploadedImage, key: str) -> Query:
    """Render what the visitor can change about the selected upload, and return it as a query."""

    def remove() -> None:
        remove_upload(upload.digest)
        left = stored_uploads(workspace.retriever.model.config.image_size)
        choose_query(left[0].query if left else workspace.dataset.opening, key)

    upload_controls.render_removal(upload.name, remove)
    cameras = workspace.retriever.model.config.cameras
    camera = upload_controls.camera(cameras, upload.digest) if workspace.dataset.uses_cameras else None
    return Query(upload.query, upload.image, QueryIdentity(camera=camera), workspace.key)

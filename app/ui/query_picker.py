"""Selection of a query, shared by pages: examples, thumbnails, the search box, and images that the visitor uploads."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from app.components.cards import cards
from app.messages import escape_markdown, show_pending_toasts, toast_in_next_run
from app.server import resources
from app.server.search import Query
from app.session import given_patches, link_checks, own_gallery, pending_release
from app.session.shared_view import is_upload
from app.session.uploads import UploadedImage, add_upload, remove_upload, stored_uploads, was_uploaded
from app.session.view import NEIGHBORS, Pin, View, read_view, write_slider_params
from app.ui import controls, upload_controls
from app.ui.crop_tool import crop_pending_photo
from app.ui.gallery_choice import render_gallery_choice
from fpc_core.data.browser_encoding import data_uri
from fpc_core.data.datasets import ImageRecord
from fpc_core.data.match_label import QueryIdentity
from fpc_core.explain.cards import Card, Strip, camera_name, identity_label
from fpc_core.workspace import PersonalWorkspace, Workspace


def choose_query(name: str, key: str = "query") -> None:
    """Select a query, and reset the selected hits, the pin and the patches dropped by hand. Call it in a callback.

    Args:
        name: Name of the query.
        key: Key of the search box.
    """
    st.session_state[key] = name
    for stale in ("neighbor", "rival", "pin"):
        st.query_params.pop(stale, None)
    given_patches.forget()


def step_query(workspace: Workspace, chosen: str, identity: int | None, steps: int) -> None:
    """Select another query of the strip: the visitor's own images, then those of the dataset. The order is cyclic.

    Args:
        workspace: Workspace with the queries.
        chosen: Name of the selected query.
        identity: Identity of the only person in the strip; None for all.
        steps: Number of queries to move by; negative to move back.
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


def has_recipe(workspace: Workspace, query: Query) -> bool:
    """Return whether a recipe can repeat a search, because query and gallery are those of the dataset.

    Args:
        workspace: Workspace that is searched.
        query: Query image.
    """
    return is_dataset_query(query) and not isinstance(workspace, PersonalWorkspace)


def query_of(workspace: Workspace, record: ImageRecord) -> Query:
    """Return the query for an image of the dataset.

    Args:
        workspace: Workspace with the dataset.
        record: Record of the image.
    """
    subject = workspace.subject_of(record)
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


def pick_query(
    workspace: Workspace, requested: str, key: str = "query", *, searches_own: bool = True
) -> tuple[Query, tuple[str, ...]]:
    """Render the uploader, the search box and the choice of the gallery, and return the selected query.

    Args:
        workspace: Workspace with the queries to choose from.
        requested: Name of the query in the link; empty if the link does not set one.
        key: Key of the search box.
        searches_own: Whether the page can search the visitor's own gallery.

    Returns:
        The query, and a message if the requested one does not exist.
    """
    size, first_query = workspace.retriever.model.config.image_size, workspace.dataset.first_query
    records = {record.path.as_posix(): record for record in workspace.dataset.query}

    def on_upload(name: str, data: bytes) -> None:
        upload = add_upload(name, data, size)
        if upload is not None:
            choose_query(upload.query, key)

    upload_controls.render_uploader(on_upload)
    show_pending_toasts()
    crop_pending_photo(size, lambda name: choose_query(name, key), searches_own)
    below_uploader = st.container()
    uploads = {upload.query: upload for upload in stored_uploads(size)}
    names = [*uploads, *records]
    problems: tuple[str, ...] = ()
    if requested and requested not in names and not was_uploaded(requested):
        problems = (link_checks.unknown_query(requested, first_query),)
    name = controls.query_name(names, first_query, key)
    if searches_own:
        render_gallery_choice(workspace)
    if name in records:
        return query_of(workspace, records[name]), problems
    with below_uploader:
        return _render_upload(workspace, uploads[name], key, searches_own), problems


def _render_upload(workspace: Workspace, upload: UploadedImage, key: str, searches_own: bool) -> Query:
    """Render the actions and the camera of the selected upload, and return it as a query.

    Args:
        workspace: Workspace that is searched.
        upload: Selected upload.
        key: Key of the search box.
        searches_own: Whether the page can search the visitor's own gallery.
    """
    size = workspace.retriever.model.config.image_size

    def remove() -> None:
        remove_upload(upload.digest)
        left = stored_uploads(size)
        choose_query(left[0].query if left else workspace.dataset.first_query, key)

    def add() -> None:
        toast_in_next_run(own_gallery.add_images([upload], size))
        if searches_own:
            own_gallery.search_own(True)

    upload_controls.render_upload_actions(upload.name, remove, add, own_gallery.contains(upload, size))
    cameras = workspace.retriever.model.config.cameras
    camera = upload_controls.camera(cameras, upload.digest) if workspace.dataset.uses_cameras else None
    own = workspace.own_path(upload.image) if isinstance(workspace, PersonalWorkspace) else None
    return Query(upload.query, upload.image, QueryIdentity(camera=camera, path=own), workspace.key)


def render_examples(workspace: Workspace, chosen: str) -> None:
    """Render the example queries of the dataset, if it has any.

    Args:
        workspace: Workspace with the dataset.
        chosen: Path of the selected query.
    """
    examples = {example.title: example for example in workspace.dataset.examples}
    if not examples:
        return
    current = next((title for title, example in examples.items() if example.query == chosen), None)
    # The pills follow the query, which other widgets select too.
    st.session_state["example"] = current

    def pick() -> None:
        if title := st.session_state["example"]:
            choose_query(examples[title].query)

    st.pills("Examples", list(examples), key="example", format_func=escape_markdown, on_change=pick)
    if current and examples[current].story:
        st.caption(escape_markdown(examples[current].story))


def query_strip(
    workspace: Workspace, records: list[ImageRecord], chosen: str, *, compact: bool = False, width: str = "80px"
) -> None:
    """Render a strip of query thumbnails. The visitor's own images are the first ones.

    Args:
        workspace: Workspace with the dataset.
        records: Queries of the dataset to show.
        chosen: Path of the selected query.
        compact: Whether only one line is shown below a thumbnail: the person or, for an own image, its name.
        width: Width of a thumbnail, as a CSS length.
    """
    images, strip_cards = {}, []
    for upload in stored_uploads(workspace.retriever.model.config.image_size):
        key = upload.query
        images[key] = data_uri(upload.image)
        lines = () if compact else ("your image",)
        selected = key == chosen
        strip_cards.append(Card(key, key, upload.name, lines, alt=f"query, {key}", selected=selected, hint=upload.name))
    for record in records:
        key = record.path.as_posix()
        images[key] = resources.thumbnail(workspace, record)
        strip_cards.append(
            Card(
                key,
                key,
                f"{record.person or record.identity}" if compact else f"Person {record.person or record.identity}",
                () if compact else (f"camera {camera_name(record.camera)}",),
                alt=f"query, {identity_label(record)}",
                selected=key == chosen,
            )
        )
    cards([Strip("queries", "", tuple(strip_cards))], images, key="query-cards", on_pick=choose_query, width=width)

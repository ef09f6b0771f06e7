"""One query, the whole way: what was dropped, who was found, and why."""

from __future__ import annotations

import streamlit as st

from app.look import heading

heading("FPC Explorer", "Pick an occluded person: see which patches the model drops, whom it finds, and why.")

from app import attention, controls, lives, pairs, resources, sections
from app.basket import add_button
from app.messages import problem
from app.opening import open_or_explain
from app.resources import Query
from app.state import Pin, View, read_view, turn_dials
from fpc_core.config import QuerySettings
from fpc_core.data.images import ImageError, content_hash, decode_image, resize_image
from fpc_core.explain.strips import Subject
from fpc_core.workspace import Workspace

PER_PAGE = 10
UPLOADED = "uploaded "


def uploaded_query(space: Workspace) -> Query | None:
    """The visitor's own image, decoded; None without one, with a message where it cannot be used."""
    upload = controls.uploaded()
    if upload is None:
        return None
    try:
        image = resize_image(decode_image(upload.data, upload.name), space.retriever.model.config.image_size)
    except ImageError as error:
        problem(str(error))
        return None
    camera = controls.camera(space.retriever.model.config.cameras) if space.dataset.uses_cameras else None
    return Query(UPLOADED + content_hash(upload.data), image, Subject(camera=camera), space.key)


def choose_query(name: str) -> None:
    st.session_state["query"] = name
    for stale in ("neighbor", "rival", "pin"):
        st.query_params.pop(stale, None)


def choose_neighbor(row: str) -> None:
    st.query_params["neighbor"] = row
    st.query_params.pop("rival", None)
    if st.query_params.get("pin", "").startswith("g"):  # a patch of the image shown before
        del st.query_params["pin"]


def choose_rival(row: int) -> None:
    st.query_params["rival"] = str(row)


def choose_pin(pin: Pin | None) -> None:
    if pin is None:
        st.query_params.pop("pin", None)
    else:
        st.query_params["pin"] = str(pin)


def answers(space: Workspace, query: Query, settings: QuerySettings, asked: View, show_junk: bool) -> None:
    """Everything below the choice of a query. What a moved dial waits for is drawn first."""
    found = resources.search(space, query, settings)
    masks, hits = st.container(), st.container()
    with hits:
        chosen = sections.ranked(space, query, found, asked.neighbor, show_junk, choose_neighbor)
    with masks:
        left, clock = st.columns([3, 2], gap="medium")
        with left:
            sections.dropped(space, query, settings)
        lives.patch_life(space, query, found, asked.pin, choose_pin)
    left, right = st.columns([3, 2], gap="medium")
    with left:
        pairs.transport(space, query, found, chosen, asked.pin, choose_pin)
    with right:
        sections.alpha_lines(chosen, show_junk)
    if not query.name.startswith(UPLOADED):  # a recipe names images of the data
        gallery = space.retriever.memory.records[chosen].path.as_posix() if chosen is not None else ""
        add_button(query.name, settings, gallery)
    pairs.win(space, query, found, chosen, asked.rival, show_junk, choose_rival)
    attention.decoder(space, query, found, chosen, choose_neighbor)
    with clock:
        sections.timings(found)
    sections.keep_rates(space, query, settings, chosen)


def page() -> None:
    space = open_or_explain()
    if st.session_state.setdefault("first-visit", not st.query_params.keys() & {"query", "k"}):
        turn_dials(st.query_params, {"k": space.dataset.neighbors})  # a link says its own K, or means the usual one
        st.session_state["first-visit"] = False
    asked, problems = read_view(st.query_params, space.retriever.model.config.patches)
    records = {record.path.as_posix(): record for record in space.dataset.query}
    with st.sidebar:
        own = uploaded_query(space)
        own_name = own.name if own else None
        if own_name and st.session_state.get("seen-upload") != own_name:
            choose_query(own_name)
        st.session_state["seen-upload"] = own_name
        names = [own_name, *records] if own_name else list(records)
        if asked.query and asked.query not in names:
            problems += (f"The link asks for the query {asked.query}, which is not in this data. Showing the first.",)
        name = controls.query_name(names, space.dataset.opening)
        settings = controls.query_settings(asked.settings, len(space.dataset.gallery))
        show_junk = controls.junk_switch(space.dataset.uses_cameras)
    if own is not None and name == own_name:
        query = own
    else:
        record = records[name]
        query = Query(name, resources.picture(space, record), Subject(record.identity, record.camera), space.key)

    sections.status_line(space, settings)
    with st.container():  # always there, so that what stands below keeps its place when a message goes
        for text in problems:
            problem(text)
    st.subheader("Whom are we looking for?")
    with st.container(horizontal=True, vertical_alignment="center"):
        identity = controls.identity([record.identity for record in space.dataset.query])
        offered = [key for key in records if identity in (None, records[key].identity)]
        places = controls.page_of(len(offered), PER_PAGE, offered.index(name) if name in offered else None)
    sections.query_strip(space, [records[offered[place]] for place in places], name, choose_query)

    answers(space, query, settings, asked, show_junk)


page()

"""Learn page: the method in ten short steps, with the numbers of a query."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import streamlit as st

from app.layout import heading, inject_presenter_css

PRESENTING = st.query_params.get("present") == "1"
if PRESENTING:
    inject_presenter_css()
else:
    heading("How does FPC work?", "Ten short steps with one example: make a guess, then see what the model did.")

from app.learn import step as lesson_step
from app.messages import escape_markdown, show_warnings
from app.sections import by_hand, summary
from app.server import search
from app.server.search import Query
from app.session import link_checks, own_gallery
from app.session.figure_basket import Item, add_button
from app.session.view import View
from app.session.workspace_choice import active_choice, default_variant
from app.ui import controls, status
from app.ui.gallery_choice import workspace_to_search
from app.ui.page_frame import load_workspace_or_stop, run_page
from app.ui.page_shortcuts import lesson_shortcuts
from app.ui.query_picker import (
    apply_first_visit_defaults,
    choose_pin,
    has_recipe,
    is_dataset_query,
    pick_query,
    query_strip,
    render_examples,
    step_query,
    view_from_url,
)
from fpc_core.figures.recipe import FigureKind
from fpc_core.lessons.context import LessonContext
from fpc_core.lessons.course import STEPS
from fpc_core.workspace import PersonalWorkspace, Workspace

COUNT = len(STEPS)
PER_PAGE = 10  # Number of query thumbnails per page.
# Kind of figure that "Add to figure" creates, by step.
FIGURES = {
    "patches": FigureKind.DROP_PROCESS,
    "attention": FigureKind.DROP_STRATEGIES,
    "dropping": FigureKind.DROP_PROCESS,
    "cost": FigureKind.TRANSPORT,
    "weights": FigureKind.TRANSPORT,
    "transport": FigureKind.TRANSPORT,
    "distance": FigureKind.ALPHA_LINES,
    "tokens": FigureKind.RANKED_LIST,
    "shares": FigureKind.DECODER_MAPS,
    "masks": FigureKind.DROP_PROCESS,
}
# Tab of the Explore page that a step links to; the first one if a step is not listed.
EXPLORE_TABS = {"dropping": "Patch", "distance": "Why", "tokens": "Decoder", "shares": "Decoder", "masks": "By hand"}


def requested_step() -> int:
    """Return the number of the step in the link, from 1 to COUNT, or 1 if it is missing or invalid."""
    text = st.query_params.get("step", "1")
    return int(text) if text in {str(step) for step in range(1, COUNT + 1)} else 1


def open_step(step: int) -> None:
    st.query_params["step"] = str(step)


def set_presenting(presenting: bool) -> None:
    if presenting:
        st.query_params["present"] = "1"
    else:
        st.query_params.pop("present", None)


def render_navigation(number: int) -> None:
    """Render the progress and the buttons that change the step; the arrow keys change it too."""
    with st.container(horizontal=True, vertical_alignment="center", key="step-navigation"):
        st.progress(number / COUNT, text=f"Step {number} of {COUNT}")
        st.button("Back", key="back", shortcut="Left", disabled=number == 1, on_click=open_step, args=(number - 1,))
        st.button(
            "Next",
            key="next",
            shortcut="Right",
            disabled=number == COUNT,
            on_click=open_step,
            args=(number + 1,),
            type="primary",
        )
        text = "Exit" if PRESENTING else "Present"
        st.button(
            text, key="present", shortcut="Esc" if PRESENTING else None, on_click=set_presenting, args=(not PRESENTING,)
        )


def render_try_it(workspace: Workspace, query: Query, view: View, context: LessonContext, key: str) -> None:
    """Render a choice of other queries for this step, a link to Explore, and downloads.

    Args:
        workspace: Workspace of the query.
        query: Query image.
        view: View to open in Explore.
        context: Context of the query.
        key: Key of the step.
    """
    st.header("Try it on your query")
    if is_dataset_query(query):
        explore = st.Page(Path(__file__).with_name("explore.py"), default=True)
        params = active_choice().to_params() | view.to_params(default_variant())
        if isinstance(workspace, PersonalWorkspace):
            params[own_gallery.PARAM] = own_gallery.OWN
        if key in EXPLORE_TABS:
            params["tab"] = EXPLORE_TABS[key]
        st.page_link(explore, label="Open in Explore", icon=":material/person_search:", query_params=params)
    with st.container(horizontal=True):
        lesson_step.download_button(workspace, query, context)
        if has_recipe(workspace, query):
            gallery = workspace.retriever.memory.records[context.hit].path.as_posix()
            add_button(Item(query.name), view.settings, FIGURES[key], gallery=gallery)
    render_examples(workspace, query.name)
    names = [record.path.as_posix() for record in workspace.dataset.query]
    positions = controls.pagination(len(names), PER_PAGE, names.index(query.name) if query.name in names else None)
    query_strip(workspace, [workspace.dataset.query[position] for position in positions], query.name)


def page() -> None:
    of_dataset = load_workspace_or_stop()
    workspace, gallery_problems = workspace_to_search(of_dataset)
    apply_first_visit_defaults(of_dataset.dataset.neighbors)
    view, problems = view_from_url(workspace)
    # Presenter mode hides the sidebar, so the speaker has a panel that opens when it is pointed at or has the focus.
    with st.container(key="presenter-settings") if PRESENTING else st.sidebar:
        if PRESENTING:
            st.markdown("**Query and settings**")
        query, missing = pick_query(workspace, view.query)
        settings = controls.query_settings(view.settings, workspace.shortlist_for(query.subject.path))
    number = requested_step()
    key = list(STEPS)[number - 1]
    if not PRESENTING:
        status.status_line(workspace, settings)
    show_warnings(
        (
            *problems,
            *gallery_problems,
            *missing,
            *link_checks.check_choice("step", range(1, COUNT + 1)),
            *link_checks.check_choice("present", ("1",)),
        )
    )
    result = search.search(workspace, query, settings)
    context = summary.query_context(workspace, query, result, view.neighbor)
    if key == "masks":
        context = replace(context, masks=by_hand.compare_masks(workspace, query, settings, context.hit))
    step = STEPS[key](context)
    left, right = st.columns([1, 1], gap="large")
    with left:
        render_navigation(number)
        st.header(f"{number}. {step.question}")
        lesson_step.render_text(step)
        lesson_step.render_quiz(step.quiz, f"{key} {query.digest} {hash(settings)} {context.hit}")
    with right:
        lesson_step.render_figures(workspace, query, result, context, step, view.pin, choose_pin)
    lesson_shortcuts(partial(step_query, workspace, query.name, None), PRESENTING)
    if PRESENTING:
        synthetic = ":orange-badge[SYNTHETIC] " if workspace.dataset.synthetic else ""
        st.caption(
            f"{synthetic}variant {settings.variant.value}, weights {escape_markdown(workspace.places.weights.stem)}"
        )
    else:
        render_try_it(workspace, query, View(query.name, view.neighbor, settings=settings), context, key)


run_page(page)

"""A step of the lesson: text with equations, a question, and interactive figures."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import streamlit as st

from app.components.alpha_chart import alpha_chart
from app.components.bars import bars, share_bars
from app.components.cards import cards
from app.components.image_store import image_store
from app.components.live_payload import answer_data, survived, view_key
from app.components.masks import masks
from app.components.patch_map import patch_map
from app.components.ranking import ranking
from app.components.sinkhorn_stepper import sinkhorn_stepper
from app.sections import by_hand, patch_lifeline
from app.sections.summary import lesson_markdown
from app.server import resources
from app.server.downloads import on_demand
from app.server.search import Query, SearchResult
from app.session import given_patches
from app.session.view import Pin, write_slider_params
from app.ui.query_picker import choose_neighbor
from fpc_core.data.browser_encoding import data_uri
from fpc_core.explain.cards import Strip, decoder_cards
from fpc_core.lessons.context import LessonContext
from fpc_core.lessons.step import Quiz, Step
from fpc_core.lessons.stepper import stepper_data
from fpc_core.lessons.steps_decoder import without
from fpc_core.workspace import Workspace

SHOWN = 5  # Number of hits in the strip next to the alpha chart.
LEFT_OUT = "left-out"  # Session key of the neighbour that the visitor has excluded.


def download_button(workspace: Workspace, query: Query, context: LessonContext) -> None:
    """Render a button that downloads the whole lesson as one file. The file is made on request.

    Args:
        workspace: Workspace of the query.
        query: Query image.
        context: Context of the query, from which the steps are made.
    """

    def file() -> str:
        from fpc_core.report.lesson import render_lesson  # Imported here, because matplotlib takes a second to import.

        return render_lesson(workspace, query.image, query.name, context, datetime.now().astimezone())

    st.download_button(
        "Download lesson (HTML)",
        on_demand(("lesson", id(context)), file, queued=True),
        "lesson.html",
        "text/html",
        key="lesson-file",
        icon=":material/download:",
        on_click="ignore",
        help="All ten steps with this query in one HTML file that works offline.",
    )


def render_text(step: Step) -> None:
    st.markdown(lesson_markdown(step.text))
    for equation in step.equations:
        st.latex(equation.symbols)
        for line in equation.numbers:
            st.latex(line)
    sources = ", ".join(dict.fromkeys(equation.source for equation in step.equations if equation.source))
    st.caption(f"{sources}, with the numbers of this query")
    st.markdown(f":material/today: {lesson_markdown(step.today)}")


def render_quiz(quiz: Quiz, about: str) -> None:
    """Render a question, and its answer once the visitor has chosen.

    Args:
        quiz: Question with its choices.
        about: Text that identifies step, query and settings; another text starts a new question.
    """
    key = f"answer-{about}"
    answer = st.session_state.get(key)
    st.markdown(f"**Predict:** {lesson_markdown(quiz.prompt)}")
    with st.container(horizontal=True):
        for index, choice in enumerate(quiz.choices):
            mark = "" if answer is None else (" ✓" if index == quiz.answer else (" ✗" if index == answer else ""))
            st.button(
                f"{choice}{mark}",
                key=f"{key}-{index}",
                shortcut=str(index + 1),
                disabled=answer is not None,
                on_click=st.session_state.__setitem__,
                args=(key, index),
            )
    if answer is not None:
        verdict = "**Right.**" if answer == quiz.answer else f"**It is: {quiz.choices[quiz.answer]}.**"
        st.markdown(f"{verdict} {lesson_markdown(quiz.reveal)}")


def render_figures(
    workspace: Workspace,
    query: Query,
    search_result: SearchResult,
    context: LessonContext,
    step: Step,
    pin: Pin | None,
    on_pin: Callable[[Pin | None], None],
) -> None:
    """Render the interactive figures of a step, such as patch maps, charts or the Sinkhorn stepper.

    Args:
        workspace: Workspace of the query.
        query: Query image.
        search_result: Result of the search.
        context: Context of the query.
        step: Step of the lesson.
        pin: Pinned patch, or None.
        on_pin: Callback that receives the newly pinned patch, or None for no pin.
    """
    config, records = workspace.retriever.model.config, workspace.retriever.memory.records

    def image_of(row: int | None) -> str:
        return data_uri(query.image) if row is None else resources.thumbnail(workspace, records[row])

    if step.maps is not None:
        patch_map(step.maps, image_of, config, key=f"maps-{step.key}")
    if step.runs is not None:
        names = ("query", f"hit {context.name(context.hit)}")
        sinkhorn_stepper(stepper_data(step.runs, config, (image_of(None), image_of(context.hit)), names), key="stepper")
    if step.key == "dropping":
        patch_lifeline.render_lifelines(workspace, query, search_result, pin, on_pin)
    if step.key == "distance":
        _alpha(workspace, query, search_result, context)
    if step.key == "tokens":
        _neighbors(workspace, query, context)
    if step.key == "masks":
        _masks(workspace, query, search_result, context)
    if step.key == "shares":
        bars(share_bars(context.trace.consolidation), key="shares", about="Attention shares of Eq. 13")


def _masks(workspace: Workspace, query: Query, search_result: SearchResult, context: LessonContext) -> None:
    settings, config = search_result.trace.settings, workspace.retriever.model.config

    def on_paint(given: str) -> None:
        write_slider_params(st.query_params, {given_patches.PARAM: given})

    masks(
        data_uri(query.image),
        config,
        settings.prune.blocks,
        key="lesson-masks",
        survived=survived(search_result.trace.encoding),
        width="120px",
        painter=by_hand.painter(workspace, query, settings, on_paint),
    )
    by_hand.render_comparison(workspace, query, settings, context.hit, compact=True)


def _alpha(workspace: Workspace, query: Query, search_result: SearchResult, context: LessonContext) -> None:
    records = workspace.retriever.memory.records
    key = view_key(query.digest, search_result.trace.settings)
    answer = answer_data(search_result.trace, key, records, query.subject, workspace.dataset.excludes_own_camera, SHOWN)
    image_store(
        {f"g{row}": resources.thumbnail(workspace, records[row]) for row in answer["match"]["in_sight"]},
        key="image-store",
    )
    alpha_chart(key="alpha-chart", top=SHOWN, junk=False, chosen=context.hit)
    ranking(
        answer, None, key="ranking", show=SHOWN, junk=False, chosen=context.hit, on_pick=choose_neighbor, width="84px"
    )


def _neighbors(workspace: Workspace, query: Query, context: LessonContext) -> None:
    result, records = context.trace.consolidation, workspace.retriever.memory.records
    left_out: int = st.session_state.get(LEFT_OUT, -1)
    neighbor_cards = decoder_cards(result, records, query.subject, workspace.dataset.excludes_own_camera, left_out)
    images = {f"g{row}": resources.thumbnail(workspace, records[row]) for row in result.neighbors.tolist()}
    several = len(result.neighbors) > 1

    def leave_out(row: str) -> None:
        st.session_state[LEFT_OUT] = int(row)

    for start in range(0, len(neighbor_cards), 5):
        strip = Strip(f"given{start}", "", tuple(neighbor_cards[start : start + 5]))
        cards([strip], images, key=f"given-{start}", on_pick=leave_out if several else None, width="92px")
    if several:
        text = without(context, left_out) if left_out in result.neighbors else "Click a neighbour to exclude it."
        st.markdown(f"**{text}**")

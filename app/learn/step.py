"""One step of the lesson on screen: words and equations, a question, and the picture it is about."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import streamlit as st

from app.components.alpha_chart import alpha_chart
from app.components.bars import bars, share_bars
from app.components.cards import cards
from app.components.image_store import image_store
from app.components.live_payload import answer_data, view_key
from app.components.patch_map import patch_map
from app.components.ranking import ranking
from app.components.sinkhorn_stepper import sinkhorn_stepper
from app.sections import patch_lifeline
from app.sections.summary import lesson_markdown
from app.server import resources
from app.server.downloads import on_demand
from app.server.search import Query, SearchResult
from app.session.view import Pin
from app.ui.query_picker import choose_neighbor
from fpc_core.data.browser_encoding import data_uri
from fpc_core.explain.cards import Strip, decoder_cards
from fpc_core.lessons.context import LessonContext
from fpc_core.lessons.step import Quiz, Step
from fpc_core.lessons.stepper import stepper_data
from fpc_core.lessons.steps_decoder import without
from fpc_core.workspace import Workspace

SHOWN = 5  # hits beside the alpha lines
LEFT_OUT = "left-out"


def download_button(workspace: Workspace, query: Query, case: LessonContext) -> None:
    """Offers the lesson as a file; it is made when it is asked for."""

    def file() -> str:
        from fpc_core.report.lesson import render_lesson  # matplotlib takes a second to load

        return render_lesson(workspace, query.image, query.name, case, datetime.now().astimezone())

    st.download_button(
        "Download lesson (HTML)",
        on_demand(("lesson", id(case)), file, queued=True),
        "lesson.html",
        "text/html",
        key="lesson-file",
        icon=":material/download:",
        on_click="ignore",
        help="All nine steps with this query in one HTML file that works offline.",
    )


def render_text(step: Step) -> None:
    st.markdown(lesson_markdown(step.text))
    for equation in step.equations:
        st.latex(equation.symbols)
        for line in equation.numbers:
            st.latex(line)
    sources = ", ".join(dict.fromkeys(equation.source for equation in step.equations if equation.source))
    st.caption(f"{sources}, with the numbers for this query below")
    st.markdown(f":material/today: {lesson_markdown(step.today)}")


def render_quiz(quiz: Quiz, about: str) -> None:
    """Predict, then see: the answer is not on the page before a choice. about: names step, query and settings."""
    key = f"answer-{about}"
    given = st.session_state.get(key)
    st.markdown(f"**Predict:** {lesson_markdown(quiz.prompt)}")
    with st.container(horizontal=True):
        for place, choice in enumerate(quiz.choices):
            sign = "" if given is None else (" ✓" if place == quiz.answer else (" ✗" if place == given else ""))
            st.button(
                f"{choice}{sign}",
                key=f"{key}-{place}",
                shortcut=str(place + 1),
                disabled=given is not None,
                on_click=st.session_state.__setitem__,
                args=(key, place),
            )
    if given is not None:
        verdict = "**Right.**" if given == quiz.answer else f"**It is: {quiz.choices[quiz.answer]}.**"
        st.markdown(f"{verdict} {lesson_markdown(quiz.reveal)}")


def render_picture(
    workspace: Workspace,
    query: Query,
    found: SearchResult,
    case: LessonContext,
    step: Step,
    pin: Pin | None,
    on_pin: Callable[[Pin | None], None],
) -> None:
    """The interactive picture of a step."""
    config, records = workspace.retriever.model.config, workspace.retriever.memory.records

    def of(row: int | None) -> str:
        return data_uri(query.image) if row is None else resources.thumbnail(workspace, records[row])

    if step.maps is not None:
        patch_map(step.maps, of, config, key=f"maps-{step.key}")
    if step.runs is not None:
        names = ("query", f"hit {case.name(case.hit)}")
        sinkhorn_stepper(stepper_data(step.runs, config, (of(None), of(case.hit)), names), key="stepper")
    if step.key == "dropping":
        patch_lifeline.render_lifelines(workspace, query, found, pin, on_pin)
    if step.key == "distance":
        _alpha(workspace, query, found, case)
    if step.key == "tokens":
        _neighbors(workspace, query, case)
    if step.key == "shares":
        bars(share_bars(case.trace.consolidation), key="shares", about="Attention shares of Eq. 13")


def _alpha(workspace: Workspace, query: Query, found: SearchResult, case: LessonContext) -> None:
    records = workspace.retriever.memory.records
    key = view_key(query.digest, found.trace.settings)
    answer = answer_data(found.trace, key, records, query.subject, workspace.dataset.uses_cameras, SHOWN)
    image_store(
        {f"g{row}": resources.thumbnail(workspace, records[row]) for row in answer["match"]["in_sight"]},
        key="image-store",
    )
    alpha_chart(key="alpha-chart", top=SHOWN, junk=False, chosen=case.hit)
    ranking(answer, None, key="ranking", show=SHOWN, junk=False, chosen=case.hit, on_pick=choose_neighbor, width=84)


def _neighbors(workspace: Workspace, query: Query, case: LessonContext) -> None:
    result, records = case.trace.consolidation, workspace.retriever.memory.records
    left_out: int = st.session_state.get(LEFT_OUT, -1)
    drawn = decoder_cards(result, records, query.subject, workspace.dataset.uses_cameras, left_out)
    pictures = {f"g{row}": resources.thumbnail(workspace, records[row]) for row in result.neighbors.tolist()}
    several = len(result.neighbors) > 1

    def leave_out(row: str) -> None:
        st.session_state[LEFT_OUT] = int(row)

    for at in range(0, len(drawn), 5):
        strip = Strip(f"given{at}", "", tuple(drawn[at : at + 5]))
        cards([strip], pictures, key=f"given-{at}", on_pick=leave_out if several else None, width=92)
    if several:
        told = without(case, left_out) if left_out in result.neighbors else "Click a neighbour to exclude it."
        st.markdown(f"**{told}**")

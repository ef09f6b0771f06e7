"""The three questions of a newcomer, each answered in a sentence with the query's numbers."""

from __future__ import annotations

import re
from pathlib import Path

import streamlit as st

from app.server import resources, search
from app.server.search import Query, SearchResult
from fpc_core.explain.masks import drop_shares, patch_areas
from fpc_core.explain.sentences import decoder_sentence, drop_sentence
from fpc_core.lessons.context import LessonContext, lesson_context
from fpc_core.workspace import Workspace


def query_context(workspace: Workspace, query: Query, found: SearchResult, hit: int | None) -> LessonContext:
    """What sentences and steps on this query are made from. hit: memory row to follow, None for the nearest."""
    mask = resources.masks(workspace).get(Path(query.name))
    truth = (
        drop_shares(found.trace.encoding, *patch_areas(mask, workspace.retriever.model.config))
        if mask is not None
        else ()
    )
    return lesson_context(
        workspace.retriever,
        found.trace,
        query.subject,
        workspace.dataset.uses_cameras,
        hit,
        truth,
        lambda row: search.plan(workspace, query, found.trace, row),
    )


def render_summary(workspace: Workspace, query: Query, found: SearchResult, hit: int | None) -> None:
    """The three questions of a newcomer, each answered in a sentence with this query's numbers."""
    told = query_context(workspace, query, found, hit)
    dropped = drop_sentence(found.trace.encoding, told.truth)
    taken = decoder_sentence(found.trace.consolidation, told.ranks)
    for head, story in (
        ("Dropped", dropped),
        ("Why it ranks higher", told.comparison_sentence()),
        ("The decoder", taken),
    ):
        st.markdown(f"**{head}:** {lesson_markdown(story)}")


def lesson_markdown(text: str) -> str:
    """Markdown of a lesson's text: ** stays, what else Markdown could read is escaped."""
    return re.sub(r"([\[\]_`$~#:<>])", r"\\\1", text)

"""The context of a query, from which summary sentences and lesson steps are made, and the escaping of these texts."""

from __future__ import annotations

import re
from pathlib import Path

from app.server import resources, search
from app.server.search import Query, SearchResult
from fpc_core.explain.patch_contents import drop_shares, patch_areas
from fpc_core.lessons.context import LessonContext, lesson_context
from fpc_core.workspace import Workspace


def query_context(workspace: Workspace, query: Query, result: SearchResult, hit: int | None) -> LessonContext:
    """Return the context from which summary sentences and lesson steps are made.

    Args:
        workspace: Workspace of the query.
        query: Query image.
        result: Result of the search.
        hit: Gallery row of the hit to explain; None for the nearest.
    """
    mask = resources.masks(workspace).get(Path(query.name))
    shares = (
        drop_shares(result.trace.encoding, *patch_areas(mask, workspace.retriever.model.config))
        if mask is not None
        else ()
    )
    return lesson_context(
        workspace.retriever_for(query.subject.path),
        result.trace,
        query.subject,
        workspace.dataset.excludes_own_camera,
        hit,
        shares,
        lambda row: search.plan(workspace, query, result.trace, row),
    )


def lesson_markdown(text: str) -> str:
    """Escape the Markdown in a sentence, except asterisks, which mark emphasis."""
    return re.sub(r"([\[\]_`$~#:<>])", r"\\\1", text)

"""The paper's tables and Fig. 4 on the data at hand, ours beside the paper's, computed in the background."""

from __future__ import annotations

import streamlit as st

from app.layout import heading

heading(
    "How accurate is it, and how certain are the scores?",
    "The paper's tables and Fig. 4, recomputed on this data with bootstrap confidence intervals, next to the "
    "published numbers.",
)

from app.evaluate import tables
from app.messages import escape_markdown, show_warning, show_warnings
from app.server import resources
from app.server.downloads import on_demand
from app.session import link_checks
from app.session.visitor import current_visitor
from app.ui import controls, progress, status
from app.ui.page_frame import load_workspace_or_stop, run_page
from fpc_core.config import QuerySettings
from fpc_core.evaluation.paper_tables.definitions import NAMES, Setting, tables_of

PREFIX = "e_"  # of parameters that Explore binds as well


def chosen_tables() -> tuple[str, ...]:
    """Names of the tables to show, in the paper's order."""
    words = {name: "Fig. 4" if name == "fig4" else f"Table {name}" for name in NAMES}
    show_warnings(link_checks.check_choice("tables", words.values()))
    wanted = st.pills(
        "Tables",
        NAMES,
        selection_mode="multi",
        default=NAMES,
        key="tables",
        bind="query-params",
        format_func=words.__getitem__,
    )
    return tuple(name for name in NAMES if name in wanted)


def page() -> None:
    workspace = load_workspace_or_stop()
    with st.sidebar:
        settings = controls.side_settings(
            PREFIX, QuerySettings(neighbors=workspace.dataset.neighbors), workspace.dataset.shortlist
        )
    status.status_line(workspace, settings)
    if workspace.dataset.queries_are_gallery:
        show_warning(
            "This folder has no separate query images. Each image finds itself first, so scores are not meaningful."
        )
    names = chosen_tables()
    tables.how_scored(workspace.dataset)
    if not names:
        st.info("Choose at least one table.", icon=":material/table:")
        return
    try:
        task, run = resources.evaluation_job(
            workspace, tables_of(names, Setting(settings, workspace.retriever.model.config))
        )
    except (ValueError, OSError) as error:
        show_warning(str(error))
        return
    look = run.status()
    visitor = f"{current_visitor()} evaluation"  # whose next evaluation ends the last

    def live() -> None:
        now = run.status()
        found = task.filled(now.known)
        progress.render_progress(run, now, visitor, "steps", tables.evaluation_size(task))
        st.download_button(
            "All tables (ZIP)",
            on_demand(("tables", found), lambda: tables.bundle(found)),
            "tables.zip",
            "application/zip",
            icon=":material/download:",
            key="zip",
            disabled=not now.complete,
            help="Text, Markdown, LaTeX and CSV of every table, with the recipes.",
        )
        for sentence in found[0].about:
            st.caption(escape_markdown(sentence, 1000))
        tables.tables(found, pick)
        if "picked-score" in st.session_state:
            st.rerun()  # the whole page: a dialog opened here would close with the next look

    picked = st.session_state.pop("picked-score", None)
    if picked is not None:
        tables.recipe_of(picked, task.filled(look.known))
    progress.poll_until_done(run, live)


def pick(row: str) -> None:
    st.session_state["picked-score"] = row


run_page(page)

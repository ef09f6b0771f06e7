"""Evaluate page: the paper's tables and Fig. 4 for the current data, computed in the background."""

from __future__ import annotations

import streamlit as st

from app.layout import heading

heading(
    "How accurate is it, and how certain are the scores?",
    "The paper's tables and Fig. 4 for this data, with bootstrap confidence intervals and the published numbers.",
)

from app.evaluate import tables
from app.messages import escape_markdown, show_warning, show_warnings
from app.server import resources
from app.server.background_job import JobStatus
from app.server.downloads import on_demand
from app.session import link_checks
from app.ui import controls, progress, status
from app.ui.page_frame import load_workspace_or_stop, run_page
from fpc_core.config import QuerySettings
from fpc_core.evaluation.engine.protocol import protocol_notes
from fpc_core.evaluation.paper_tables.definitions import NAMES, Setting, tables_of

PREFIX = "e_"  # Prefix that distinguishes query parameters of this page from those of Explore.


def chosen_tables() -> tuple[str, ...]:
    """Render the choice of tables, and return the names of the chosen ones in the paper's order."""
    labels = {name: "Fig. 4" if name == "fig4" else f"Table {name}" for name in NAMES}
    show_warnings(link_checks.check_choice("tables", labels.values()))
    selected = st.pills(
        "Tables",
        NAMES,
        selection_mode="multi",
        default=NAMES,
        key="tables",
        bind="query-params",
        format_func=labels.__getitem__,
    )
    return tuple(name for name in NAMES if name in selected)


def page() -> None:
    workspace = load_workspace_or_stop()
    with st.sidebar:
        settings = controls.side_settings(
            PREFIX, QuerySettings(neighbors=workspace.dataset.neighbors), workspace.dataset.shortlist
        )
    status.status_line(workspace, settings)
    progress.protocol_caption(workspace.dataset)
    names = chosen_tables()
    tables.render_scoring_help(workspace.dataset)
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

    def render(now: JobStatus) -> None:
        results = task.filled(now.known)
        st.download_button(
            "All tables (ZIP)",
            on_demand(("tables", results), lambda: tables.bundle(results)),
            "tables.zip",
            "application/zip",
            icon=":material/download:",
            key="zip",
            disabled=not now.complete,
            help="Text, Markdown, LaTeX and CSV of every table, with the recipes.",
        )
        shown_above = protocol_notes(workspace.dataset)
        for sentence in (each for each in results[0].about if each not in shown_above):
            st.caption(escape_markdown(sentence, 1000))
        tables.render_tables(results, pick)
        if "picked-score" in st.session_state:
            st.rerun()  # The whole page opens the dialog, because the next poll would close a dialog opened here.

    picked = st.session_state.pop("picked-score", None)
    if picked is not None:
        tables.render_recipe_dialog(picked, task.filled(run.status().known))
    progress.run_job(run, "evaluation", "steps", tables.evaluation_size(task), render)


def pick(row: str) -> None:
    st.session_state["picked-score"] = row


run_page(page)

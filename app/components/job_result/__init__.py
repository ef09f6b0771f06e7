"""Hands the result of a background job to the live views of the page; it shows nothing itself but what went wrong."""

from __future__ import annotations

from typing import Literal

import streamlit as st

from app.components import source
from app.messages import redact_paths, show_error, toast_memory_warnings
from app.server.worker import Job
from app.session.pending_release import run_fragment

PAUSE = 300  # ms from an answer to the next question, for every job that takes its turns; at most
LONGEST_PAUSE = 8000
_mount = st.components.v2.component(
    "fpc_job_result",
    html="<div data-job-result></div>",
    js=source("_shared/dom.js", "_shared/live_store.js", "job_result/job_result.js"),
)


def job_result(name: Literal["grid", "pairs", "heat"], about: str, job: Job, fragment: str) -> None:
    """Mount this in a fragment: until the job is finished the browser asks again after every answer.

    fragment: its key; a question reruns it by name, so that one that meets a moved dial does not make the whole page
    be drawn at once.  about: names the result.

    Where many jobs take turns the browser asks less often, or the questions of many visitors would leave the server no
    time for answers. A result takes up to a megabyte, so it is sent once; a browser that has lost it asks.
    What ended a job is told here, but for the grid, whose dial says it.
    Results: `ahead.keep_rate_grid`, `ahead.keep_rate_pairs`, `ahead.heat`.
    """
    sent = st.session_state.setdefault("job-result-sent", {})
    fresh = job.finished and sent.get(name) != about
    data = {
        "name": name,
        "about": about,
        "done": job.done,
        "total": job.total,
        "finished": job.finished,
        "error": redact_paths(str(job.error)) if job.error else "",
        "result": job.result if fresh else None,
        "pause": min(LONGEST_PAUSE, PAUSE * (1 + job.other_active_jobs)),
    }
    if job.finished:
        if fresh:
            toast_memory_warnings(job.notes)
        sent[name] = about
    else:  # every answer differs from the last, for the browser asks again when it sees a new one
        data["answer"] = st.session_state["job-result-answers"] = st.session_state.get("job-result-answers", 0) + 1

    def requested() -> None:
        sent.pop(name, None)
        run_fragment(fragment)

    _mount(key=f"job-result-{name}", data=data, on_requested_change=requested)
    if job.error and name != "grid":
        show_error(job.error)

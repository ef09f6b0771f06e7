"""Send the result of a background job to the live views of the page; shows only errors."""

from __future__ import annotations

from typing import Literal

import streamlit as st

from app.components import source
from app.messages import redact_paths, show_error, toast_memory_warnings
from app.server.worker import Job
from app.session.pending_release import run_fragment

PAUSE = 300  # ms between an answer and the next request, per active job
MAX_PAUSE = 8000
_mount = st.components.v2.component(
    "fpc_job_result",
    html="<div data-job-result></div>",
    js=source("_shared/dom.js", "_shared/live_store.js", "job_result/job_result.js"),
)


def job_result(name: Literal["grid", "pairs", "heat"], about: str, job: Job, fragment: str) -> None:
    """Mount this in a fragment. The browser requests the state of the job until it is finished.

    With many active jobs the browser requests less often, so that the server has time for answers. A result has up to a
    megabyte, so it is sent once; a browser that has lost it requests it again.

    Args:
        name: Of the result: of `prefetch.keep_rate_grid`, `keep_rate_pairs` or `heat`. The slider itself shows errors
            of "grid".
        about: Identifies the result.
        job: Computes the result.
        fragment: Key of the fragment. A request reruns it by name, so that a moved slider does not rerun the whole
            page.
    """
    sent = st.session_state.setdefault("job-result-sent", {})
    is_new = job.finished and sent.get(name) != about
    data = {
        "name": name,
        "about": about,
        "done": job.done,
        "total": job.total,
        "finished": job.finished,
        "error": redact_paths(str(job.error)) if job.error else "",
        "result": job.result if is_new else None,
        "pause": min(MAX_PAUSE, PAUSE * (1 + job.other_active_jobs)),
    }
    if job.finished:
        if is_new:
            toast_memory_warnings(job.notes)
        sent[name] = about
    else:  # a counter, because the browser requests again only when an answer differs
        data["answer"] = st.session_state["job-result-answers"] = st.session_state.get("job-result-answers", 0) + 1

    def on_request() -> None:
        sent.pop(name, None)
        run_fragment(fragment)

    _mount(key=f"job-result-{name}", data=data, on_requested_change=on_request)
    if job.error and name != "grid":
        show_error(job.error)

"""Component that sends the result of a background job to the live views of the page and shows only errors."""

from __future__ import annotations

from typing import Literal

import streamlit as st

from app.components import source
from app.messages import redact_paths, show_error, toast_memory_warnings
from app.server.job_worker import Job
from app.session.pending_release import run_fragment

PAUSE = 300  # Milliseconds between a response and the next request, for each active job.
MAX_PAUSE = 8000  # Maximum number of milliseconds between a response and the next request.
_mount = st.components.v2.component(
    "fpc_job_result",
    html="<div data-job-result></div>",
    js=source("_shared/dom.js", "_shared/live_store.js", "job_result/job_result.js"),
)


def job_result(name: Literal["grid", "pairs", "heat"], about: str, job: Job, fragment: str) -> None:
    """Send the result of a job to the browser once it is finished. Call this in a fragment.

    Until then, the browser polls the job, less often if many jobs are active. A result can be a megabyte in size, so it
    is sent only once. The browser can request it again if it has discarded it.

    Args:
        name: Kind of the result: "grid" for `prefetch.keep_rate_grid`, "pairs" for `keep_rate_pairs` or "heat" for
            `heat`. Errors of "grid" are shown by the slider instead.
        about: Key that identifies the result.
        job: Job that computes the result.
        fragment: Key of the fragment. Requests rerun only this fragment, even if a slider has been moved meanwhile.
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
    else:  # The counter makes every response differ, because the browser ignores a response equal to the previous one.
        data["answer"] = st.session_state["job-result-answers"] = st.session_state.get("job-result-answers", 0) + 1

    def on_request() -> None:
        sent.pop(name, None)
        run_fragment(fragment)

    _mount(key=f"job-result-{name}", data=data, on_requested_change=on_request)
    if job.error and name != "grid":
        show_error(job.error)

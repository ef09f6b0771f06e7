"""Hands the result of a background job to the live views of the page; it shows nothing itself."""

from __future__ import annotations

from typing import Literal

import streamlit as st

from app.background import Job
from app.components import source

_mount = st.components.v2.component(
    "fpc_feed", html="<div data-feed></div>", js=source("shared.js", "store.js", "feed.js")
)


def feed(name: Literal["grid", "pairs", "heat"], view: str, job: Job) -> None:
    """Mount this in a fragment: until the job is finished the browser asks again after every answer.

    view: what the result belongs to, as its key.  Results: `resources.keep_rate_grid`, `resources.keep_rate_pairs`,
    `resources.decoder_heat`.
    """
    data = {
        "name": name, "key": view, "done": job.done, "total": job.total, "finished": job.finished,
        "error": str(job.error) if job.error else "", "result": job.result if job.finished else None,
    }  # fmt: skip
    if not job.finished:  # every answer differs from the last, for the browser asks again when it sees a new one
        data["answer"] = st.session_state["feed-answers"] = st.session_state.get("feed-answers", 0) + 1
    _mount(key=f"feed-{name}", data=data, on_asked_change=lambda: None)

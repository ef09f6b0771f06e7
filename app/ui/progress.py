"""Progress of a background job, with the one button that makes sense."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from app.messages import show_warning
from app.server.jobs import HasStatus, JobState, JobStatus, Startable

POLL_SECONDS = 1.0  # seconds between looks at what runs


def poll_until_done(errand: HasStatus, show: Callable[[], None]) -> None:
    """Draw it, and while it runs again every second; the whole page when it has ended."""
    active = errand.status().active

    @st.fragment(run_every=POLL_SECONDS if active else None)
    def live() -> None:
        show()
        if active and not errand.status().active:
            st.rerun()

    live()


def render_progress(run: Startable, look: JobStatus, visitor: str, steps: str, of: str, key: str = "") -> None:
    """Where a run stands, with the one button that makes sense. steps: what they are called; of: how many of what.

    key: before the keys of the buttons, where a page has several runs.
    """
    words = {
        JobState.WAITING: "Waiting for another job to finish",
        JobState.RUNNING: "Running",
        JobState.STOPPED: "Stopped",
        JobState.FAILED: "Failed",
        JobState.IDLE: "Resumable",
    }
    known = f"{look.done:,} of {look.total:,} {steps} ({of})"
    with st.container(horizontal=True, vertical_alignment="center"):
        if look.active:
            left = "" if look.seconds_left is None else f" · {format_duration(look.seconds_left)} left"
            st.progress(look.done / look.total, f"{words[look.state]} · {known}{left}")
            st.button("Stop", icon=":material/stop_circle:", on_click=run.stop, args=(visitor,), key=f"{key}stop")
        elif not look.complete:
            if st.button(
                "Resume" if look.done else "Start", icon=":material/play_arrow:", type="primary", key=f"{key}start"
            ):
                run.start(visitor)
                st.rerun()  # the whole page, for only that sets off the polling
            st.markdown(f"{words[look.state]} · {known}" if look.done else f"Not started · {known}")
        else:
            st.caption(f"Done: {known}")
    if look.error:
        show_warning(f"The run failed: {look.error}")
    for note in look.notes:
        show_warning(note)


def format_duration(seconds: float) -> str:
    """Hours and minutes, minutes and seconds, or seconds."""
    minutes, rest = divmod(int(seconds) + 1, 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"

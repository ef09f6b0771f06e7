"""Progress of a background job, with a button to start, resume or stop it."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from app.messages import escape_markdown, show_warning
from app.server.background_job import BackgroundJob, JobState, JobStatus
from app.session.visitor import current_visitor, is_connected
from fpc_core.data.datasets import Dataset
from fpc_core.data.protocols import PROTOCOL_TEXT

POLL_SECONDS = 1.0  # Interval between two polls of a running job.


def poll_until_done(job: BackgroundJob, show: Callable[[], None]) -> None:
    """Render a job once, again every second while it is active, and rerun the whole page once it ends.

    Args:
        job: Job to poll.
        show: Function that renders the job.
    """
    active = job.status().active

    @st.fragment(run_every=POLL_SECONDS if active else None)
    def live() -> None:
        show()
        if active and not job.status().active:
            st.rerun()

    live()


def run_job(
    job: BackgroundJob, name: str, steps: str, of: str, render: Callable[[JobStatus], None], *, auto_start: int = 0
) -> None:
    """Render the progress of a page's job and its results so far, and update them until the job ends.

    Args:
        job: Job of the page.
        name: Kind of the job; a new job of this kind stops the visitor's previous one.
        steps: Plural name of the steps.
        of: What the steps are, such as "one per query"; shown in parentheses after their number.
        render: Function that renders the results so far.
        auto_start: Maximum number of remaining steps for which the job starts without a click.
    """
    visitor = f"{current_visitor()} {name}"
    status = job.status()
    if status.state is JobState.IDLE and 0 < status.total - status.done <= auto_start:
        job.start(visitor)

    def show() -> None:
        status = job.status()
        render_progress(job, status, visitor, steps, of)
        render(status)

    poll_until_done(job, show)


def protocol_caption(dataset: Dataset) -> None:
    """Render the evaluation protocol of the scores on the page."""
    st.caption(f"Protocol {escape_markdown(PROTOCOL_TEXT[dataset.protocol], 300)}.")


def render_progress(job: BackgroundJob, status: JobStatus, visitor: str, steps: str, of: str, key: str = "") -> None:
    """Render the state of a job, with a button to start, resume or stop it. Nobody can stop another visitor's job.

    Args:
        job: Job that the button controls.
        status: Current status of the job.
        visitor: Name under which the visitor starts and stops the job.
        steps: Plural name of the steps.
        of: What the steps are, such as "one per query"; shown in parentheses after their number.
        key: Prefix of the button's key, for pages with several jobs.
    """
    labels = {
        JobState.WAITING: "Waiting for another job to finish",
        JobState.RUNNING: "Running",
        JobState.STOPPED: "Stopped",
        JobState.FAILED: "Failed",
        JobState.IDLE: "Resumable",
    }
    known = f"{status.done:,} of {status.total:,} {steps} ({of})"
    with st.container(horizontal=True, vertical_alignment="center"):
        if status.active:
            st.progress(status.done / status.total, f"{labels[status.state]} · {known}{format_time_left(status)}")
            if job.belongs_to(visitor, is_connected):
                st.button("Stop", icon=":material/stop_circle:", on_click=job.stop, args=(visitor,), key=f"{key}stop")
            else:
                st.caption("Another visitor is running this. The results are shared.")
        elif not status.complete:
            if st.button(
                "Resume" if status.done else "Start", icon=":material/play_arrow:", type="primary", key=f"{key}start"
            ):
                job.start(visitor)
                st.rerun()  # Polling starts with the next run of the whole page.
            st.markdown(f"{labels[status.state]} · {known}" if status.done else f"Not started · {known}")
        else:
            st.caption(f"Done: {known}")
    if status.error:
        show_warning(f"The run failed: {status.error}")
    for note in status.notes:
        show_warning(note)


def format_time_left(status: JobStatus) -> str:
    """Return the end of a progress text with the remaining time of a job, or an empty text if it is unknown."""
    return "" if status.seconds_left is None else f" · {format_duration(status.seconds_left)} left"


def format_duration(seconds: float) -> str:
    """Return a duration as text in hours and minutes, minutes and seconds, or seconds."""
    minutes, rest = divmod(int(seconds) + 1, 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"

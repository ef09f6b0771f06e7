"""Build the demo's gallery memory, which is not in the repository, at the first start of the app."""

from __future__ import annotations

import streamlit as st

from app.messages import escape_markdown
from app.server import resources
from app.server.background_job import JobState
from app.ui.progress import format_time_left, poll_until_done
from fpc_core.gallery.manifest import MANIFEST
from fpc_core.workspace import Places


def demo_places() -> Places:
    """Return the paths of the demo."""
    return Places()


def render_demo_build(device: str) -> bool:
    """Start building the demo's gallery memory and render the progress; the page reruns once it is complete.

    Args:
        device: Device to encode on.

    Returns:
        False if the gallery memory is already built, so that the page has to show the actual error instead.
    """
    places = demo_places()
    dataset = places.open_dataset()
    job = resources.build_job(places, device, dataset, 0)
    status = job.status()
    if status.state is JobState.IDLE:
        if status.complete and (places.memory / MANIFEST).is_file():
            return False
        job.start()
    st.header("Preparing the demo")
    st.markdown(
        f"The app encodes the demo's {len(dataset.gallery):,} gallery images once and stores the result. "
        "On two CPU cores this takes less than a minute."
    )

    def show() -> None:
        status = job.status()
        if status.state is JobState.FAILED:
            st.error(f"The gallery memory could not be built: {escape_markdown(status.error, 900)}")
            st.button("Try again", icon=":material/refresh:", on_click=job.start, key="build-demo")
            return
        text = f"{status.done:,} of {status.total:,} images{format_time_left(status)}"
        st.progress(status.done / status.total, text)

    poll_until_done(job, show)
    return True

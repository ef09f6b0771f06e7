"""Functions that run a page: they load its workspace, wait in the queue and report expected errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import streamlit as st

from app.messages import render_setup_error_page, render_unavailable_page, show_error, show_warning
from app.public_mode import is_public
from app.server import resources
from app.server.queues import PAGE_QUEUE, BusyError
from app.session import workspace_choice
from app.ui.demo_build import demo_places, render_demo_build
from fpc_core.data.datasets import DatasetError
from fpc_core.data.images import ImageError
from fpc_core.gallery.memory import GalleryMemoryError
from fpc_core.matching.shortlist import ShortlistError
from fpc_core.runtime.out_of_memory import OutOfMemoryError
from fpc_core.workspace import Places, Workspace, build_options, roots_in_use
from fpc_core.workspace.allowed_roots import OutsideRootsError, Root

_EXPECTED_ERRORS = (
    ImageError,
    DatasetError,
    OutsideRootsError,
    GalleryMemoryError,
    ShortlistError,
    OutOfMemoryError,
    BusyError,
    OSError,
)


def load_workspace_or_stop() -> Workspace:
    """Return the visitor's workspace. If it cannot be opened, render an error page and end the run."""
    choice, problems = workspace_choice.current()
    with st.container():  # Always present, so that the content below does not move when a message disappears.
        for text in problems:
            show_warning(text)
    places = started = Places.from_environment()
    roots: tuple[Root, ...] = ()
    try:
        roots = roots_in_use()
        places = choice.places(roots, started)
        return resources.workspace(places, choice.device, roots if choice.data else ())
    except (ValueError, OSError) as error:
        if isinstance(error, GalleryMemoryError) and places == demo_places() and render_demo_build(choice.device):
            st.stop()
        if is_public():
            render_unavailable_page(error)
            st.stop()
        shown = {
            name: workspace_choice.display_name(getattr(places, name), roots) for name in ("data", "weights", "memory")
        }
        reset = (
            None
            if choice == workspace_choice.WorkspaceChoice()
            else lambda: workspace_choice.apply_choice(workspace_choice.WorkspaceChoice())
        )
        render_setup_error_page(error, shown, build_options(places), reset)
        st.stop()


@contextmanager
def report_errors(key: str = "") -> Iterator[None]:
    """Show expected errors as a message with a retry button, and end the run.

    Expected errors are missing or damaged files, a shortlist index that fails, a busy server and out of memory. The
    visitor's settings are not lost.

    Args:
        key: Suffix of the button's key, different for each fragment of a page.
    """
    try:
        yield
    except _EXPECTED_ERRORS as error:
        show_error(error)
        st.button("Try again", icon=":material/refresh:", key=f"again{key}")
        st.stop()


def run_page(page: Callable[[], None]) -> None:
    """Wait in the page queue, then run a whole page and report its errors."""
    with report_errors(), PAGE_QUEUE.slot():
        page()

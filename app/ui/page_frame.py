"""The first step of every page, and what is said where a file gives way later on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import streamlit as st

from app.messages import render_setup_error_page, render_unavailable_page, show_error, show_warning
from app.public_mode import is_public
from app.server import resources
from app.server.queues import PAGE_QUEUE, BusyError
from app.session import workspace_choice
from fpc_core.data.datasets import DatasetError
from fpc_core.data.images import ImageError
from fpc_core.gallery.memory import GalleryMemoryError
from fpc_core.matching.shortlist import ShortlistError
from fpc_core.runtime.out_of_memory import OutOfMemoryError
from fpc_core.workspace import Places, Workspace, roots_in_use
from fpc_core.workspace.allowed_roots import OutsideRootsError, Root

_MISHAPS = (
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
    """The visitor's workspace; where it cannot be opened, a page that says what is missing, and the run ends."""
    chosen, problems = workspace_choice.current()
    with st.container():  # always there, so that what stands below keeps its place when a message goes
        for text in problems:
            show_warning(text)
    places = started = Places.from_environment()
    roots: tuple[Root, ...] = ()
    try:
        roots = roots_in_use()
        places = chosen.places(roots, started)
        return resources.workspace(places, chosen.device, roots if chosen.data else ())
    except (ValueError, OSError) as error:
        if is_public():
            render_unavailable_page(error)
            st.stop()
        shown = {
            name: workspace_choice.display_name(getattr(places, name), roots) for name in ("data", "weights", "memory")
        }
        back = (
            None
            if chosen == workspace_choice.WorkspaceChoice()
            else lambda: workspace_choice.apply_choice(workspace_choice.WorkspaceChoice())
        )
        render_setup_error_page(error, shown, places.precision, back)
        st.stop()


@contextmanager
def report_errors(key: str = "") -> Iterator[None]:
    """Within it, a file of the data that is lost or damaged since it was opened is named, as are a shortlist that
    cannot be asked and a server with too many visitors or without memory, and the page ends there.

    What the visitor has set is kept. key: of the part of a page that runs alone, which needs it for itself.
    """
    try:
        yield
    except _MISHAPS as error:
        show_error(error)
        st.button("Try again", icon=":material/refresh:", key=f"again{key}")
        st.stop()


def run_page(page: Callable[[], None]) -> None:
    """A whole page in its turn, its mishaps told."""
    with report_errors(), PAGE_QUEUE.slot():
        page()

"""The first step of every page, and what is said where a file gives way later on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import streamlit as st

from app.messages import closed_today, mishap, nothing_to_show, problem
from app.public_mode import is_public
from app.server import resources
from app.server.queues import PAGES, BusyError
from app.session import workspace_choice
from fpc_core.data.images import ImageError
from fpc_core.gallery.memory import GalleryMemoryError
from fpc_core.matching.shortlist import ShortlistError
from fpc_core.runtime.out_of_memory import NoMemoryLeftError
from fpc_core.workspace import Places, Workspace, roots_in_use
from fpc_core.workspace.allowed_roots import Root


def open_or_explain() -> Workspace:
    """The visitor's workspace; where it cannot be opened, a page that says what is missing, and the run ends."""
    chosen, problems = workspace_choice.current()
    with st.container():  # always there, so that what stands below keeps its place when a message goes
        for text in problems:
            problem(text)
    places = started = Places.from_environment()
    roots: tuple[Root, ...] = ()
    try:
        roots = roots_in_use()
        places = chosen.places(roots, started)
        return resources.workspace(places, chosen.device, roots if chosen.data else ())
    except (ValueError, OSError) as error:
        if is_public():
            closed_today(error)
            st.stop()
        shown = {name: workspace_choice.spoken(getattr(places, name), roots) for name in ("data", "weights", "memory")}
        back = (
            None
            if chosen == workspace_choice.Choice()
            else lambda: workspace_choice.take_into_use(workspace_choice.Choice())
        )
        nothing_to_show(error, shown, places.precision, back)
        st.stop()


@contextmanager
def mishaps_told(key: str = "") -> Iterator[None]:
    """Within it, a file of the data that is lost or damaged since it was opened is named, as are a shortlist that
    cannot be asked and a server with too many visitors or without memory, and the page ends there.

    What the visitor has set is kept. key: of the part of a page that runs alone, which needs it for itself.
    """
    try:
        yield
    except (ImageError, GalleryMemoryError, ShortlistError, NoMemoryLeftError, BusyError, OSError) as error:
        mishap(error)
        st.button("Try again", icon=":material/refresh:", key=f"again{key}")
        st.stop()


def run_page(page: Callable[[], None]) -> None:
    """A whole page in its turn, its mishaps told."""
    with mishaps_told(), PAGES.passed():
        page()

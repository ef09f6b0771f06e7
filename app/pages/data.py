"""Data page: choose and inspect dataset, weights and gallery memory, and build a missing gallery memory."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from app.layout import heading

heading(
    "Data and models", "Choose a dataset and weights, inspect them, build the gallery memory and apply it to all pages."
)

from app.data import forms, gallery_map, reports
from app.messages import escape_markdown, show_warning
from app.server import resources
from app.session import workspace_choice
from app.session.view import View
from app.session.workspace_choice import WorkspaceChoice
from app.ui import progress
from app.ui.page_frame import run_page
from fpc_core.config import QuerySettings
from fpc_core.data.datasets import Dataset
from fpc_core.workspace import Places, check_cameras, roots_in_use
from fpc_core.workspace.allowed_roots import Root
from fpc_core.workspace.inspect import MemoryInfo, MemoryStatus, WeightsInfo


def in_use_line(draft: WorkspaceChoice) -> None:
    """Render which data the other pages use, and a button that resets all pages to the startup data."""
    active = workspace_choice.active_choice()
    with st.container(horizontal=True, vertical_alignment="center"):
        if active == draft:
            st.markdown(":green-badge[ACTIVE] All pages use this selection.")
        else:
            names = [escape_markdown(name) for name in (active.data, active.weights) if name]
            st.markdown(f"Not active yet: the other pages still use {' with '.join(names) or 'the startup data'}.")
        if draft != WorkspaceChoice():
            st.button(
                "Reset to startup settings",
                icon=":material/home:",
                on_click=workspace_choice.apply_choice,
                args=(WorkspaceChoice(),),
                key="home",
            )


def weights_section(places: Places) -> WeightsInfo | None:
    """Render and return details of the weights, or show a message and return None if they cannot be read."""
    try:
        info = resources.weights_info(places)
    except (ValueError, OSError) as error:
        show_warning(str(error))
        return None
    reports.weights_report(info)
    return info


def data_section(places: Places, roots: tuple[Root, ...]) -> Dataset | None:
    """Render and return the dataset, or show a message and return None if it cannot be opened.

    Args:
        places: Paths of the draft.
        roots: Folders that must contain every image. Empty disables this check.
    """
    try:
        dataset, inventory = resources.data_info(places, roots)
    except (ValueError, OSError) as error:
        show_warning(str(error))
        return None
    reports.data_report(dataset, inventory)
    check = resources.image_check(dataset)
    progress.poll_until_done(check, lambda: reports.image_report(check))
    return dataset


def memory_section(
    draft: WorkspaceChoice, places: Places, roots: tuple[Root, ...], dataset: Dataset, weights: WeightsInfo
) -> MemoryInfo | None:
    """Render the gallery memory, its build, and the button that applies the draft to all pages.

    Args:
        draft: Choice that the page edits.
        places: Paths of the draft.
        roots: Folders that visitors can choose from.
        dataset: Dataset of the draft.
        weights: Details of the weights of the draft.

    Returns:
        State of the gallery memory. If it cannot be inspected, a message is shown and None is returned.
    """
    try:
        check_cameras(dataset, weights.report.config)
        info = resources.memory_info(places.memory, dataset, weights)
    except (ValueError, OSError) as error:
        show_warning(str(error))
        return None
    reports.memory_report(info, workspace_choice.display_name(places.memory, roots))
    if info.status is not MemoryStatus.FITS:
        build = resources.build_job(places, draft.device, dataset, info.done)
        progress.poll_until_done(build, lambda: reports.build_report(build, info))
    elif workspace_choice.active_choice() != draft:
        st.button(
            "Use this dataset on all pages",
            icon=":material/done_all:",
            type="primary",
            key="use",
            on_click=workspace_choice.apply_choice,
            args=(draft,),
        )
    elif st.button("Open in Explore", icon=":material/person_search:", type="primary", key="explore"):
        settings = QuerySettings(variant=draft.variant, neighbors=dataset.neighbors)
        view = View(query=st.session_state.get("last-query", ""), settings=settings)
        st.switch_page("app/pages/explore.py", query_params=view.to_params(draft.variant))
    return info


def page() -> None:
    draft, problems = workspace_choice.draft()
    for text in problems:
        show_warning(text)
    started = Places.from_environment()
    try:
        roots = roots_in_use()
    except ValueError as error:
        show_warning(str(error))
        return
    discovered = resources.discovered_paths(roots)
    draft = forms.places_form(draft, discovered, started, roots)
    settings_container = st.container()
    forms.roots_note(roots, discovered)
    in_use = st.container()
    st.header("Dataset and model summary")
    try:
        places = draft.places(roots, started)
    except ValueError as error:
        workspace_choice.save_draft(draft)
        with in_use:
            in_use_line(draft)
        show_warning(str(error))
        return
    left, right = st.columns([3, 2], gap="large")
    with left:
        dataset = data_section(places, roots if draft.data else ())
    with right:
        weights = weights_section(places)
    with settings_container:
        new_draft = forms.settings_form(forms.weights_form(draft, weights.report if weights else None))
    workspace_choice.save_draft(new_draft)
    if replace(new_draft, device=draft.device) != draft:
        st.rerun()
    with in_use:
        in_use_line(new_draft)
    if dataset is None or weights is None:
        return
    st.header("Is the gallery memory up to date?")
    info = memory_section(new_draft, places, roots, dataset, weights)
    if info is not None and info.status is MemoryStatus.FITS:
        st.header("Gallery map")
        workspace = resources.workspace(places, new_draft.device, roots if new_draft.data else ())
        gallery_map.gallery(workspace, new_draft.variant)


run_page(page)

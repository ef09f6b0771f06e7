"""Which data, weights and memory: choose them, see what they hold, build what is missing, look at the gallery."""

from __future__ import annotations

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
from fpc_core.model.checkpoint_layouts import leaves_stride_open
from fpc_core.workspace import Places, check_cameras, roots_in_use
from fpc_core.workspace.allowed_roots import Root
from fpc_core.workspace.inspect import MemoryInfo, MemoryStatus, WeightsInfo


def in_use_line(draft: WorkspaceChoice) -> None:
    """What the other pages show, and the way back."""
    used = workspace_choice.active_choice()
    with st.container(horizontal=True, vertical_alignment="center"):
        if used == draft:
            st.markdown(":green-badge[ACTIVE] All pages use this selection.")
        else:
            names = [escape_markdown(name) for name in (used.data, used.weights) if name]
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
    """None where the checkpoint cannot be read, with the reason on the page."""
    try:
        found = resources.weights_info(places)
    except (ValueError, OSError) as error:
        show_warning(str(error))
        return None
    reports.weights_report(found)
    return found


def data_section(places: Places, roots: tuple[Root, ...]) -> Dataset | None:
    """None where the dataset cannot be opened, with the reason on the page."""
    try:
        dataset, inventory = resources.data_info(places.data, roots)
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
    """How the memory stands, its build, and the button that takes all into use."""
    try:
        check_cameras(dataset, weights.report.config)
        found = resources.memory_info(places.memory, dataset, weights)
    except (ValueError, OSError) as error:
        show_warning(str(error))
        return None
    reports.memory_report(found, workspace_choice.display_name(places.memory, roots))
    if found.status is not MemoryStatus.FITS:
        build = resources.build_job(places, draft.device, dataset, found.done)
        progress.poll_until_done(build, lambda: reports.build_report(build, found))
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
    return found


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
    sights = resources.discovered_paths(roots)
    draft = forms.places_form(draft, sights, started, roots)
    settings_place = st.container()
    forms.roots_note(roots, sights)
    in_use = st.container()
    st.subheader("Dataset and model summary")
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
    with settings_place:
        report = weights.report if weights else None
        is_open = report is not None and leaves_stride_open(report.source)
        settled = forms.settings_form(draft, report.config.stride if report else None, is_open)
    workspace_choice.save_draft(settled)
    if settled.stride != draft.stride:
        st.rerun()
    with in_use:
        in_use_line(settled)
    if dataset is None or weights is None:
        return
    st.subheader("Is the gallery memory up to date?")
    found = memory_section(settled, places, roots, dataset, weights)
    if found is not None and found.status is MemoryStatus.FITS:
        st.subheader("Gallery map")
        workspace = resources.workspace(places, settled.device, roots if settled.data else ())
        gallery_map.gallery(workspace, settled.variant)


run_page(page)

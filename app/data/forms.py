"""The widgets of the Data page that compose a choice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import streamlit as st

from app.messages import escape_markdown
from app.session.view import plain_name
from app.session.workspace_choice import DRAFT, STRIDES, WorkspaceChoice, display_name
from fpc_core.config import Variant
from fpc_core.workspace import Places, devices
from fpc_core.workspace.allowed_roots import DiscoveredPaths, OutsideRootsError, Root, name_of, resolve


def roots_note(roots: Sequence[Root], sights: DiscoveredPaths) -> None:
    """Which folders are offered, and how to offer others."""
    labels = ", ".join(f"**{escape_markdown(root.label)}**" for root in roots if root.label not in sights.absent)
    st.caption(
        f"You can choose from these folders: {labels}. To add your own, start the app with "
        "`FPC_ROOTS=/path/one:/path/two`. If a folder isn't listed, type its path."
    )
    gone = [root.label for root in roots if root.label in sights.absent and root.label != "cache"]
    if gone:
        st.caption(f":material/warning: No such folder: {escape_markdown(', '.join(gone))}.")
    if sights.skipped:
        counted = "1 name is" if sights.skipped == 1 else f"{sights.skipped:,} names are"
        st.caption(f":material/warning: {counted} not listed because they are not valid UTF-8. Rename the files.")
    if not sights.complete:
        st.caption(":material/more_horiz: Not all sub-folders are listed; type a path to use another one.")


def places_form(
    draft: WorkspaceChoice, sights: DiscoveredPaths, started: Places, roots: Sequence[Root]
) -> WorkspaceChoice:
    """Data, weights and memory of the draft, chosen from lists or typed."""
    data, weights, memory = st.columns(3, gap="medium")
    with data:
        data_name = _place(
            "Dataset",
            "data",
            draft.data,
            sights.datasets,
            _start(started.data, roots),
            roots,
            "A dataset folder (Market-1501, DukeMTMC, …) or a plain folder with one sub-folder per person.",
        )
    with weights:
        weights_name = _place(
            "Checkpoint",
            "weights",
            draft.weights,
            sights.checkpoints,
            _start(started.weights, roots),
            roots,
            "FPC, TransReID or timm checkpoint, or a safetensors file. Loading is safe: no code in the file is run.",
        )
    with memory:
        memory_name = _place(
            "Gallery memory",
            "memory",
            draft.memory,
            sights.memories,
            "automatic (matches dataset and weights)",
            roots,
            "A folder. Type a new name to build it there, such as sets/memory-1. Otherwise it is built in the "
            "cache folder.",
        )
    return replace(draft, data=data_name, weights=weights_name, memory=memory_name)


def settings_form(draft: WorkspaceChoice, stride: int | None, is_open: bool) -> WorkspaceChoice:
    """Device, stride and variant. stride: what the weights say, None where they cannot be read; is_open: or leave."""
    device, patches, variant = st.columns(3, gap="medium")
    with device:
        device_name = st.selectbox(
            "Device",
            devices(),
            devices().index(draft.device),
            key=f"{DRAFT}device",
            help='"auto" uses the GPU if available.',
        )
    with patches:
        if is_open:
            chosen = st.selectbox(
                "Patch stride",
                STRIDES,
                STRIDES.index(draft.stride or 16),
                key=f"{DRAFT}stride",
                help="This checkpoint allows any stride: its position embeddings are resized.",
            )
            stride_wanted = None if chosen == 16 else chosen
        else:
            st.selectbox(
                "Patch stride",
                ["–" if stride is None else f"{stride}, as trained"],
                disabled=True,
                help="Fixed by this checkpoint (can be changed only for a plain ViT).",
            )
            stride_wanted = None
    with variant:
        way = st.selectbox(
            "Default variant",
            list(Variant),
            list(Variant).index(draft.variant),
            format_func=plain_name,
            key=f"{DRAFT}variant",
            help="Follow the paper or the released code where they differ.",
        )
    return replace(draft, device=device_name, stride=stride_wanted, variant=way or draft.variant)


def _place(
    label: str, field: str, current: str, found: Sequence[str], usual: str, roots: Sequence[Root], text: str
) -> str:
    """One name of a place. usual: what the empty choice stands for."""
    typed = st.session_state.get(f"{DRAFT}{field}") or ""
    options = list(dict.fromkeys(["", *(name for name in found if usual != _start_of(name)), current, typed]))
    chosen = st.selectbox(
        label,
        options,
        options.index(current),
        format_func=lambda name: name or usual,
        key=f"{DRAFT}{field}",
        accept_new_options=True,
        help=text,
        placeholder="choose or type",
    )
    return _tidy(chosen or "", roots)


def _tidy(text: str, roots: Sequence[Root]) -> str:
    """The name of a typed place; the text itself where it has none, for the message."""
    try:
        return name_of(resolve(text, roots), roots) if text else ""
    except OutsideRootsError:
        return text


def _start(place: Path, roots: Sequence[Root]) -> str:
    return _start_of(display_name(place, roots))


def _start_of(name: str) -> str:
    return f"{name} (default)"

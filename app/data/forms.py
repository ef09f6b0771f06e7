"""Widgets of the Data page that edit the draft (see `app/session/workspace_choice.py`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import streamlit as st

from app.messages import escape_markdown, show_error
from app.session.view import plain_name
from app.session.workspace_choice import DRAFT, STRIDES, WorkspaceChoice, display_name
from fpc_core.config import Variant
from fpc_core.data.protocols import AUTO, Cameras, Protocol
from fpc_core.model.families import Source
from fpc_core.model.load_report import LoadReport
from fpc_core.model.positions import IMAGE_SIZES, format_size, parse_size
from fpc_core.workspace import Places, devices
from fpc_core.workspace.allowed_roots import DiscoveredPaths, OutsideRootsError, Root, name_of, resolve

HEADS = (3, 4, 6, 8, 12, 16)  # Usual numbers of attention heads.
PROTOCOL_NAMES = {
    AUTO: "automatic",
    Protocol.CAMERAS: "with cameras (junk rule)",
    Protocol.NO_CAMERAS: "without cameras",
    Protocol.LEAVE_ONE_OUT: "leave-one-out (no split)",
}
CAMERA_NAMES = {
    AUTO: "automatic",
    Cameras.NAMES: "from file names",
    Cameras.FROM_0: "from file names, counted from 0",
    Cameras.FROM_1: "from file names, counted from 1",
    Cameras.RELEASED: "query 1, gallery 2 (released code)",
    Cameras.NONE: "none (mean camera embedding)",
}


def roots_note(roots: Sequence[Root], discovered: DiscoveredPaths) -> None:
    """Render the folders that the visitor can choose from, and how to add others.

    Args:
        roots: Allowed folders.
        discovered: Files and folders found in them.
    """
    labels = ", ".join(f"**{escape_markdown(root.label)}**" for root in roots if root.label not in discovered.absent)
    st.caption(
        f"You can choose from these folders: {labels}. To add your own, start the app with "
        "`FPC_ROOTS=/path/one:/path/two`. If a folder isn't listed, type its path."
    )
    missing = [root.label for root in roots if root.label in discovered.absent and root.label != "cache"]
    if missing:
        st.caption(f":material/warning: These folders do not exist: {escape_markdown(', '.join(missing))}.")
    if discovered.skipped:
        counted = "1 name is" if discovered.skipped == 1 else f"{discovered.skipped:,} names are"
        st.caption(f":material/warning: {counted} not listed (invalid UTF-8). Rename the files to use them.")
    if not discovered.complete:
        st.caption(":material/more_horiz: Not all sub-folders are listed; type a path to use another one.")


def places_form(
    draft: WorkspaceChoice, discovered: DiscoveredPaths, started: Places, roots: Sequence[Root]
) -> WorkspaceChoice:
    """Render fields for dataset, weights and gallery memory, and return the changed draft.

    Args:
        draft: Draft to change.
        discovered: Datasets, weights and gallery memories to choose from.
        started: Paths set at startup, which are the defaults.
        roots: Allowed folders.
    """
    data, weights, memory = st.columns(3, gap="medium")
    with data:
        data_name = _path_field(
            "Dataset",
            "data",
            draft.data,
            discovered.datasets,
            display_name(started.data, roots),
            roots,
            "A dataset folder (Market-1501, DukeMTMC, …) or a folder with one sub-folder per person.",
        )
    with weights:
        weights_name = _path_field(
            "Checkpoint",
            "weights",
            draft.weights,
            discovered.checkpoints,
            display_name(started.weights, roots),
            roots,
            "FPC, TransReID or timm checkpoint, or a safetensors file. Loading is safe: no code in the file is run.",
        )
    with memory:
        memory_name = _path_field(
            "Gallery memory",
            "memory",
            draft.memory,
            discovered.memories,
            "automatic (matches dataset and weights)",
            roots,
            "A folder. Type a new name to build it there, such as sets/memory-1. Otherwise it is built in the "
            "cache folder.",
        )
    return replace(draft, data=data_name, weights=weights_name, memory=memory_name)


def settings_form(draft: WorkspaceChoice) -> WorkspaceChoice:
    """Render fields for device, variant, protocol and cameras, and return the changed draft."""
    device, variant = st.columns(2, gap="medium")
    with device:
        device_name = st.selectbox(
            "Device",
            devices(),
            devices().index(draft.device),
            key=f"{DRAFT}device",
            help='"auto" uses the GPU if available.',
        )
    with variant:
        variant_choice = st.selectbox(
            "Default variant",
            list(Variant),
            list(Variant).index(draft.variant),
            format_func=plain_name,
            key=f"{DRAFT}variant",
            help="Follow the paper or the released code where they differ.",
        )
    protocol, cameras, _ = st.columns(3, gap="medium")
    with protocol:
        protocol_choice = _option_field(
            "Protocol",
            "protocol",
            draft.protocol,
            PROTOCOL_NAMES,
            'Which gallery images count for a query. "automatic" follows the layout and camera labels of the dataset.',
        )
    with cameras:
        camera_choice = _option_field(
            "Cameras",
            "cameras",
            draft.cameras,
            CAMERA_NAMES,
            "Where camera numbers come from. The gallery memory must be built with the same choice.",
        )
    return replace(
        draft,
        device=device_name,
        variant=variant_choice or draft.variant,
        protocol=protocol_choice,
        cameras=camera_choice,
    )


def weights_form(draft: WorkspaceChoice, report: LoadReport | None) -> WorkspaceChoice:
    """Render fields for what a checkpoint may not determine, and return the changed draft.

    Args:
        draft: Draft to change.
        report: Report on the weights, or None if they cannot be read with the settings of the draft.
    """
    fixed = report is not None and report.source is Source.OWN and draft.image_size == "" and draft.heads is None
    fixed = fixed and draft.stride is None
    config = report.config if report else None
    read = {
        "size": f"from the checkpoint ({format_size(config.image_size)})" if config else "from the checkpoint",
        "stride": f"from the checkpoint ({config.stride})" if config else "from the checkpoint",
        "heads": f"from the checkpoint ({config.heads})" if config else "from the checkpoint",
    }
    size, stride, heads, camera = st.columns(4, gap="medium", vertical_alignment="bottom")
    why_fixed = " This checkpoint states it." if fixed else ""
    with size:
        typed = st.session_state.get(f"{DRAFT}size") or ""
        sizes = list(dict.fromkeys(["", *map(format_size, IMAGE_SIZES), draft.image_size, typed]))
        chosen_size = st.selectbox(
            "Image size",
            sizes,
            sizes.index(draft.image_size),
            format_func=lambda name: name or read["size"],
            key=f"{DRAFT}size",
            accept_new_options=True,
            disabled=fixed,
            help=f"Height x width in pixels that the weights were trained with, if several fit.{why_fixed}",
        )
    with stride:
        chosen_stride = _number_field(
            "Patch stride",
            "stride",
            [*sorted(STRIDES), draft.stride],
            draft.stride,
            read["stride"],
            fixed,
            "Stride of the patches in pixels. A plain ViT allows any stride, with resized position embeddings."
            f"{why_fixed}",
        )
    with heads:
        chosen_heads = _number_field(
            "Attention heads",
            "heads",
            [*HEADS, draft.heads],
            draft.heads,
            read["heads"],
            fixed,
            f"Needed for weights of an unusual width.{why_fixed}",
        )
    with camera:
        mean_camera = st.checkbox(
            "Mean camera embedding",
            draft.mean_camera,
            key=f"{DRAFT}camera",
            help="Give every image the mean camera embedding, for data with other cameras than the weights.",
        )
    try:
        image_size = format_size(parse_size(chosen_size)) if chosen_size else ""
    except ValueError as error:
        show_error(error)
        image_size = draft.image_size
    return replace(draft, image_size=image_size, stride=chosen_stride, heads=chosen_heads, mean_camera=mean_camera)


def _number_field(
    label: str, field: str, numbers: Sequence[int | None], current: int | None, unset: str, fixed: bool, text: str
) -> int | None:
    """Render a field that offers numbers, and return the chosen one, or None for the number in the checkpoint.

    Args:
        label: Label of the field.
        field: Suffix of the widget key.
        numbers: Numbers to offer.
        current: Number in the draft.
        unset: Text of the option None.
        fixed: Whether the field is disabled.
        text: Help text.
    """
    options = list(dict.fromkeys([None, *numbers]))
    return st.selectbox(
        label,
        options,
        options.index(current),
        format_func=lambda each: unset if each is None else str(each),
        key=f"{DRAFT}{field}",
        disabled=fixed,
        help=text,
    )


def _option_field(label: str, field: str, current: str, names: Mapping[str, str], text: str) -> str:
    """Render a field with fixed options, and return the key of the chosen one.

    Args:
        label: Label of the field.
        field: Suffix of the widget key.
        current: Key in the draft.
        names: Displayed name of each option, by key.
        text: Help text.
    """
    options = list(names)
    chosen = st.selectbox(
        label, options, options.index(current), key=f"{DRAFT}{field}", format_func=names.__getitem__, help=text
    )
    return chosen or current


def _path_field(
    label: str, field: str, current: str, names: Sequence[str], default: str, roots: Sequence[Root], text: str
) -> str:
    """Render a field in which a name can be chosen or typed, and return the name, which is empty for the default.

    Args:
        label: Label of the field.
        field: Suffix of the widget key.
        current: Name in the draft.
        names: Names to offer.
        default: Displayed name of the default.
        roots: Allowed folders.
        text: Help text.
    """
    key = f"{DRAFT}{field}"
    options = list(dict.fromkeys(["", *(name for name in names if name != default), current]))

    def select_existing() -> None:
        """Select the existing option if the visitor typed its name or path, so that the list has it only once."""
        name = _to_name(st.session_state.get(key) or "", roots)
        st.session_state[key] = "" if name == default else name

    typed = st.session_state.get(key) or ""
    chosen = st.selectbox(
        label,
        list(dict.fromkeys([*options, typed])),
        options.index(current),
        format_func=lambda name: name or default,
        key=key,
        accept_new_options=True,
        on_change=select_existing,
        help=f"{text} Default: {escape_markdown(default)}.",
        placeholder="choose or type",
    )
    return _to_name(chosen or "", roots)


def _to_name(text: str, roots: Sequence[Root]) -> str:
    """Return the name of a typed path. A path outside the roots is returned unchanged, so that an error can show it.

    Args:
        text: Name or path; empty for the default.
        roots: Allowed folders.
    """
    try:
        return name_of(resolve(text, roots), roots) if text else ""
    except OutsideRootsError:
        return text

"""Status line of a page: the dataset, weights, variant and device in use."""

from __future__ import annotations

import streamlit as st

from app.messages import escape_markdown, show_warning
from app.session.view import plain_name
from fpc_core.config import QuerySettings, Variant
from fpc_core.data.layouts.registry import spec_of
from fpc_core.data.protocols import Cameras
from fpc_core.workspace import PersonalWorkspace, Workspace


def status_line(workspace: Workspace, *settings: QuerySettings, other: Workspace | None = None) -> None:
    """Render a line with the dataset, weights, variants and device in use, and warnings about the dataset.

    Args:
        workspace: Workspace with the dataset and the weights.
        settings: Query settings in use.
        other: Workspace of side B of a comparison, if it has other weights.
    """
    dataset = workspace.dataset
    synthetic = ":orange-badge[SYNTHETIC] " if dataset.synthetic else ""
    images = len(dataset.gallery)
    own = isinstance(workspace, PersonalWorkspace)
    counts = f"{len(dataset.query)} queries" + ("" if own else f", {images} gallery images")
    data = f"{synthetic}{escape_markdown(dataset.name)} ({counts})"
    if own:
        data += f" · **Gallery** yours ({images} image{'s' if images > 1 else ''})"
    weights = _weights_text(workspace)
    if other is not None:
        weights = f"A {weights}, B {_weights_text(other)}"
    variants_in_use = dict.fromkeys(each.variant for each in settings)
    variants = [plain_name(each) for each in variants_in_use]
    with st.container(key="status"):
        st.markdown(
            f"**Data** {data} · **Weights** {weights} · **Variant** {' and '.join(variants)} · "
            f"**Device** {workspace.device_label.replace(workspace.device.type, workspace.device.type.upper())}"
        )
        for note in workspace.notes:
            st.caption(f":material/warning: {escape_markdown(f'A: {note}' if other else note, 600)}")
    for remark in dataset.notes:
        if remark.warning:
            show_warning(remark.text)
    spec = spec_of(dataset.layout)
    if spec and spec.released_cameras and dataset.cameras is Cameras.NONE and Variant.RELEASED in variants_in_use:
        st.caption(
            "The model receives no camera numbers for this dataset. The released code assigns camera 1 to queries and "
            "camera 2 to gallery images. To follow it, see Cameras on the Data page."
        )


def _weights_text(workspace: Workspace) -> str:
    """Return the file name, the start of the fingerprint and the width of the weights, as Markdown."""
    provenance = workspace.retriever.memory.fingerprint
    made_by = provenance.weights[:8] if provenance else ""
    width = workspace.retriever.model.config.width
    return f"{escape_markdown(workspace.places.weights.name)} {made_by} ({width} channels)"

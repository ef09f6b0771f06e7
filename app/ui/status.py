"""Status line of a page, and a strip of query thumbnails to choose from."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from app.components.cards import cards
from app.messages import escape_markdown, show_warning
from app.server import resources
from app.session.uploads import stored_uploads
from app.session.view import plain_name
from fpc_core.config import QuerySettings, Variant
from fpc_core.data.browser_encoding import data_uri
from fpc_core.data.datasets import ImageRecord
from fpc_core.data.layouts.registry import spec_of
from fpc_core.data.protocols import Cameras
from fpc_core.explain.cards import Card, Strip, camera_name, identity_label
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


def render_examples(workspace: Workspace, chosen: str, on_pick: Callable[[str], None]) -> None:
    """Render the example queries of the dataset, if it has any.

    Args:
        workspace: Workspace with the dataset.
        chosen: Path of the selected query.
        on_pick: Callback that receives the path of a clicked query.
    """
    examples = {example.title: example for example in workspace.dataset.examples}
    if not examples:
        return
    current = next((title for title, example in examples.items() if example.query == chosen), None)
    # The pills follow the query, which other widgets select too.
    st.session_state["example"] = current

    def pick() -> None:
        if title := st.session_state["example"]:
            on_pick(examples[title].query)

    st.pills("Examples", list(examples), key="example", format_func=escape_markdown, on_change=pick)
    if current and examples[current].story:
        st.caption(escape_markdown(examples[current].story))


def query_strip(
    workspace: Workspace,
    records: list[ImageRecord],
    chosen: str,
    on_pick: Callable[[str], None],
    *,
    compact: bool = False,
    width: str = "80px",
) -> None:
    """Render a strip of query thumbnails. The visitor's own images are the first ones.

    Args:
        workspace: Workspace with the dataset.
        records: Queries of the dataset to show.
        chosen: Path of the selected query.
        on_pick: Callback that receives the path of a clicked query.
        compact: Whether only one line is shown below a thumbnail: the person or, for an own image, its name.
        width: Width of a thumbnail, as a CSS length.
    """
    images, strip_cards = {}, []
    for upload in stored_uploads(workspace.retriever.model.config.image_size):
        key = upload.query
        images[key] = data_uri(upload.image)
        lines = () if compact else ("your image",)
        selected = key == chosen
        strip_cards.append(Card(key, key, upload.name, lines, alt=f"query, {key}", selected=selected, hint=upload.name))
    for record in records:
        key = record.path.as_posix()
        images[key] = resources.thumbnail(workspace, record)
        strip_cards.append(
            Card(
                key,
                key,
                f"{record.person or record.identity}" if compact else f"Person {record.person or record.identity}",
                () if compact else (f"camera {camera_name(record.camera)}",),
                alt=f"query, {identity_label(record)}",
                selected=key == chosen,
            )
        )
    cards([Strip("queries", "", tuple(strip_cards))], images, key="query-cards", on_pick=on_pick, width=width)

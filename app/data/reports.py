"""Sections of the Data page with details of dataset, weights and gallery memory."""

from __future__ import annotations

from collections import Counter

import pandas as pd
import streamlit as st

from app.messages import escape_markdown, show_warning
from app.server.background_job import JobState, JobStatus
from app.server.data_jobs import BuildJob, ImageCheckJob
from app.server.downloads import on_demand
from app.ui.progress import format_time_left
from fpc_core.data.datasets import Dataset
from fpc_core.data.inventory import Inventory
from fpc_core.data.protocols import PROTOCOL_TEXT
from fpc_core.workspace.inspect import MemoryInfo, MemoryStatus, WeightsInfo

MAX_LISTED = 8  # Maximum number of rows of a list on the page; the download contains all.
DIFFERS = {
    "weights": "other weights or another precision",
    "settings": "other model settings",
    "files": "other image files",
}


def data_report(dataset: Dataset, inventory: Inventory) -> None:
    """Render the splits of a dataset, and which images the evaluation protocol excludes.

    Args:
        dataset: Dataset to describe.
        inventory: Counts and excluded images of the dataset.
    """
    label = ":orange-badge[SYNTHETIC] " if dataset.synthetic else ""
    st.markdown(
        f"{label}**{escape_markdown(dataset.name)}** · layout {escape_markdown(dataset.layout)}, "
        f"{'with' if dataset.uses_cameras else 'no'} camera labels"
    )
    st.caption(f"Protocol {escape_markdown(PROTOCOL_TEXT[dataset.protocol], 300)}.")
    if dataset.note:
        st.caption(escape_markdown(dataset.note, 300))
    st.table(
        {
            "split": [count.split for count in inventory.splits],
            "images": [f"{count.images:,}" for count in inventory.splits],
            "identities": [f"{count.identities:,}" for count in inventory.splits],
            "cameras": [", ".join(map(str, count.cameras)) or "–" for count in inventory.splits],
        }
    )
    skipped = Counter(each.reason for each in dataset.left_out)
    without_match = len(inventory.without_match)
    facts = [
        (inventory.distractors, "distractors in the gallery (identity 0)"),
        (inventory.without_query, "gallery images show people without a query (distractors)"),
        (inventory.junk, "gallery images are excluded for some query (same person, same camera)"),
        (inventory.left_out, "images with identity −1 are ignored, as in the protocols"),
        (without_match, "queries without a correct match, excluded from scoring"),
        *((count, f"files skipped: {reason}") for reason, count in skipped.items()),
    ]
    st.markdown("\n".join(f"- **{count:,}** {text}" for count, text in facts if count) or "- All images are used")
    for note in dataset.notes:
        if note.warning:
            show_warning(note.text)
        else:
            st.caption(f":material/info: {escape_markdown(note.text, 400)}")
    for title, paths in (
        ("Queries without a correct match", inventory.without_match),
        ("Skipped names", inventory.skipped),
    ):
        if paths:
            with st.expander(f"{title} ({len(paths):,})"):
                _listing(pd.DataFrame({"file": [path.as_posix() for path in paths]}), title)


def image_report(check: ImageCheckJob) -> None:
    """Render the progress of the image check, and the broken images found so far."""
    status = check.status()
    with st.container(horizontal=True, vertical_alignment="center"):
        if status.active:
            text = f"{status.done:,} of {status.total:,} images checked{format_time_left(status)}"
            st.progress(status.done / status.total, text)
            st.button("Stop", icon=":material/stop_circle:", on_click=check.stop, key="stop-check")
        else:
            complete = status.done == status.total
            text = {0: "Not checked yet"}.get(status.done, f"{status.done:,} of {status.total:,} images checked")
            if st.button(
                "Check again" if complete else "Check all images for errors", icon=":material/fact_check:", key="check"
            ):
                check.start()
                st.rerun()
            st.markdown(f"{text}, no errors" if complete and not check.broken else text)
    if status.error:
        show_warning(f"The check stopped: {status.error}")
    if check.broken:
        broken = pd.DataFrame(
            {"file": [each.path.as_posix() for each in check.broken], "why": [each.why for each in check.broken]}
        )
        st.error(
            f"{len(broken):,} {'image' if len(broken) == 1 else 'images'} can't be read. Fix or remove them.",
            icon=":material/broken_image:",
        )
        _listing(broken, "Broken images")


def weights_report(info: WeightsInfo) -> None:
    """Render the contents of a checkpoint, and the tensors that were not loaded unchanged."""
    report = info.report
    stored = f" of {report.stored}" if report.stored else ""
    tensors = f"{report.loaded}{stored} tensors in use"
    st.markdown(f"**{escape_markdown(report.path.name)}** · {report.source.value} format, {tensors}")
    properties = {**report.architecture, "fingerprint": info.fingerprint[:16]}
    st.table({"what": list(properties), "is": list(properties.values())})
    for note in report.notes:
        st.warning(escape_markdown(note, 600), icon=":material/casino:")
    exceptions = "\n".join(f"- {escape_markdown(text, 400)}" for text in report.exceptions)
    st.markdown(exceptions or "- All tensors loaded")


def memory_report(info: MemoryInfo, name: str) -> None:
    """Render whether a gallery memory matches dataset and weights.

    Args:
        info: State of the gallery memory.
        name: Displayed name of its folder.
    """
    if info.left_out:
        with st.expander(f"Images left out of the gallery memory ({len(info.left_out):,})"):
            listed = {"file": [each.path for each in info.left_out], "why": [each.why for each in info.left_out]}
            _listing(pd.DataFrame(listed), "Left out images")
    size = f"{info.images:,} images, {info.size / 1e6:,.1f} MB"
    where = f"`{name.replace('`', '')}`"
    if info.status is MemoryStatus.FITS:
        st.success(
            f"The gallery memory {where} matches this dataset and these weights ({size}).",
            icon=":material/check_circle:",
        )
    elif info.status is MemoryStatus.OTHER:
        differs = " and ".join(DIFFERS[each] for each in info.differs)
        st.warning(
            f"The gallery memory {where} was built with {differs}. Rebuilding replaces it.", icon=":material/sync:"
        )
    elif info.status is MemoryStatus.UNFINISHED:
        st.info(
            f"The gallery memory {where} is unfinished: {info.done:,} of {info.images:,} images.",
            icon=":material/pending:",
        )
    elif info.status is MemoryStatus.MISSING:
        st.info(f"There is no gallery memory {where} yet. Building it will encode {size}.", icon=":material/database:")
    else:
        show_warning(info.why)


def build_report(build: BuildJob, info: MemoryInfo) -> None:
    """Render the progress of a build, with a button to start, resume or cancel it.

    Args:
        build: Job that builds the gallery memory.
        info: State of the gallery memory.
    """
    status = build.status()
    with st.container(horizontal=True, vertical_alignment="center"):
        if status.active:
            st.progress(status.done / status.total, _build_text(status))
            st.button(
                "Cancel",
                icon=":material/stop_circle:",
                on_click=build.stop,
                key="stop-build",
                help="Progress is saved and can be resumed. This stops the build for all users waiting for it.",
            )
        else:
            done = max(status.done, info.done)
            label = f"Resume from {done:,} of {status.total:,}" if done else "Build gallery memory"
            if st.button(label, icon=":material/play_arrow:", type="primary", key="build"):
                build.start()
                st.rerun()  # Polling starts with the next run of the whole page.
    if status.error:
        show_warning(f"Building stopped: {status.error}")
        if build.unreadable and st.button(
            "Build without unreadable images",
            icon=":material/playlist_remove:",
            key="build-readable",
            help="Checks every image and leaves out those that cannot be read. The gallery memory lists them.",
        ):
            build.start_without_unreadable()
            st.rerun()


def _build_text(status: JobStatus) -> str:
    if status.state is JobState.WAITING:
        return "Waiting for another job to finish"
    if status.seconds_left is None:  # No image is encoded yet.
        return "Reading the weights"
    return f"{status.done:,} of {status.total:,} images encoded{format_time_left(status)}"


def _listing(table: pd.DataFrame, title: str) -> None:
    """Render the first rows of a table, and a download of all rows.

    Args:
        table: Rows to list.
        title: Title from which the name of the file is made.
    """
    st.dataframe(table.head(MAX_LISTED), hide_index=True, width="stretch")
    if len(table) > MAX_LISTED:
        st.caption(f"Showing {MAX_LISTED} of {len(table):,}")
    file = title.lower().replace(" ", "-") + ".csv"
    st.download_button(
        "All as CSV",
        on_demand((file, id(table)), lambda: table.to_csv(index=False)),
        file,
        "text/csv",
        icon=":material/download:",
        key=file,
    )

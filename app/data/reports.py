"""The sections of the Data page that say what was found."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from app.messages import escape_markdown, show_warning
from app.server.data_jobs import BuildJob, ImageCheckJob
from app.server.downloads import on_demand
from app.server.jobs import JobState, JobStatus
from app.ui.progress import format_duration
from fpc_core.data.datasets import Dataset
from fpc_core.data.inventory import Inventory
from fpc_core.workspace.inspect import MemoryInfo, MemoryStatus, WeightsInfo

LISTED = 8  # file names of one kind on the page; all of them in the download
DIFFERS = {
    "weights": "other weights or another precision",
    "settings": "other model settings",
    "files": "other image files",
}


def data_report(dataset: Dataset, inventory: Inventory) -> None:
    """Splits, and what the protocol makes of the rest."""
    label = ":orange-badge[SYNTHETIC] " if dataset.synthetic else ""
    cameras = "with camera labels" if dataset.uses_cameras else "no camera labels (nothing is excluded from scoring)"
    st.markdown(
        f"{label}**{escape_markdown(dataset.name)}** · layout {escape_markdown(dataset.layout.value)}, {cameras}"
    )
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
    unanswered = len(inventory.without_match)
    facts = [
        (inventory.distractors, "distractors in the gallery (identity 0)"),
        (inventory.without_query, "gallery images show people without a query (distractors)"),
        (inventory.junk, "gallery images are excluded for some query (same person, same camera)"),
        (inventory.left_out, "images with identity −1 are ignored, as in the protocols"),
        (unanswered, "queries without a correct match, excluded from scoring"),
        (len(inventory.skipped), "files skipped: the name does not follow the layout or is not valid UTF-8"),
    ]
    st.markdown("\n".join(f"- **{count:,}** {text}" for count, text in facts if count) or "- All images are used")
    if dataset.queries_are_gallery:
        show_warning(
            "This folder has no separate query images. Each image will find itself first, so scores are not meaningful."
        )
    for title, paths in (
        ("Queries without a correct match", inventory.without_match),
        ("Skipped names", inventory.skipped),
    ):
        if paths:
            with st.expander(f"{title} ({len(paths):,})"):
                _listing(pd.DataFrame({"file": [path.as_posix() for path in paths]}), title)


def image_report(check: ImageCheckJob) -> None:
    """The check of all images: where it stands, and which are broken."""
    stand = check.status()
    with st.container(horizontal=True, vertical_alignment="center"):
        if stand.active:
            st.progress(stand.done / stand.total, f"{stand.done:,} of {stand.total:,} images checked{_left(stand)}")
            st.button("Stop", icon=":material/stop_circle:", on_click=check.stop, key="stop-check")
        else:
            whole = stand.done == stand.total
            words = {0: "Not checked yet"}.get(stand.done, f"{stand.done:,} of {stand.total:,} images checked")
            if st.button(
                "Check again" if whole else "Check all images for errors", icon=":material/fact_check:", key="check"
            ):
                check.start()
                st.rerun()
            st.markdown(f"{words}, no errors" if whole and not check.broken else words)
    if stand.error:
        show_warning(f"The check stopped: {stand.error}")
    if check.broken:
        broken = pd.DataFrame(
            {"file": [each.path.as_posix() for each in check.broken], "why": [each.why for each in check.broken]}
        )
        st.error(
            f"{len(broken):,} {'image' if len(broken) == 1 else 'images'} can't be read. Fix or remove them.",
            icon=":material/broken_image:",
        )
        _listing(broken, "Broken images")


def weights_report(found: WeightsInfo) -> None:
    """What came out of the checkpoint, exceptions first."""
    report, config = found.report, found.report.config
    st.markdown(
        f"**{escape_markdown(report.path.name)}** · {report.source.value} format, {report.loaded} tensors in use"
    )
    rows, columns = config.grid
    told = {
        "input": f"{config.image_size[0]} × {config.image_size[1]} pixels",
        "patches": f"{rows} × {columns} = {config.patches}, stride {config.stride}",
        "blocks": f"{config.depth} layers, {config.heads} heads, {config.width} channels",
        "cameras": str(config.cameras or "none"),
        "trained on": "–" if "classifier" in report.fresh else f"{config.identities:,} identities",
        "fingerprint": found.fingerprint[:16],
    }
    st.table({"what": list(told), "is": list(told.values())})
    if report.fresh:
        st.warning(
            f"Missing from the checkpoint and randomly initialised: {escape_markdown(report.fresh, 400)}. "
            "Train before relying on results.",
            icon=":material/casino:",
        )
    exceptions = []
    if report.resized:
        (high, wide), (new_high, new_wide) = report.resized
        exceptions.append(f"position embedding resized from {high} × {wide} to {new_high} × {new_wide}")
    exceptions += [f"{name}: {text}" for name, text in (("copied", report.copied), ("ignored", report.ignored)) if text]
    st.markdown("\n".join(f"- {escape_markdown(text, 400)}" for text in exceptions) or "- All tensors loaded")


def memory_report(found: MemoryInfo, name: str) -> None:
    """Whether the memory belongs to data and weights."""
    size = f"{found.images:,} images, {found.size / 1e6:,.1f} MB"
    where = f"`{name.replace('`', '')}`"
    if found.status is MemoryStatus.FITS:
        st.success(
            f"The gallery memory {where} matches this dataset and these weights ({size}).",
            icon=":material/check_circle:",
        )
    elif found.status is MemoryStatus.OTHER:
        differs = " and ".join(DIFFERS[each] for each in found.differs)
        st.warning(
            f"The gallery memory {where} was made from {differs}. Rebuilding replaces it.", icon=":material/sync:"
        )
    elif found.status is MemoryStatus.UNFINISHED:
        st.info(
            f"The gallery memory {where} is unfinished: {found.done:,} of {found.images:,} images.",
            icon=":material/pending:",
        )
    elif found.status is MemoryStatus.MISSING:
        st.info(f"There is no gallery memory {where} yet. Building it will encode {size}.", icon=":material/database:")
    else:
        show_warning(found.why)


def build_report(build: BuildJob, found: MemoryInfo) -> None:
    """The build: where it stands, with the one button that makes sense."""
    stand = build.status()
    with st.container(horizontal=True, vertical_alignment="center"):
        if stand.active:
            st.progress(stand.done / stand.total, _standing(stand))
            st.button(
                "Cancel",
                icon=":material/stop_circle:",
                on_click=build.stop,
                key="stop-build",
                help="Progress is saved and can be resumed. This stops the job for all users waiting for it.",
            )
        else:
            done = max(stand.done, found.done)
            label = f"Resume from {done:,} of {stand.total:,}" if done else "Build gallery memory"
            if st.button(label, icon=":material/play_arrow:", type="primary", key="build"):
                build.start()
                st.rerun()  # the whole page, for only that sets off the polling
    if stand.error:
        show_warning(f"Building stopped: {stand.error}")


def _standing(stand: JobStatus) -> str:
    if stand.state is JobState.WAITING:
        return "Waiting for another job to finish"
    if stand.seconds_left is None:  # nothing is encoded yet
        return "reading the weights"
    return f"{stand.done:,} of {stand.total:,} images encoded{_left(stand)}"


def _left(stand: JobStatus) -> str:
    return "" if stand.seconds_left is None else f" · {format_duration(stand.seconds_left)} left"


def _listing(table: pd.DataFrame, title: str) -> None:
    """The first rows, and all of them to take home."""
    st.dataframe(table.head(LISTED), hide_index=True, width="stretch")
    if len(table) > LISTED:
        st.caption(f"{LISTED} of {len(table):,}")
    file = title.lower().replace(" ", "-") + ".csv"
    st.download_button(
        "All as CSV",
        on_demand((file, id(table)), lambda: table.to_csv(index=False)),
        file,
        "text/csv",
        icon=":material/download:",
        key=file,
    )

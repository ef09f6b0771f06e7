"""Widgets for a visitor's own image: the uploader, and the camera of the image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st

from app.messages import escape_markdown
from app.session import visitor
from app.ui.refused_file import forget_refusal, render_refusal, uploader_key

UPLOAD_MB = 20
UPLOADER = "upload"


@dataclass(frozen=True)
class Upload:
    """The name and the undecoded content of an uploaded file."""

    name: str
    data: bytes


def uploaded(on_empty: Callable[[], None]) -> Upload | None:
    """Render the uploader and return the uploaded file, or None; `on_empty` is called when the visitor removes it."""

    key = uploader_key(UPLOADER)

    def changed() -> None:
        forget_refusal(UPLOADER)
        if st.session_state.get(key) is None:
            on_empty()

    file = st.file_uploader(
        "Your own image",
        max_upload_size=UPLOAD_MB,
        key=key,
        on_change=changed,
        help=f"Upload an image of one person, cropped tightly (max. {UPLOAD_MB} MB). It stays in memory and is "
        "never saved.",
    )
    render_refusal(UPLOADER)
    return None if file is None else Upload(file.name, file.getvalue())


def render_stored_upload(name: str, on_remove: Callable[[], None]) -> None:
    """Render the name of an image that was uploaded on another page, with a button to remove it."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"Your image: {escape_markdown(name, 40)}")
        st.button("Remove", key="forget-upload", on_click=on_remove)


def camera(cameras: int, digest: str) -> int | None:
    """Render the choice of an upload's camera, and return its index from 0, or None if it is unknown.

    Every upload keeps its camera on all pages.

    Args:
        cameras: Number of cameras that the model knows.
        digest: Hash of the upload.
    """
    chosen = st.session_state.setdefault("upload-cameras", {})
    shown = (digest, visitor.page_run())  # The widget starts anew on every page.
    if "camera" not in st.session_state or st.session_state.get("camera-of") != shown:
        st.session_state["camera"], st.session_state["camera-of"] = chosen.get(digest, 0), shown
    number = st.selectbox(
        "Camera (if known)",
        range(cameras + 1),
        format_func=lambda number: str(number) if number else "unknown",
        key="camera",
        help='If you leave this at "unknown", the average of all camera embeddings is used.',
    )
    chosen[digest] = number
    return number - 1 if number else None

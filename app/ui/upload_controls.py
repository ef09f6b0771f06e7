"""Widgets for a visitor's own image: the uploader, and the camera of the image."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from app.components.file_drop import file_drop
from app.messages import escape_markdown
from app.session import visitor
from app.ui.refused_file import empty_uploader, forget_refusal, refuse, render_refusal, uploader_key
from fpc_core.data.images import MAX_BYTES, UPLOAD_FORMATS, ImageError

MAX_UPLOAD_MB = MAX_BYTES // 1_000_000  # Maximum size of a file in MB; Streamlit refuses larger ones.
UPLOADER = "upload"


def render_uploader(on_upload: Callable[[str, bytes], None]) -> None:
    """Render the uploader, which is emptied after every file.

    Args:
        on_upload: Callback that receives the name and the undecoded content of a file. If it raises an `ImageError`,
            the message is shown below the uploader.
    """
    key = uploader_key(UPLOADER)

    def changed() -> None:
        forget_refusal(UPLOADER)
        file = st.session_state.get(key)
        if file is None:
            return
        try:
            on_upload(file.name, file.getvalue())
        except ImageError as error:
            refuse(UPLOADER, str(error))
        else:
            empty_uploader(UPLOADER)

    st.file_uploader(
        "Your own image",
        max_upload_size=MAX_UPLOAD_MB,
        key=key,
        on_change=changed,
        help="Upload, drop or paste an image of one person, or a photo from which you cut out people. "
        f"Formats: {', '.join(UPLOAD_FORMATS)}; at most {MAX_UPLOAD_MB} MB. It stays in memory and is never saved. Its "
        "file name becomes part of the page's address.",
    )
    file_drop(UPLOADER)
    render_refusal(UPLOADER)


def render_upload_actions(name: str, on_remove: Callable[[], None], on_add: Callable[[], None], added: bool) -> None:
    """Render the name of the selected upload, and buttons that remove it or add it to the own gallery.

    Args:
        name: Name of the upload.
        on_remove: Callback that removes the upload.
        on_add: Callback that adds the upload to the gallery.
        added: Whether the gallery already has the upload.
    """
    st.caption(escape_markdown(name, 40))
    with st.container(horizontal=True, gap="xsmall"):
        st.button("Remove", key="forget-upload", on_click=on_remove)
        st.button(
            "Add to gallery",
            key="add-to-gallery",
            on_click=on_add,
            disabled=added,
            help="Searches your gallery instead of the dataset's, so that you can compare your own images.",
        )


def camera(cameras: int, digest: str) -> int | None:
    """Render the choice of an upload's camera, and return its index from 0, or None if it is unknown.

    Every upload keeps its camera on all pages.

    Args:
        cameras: Number of cameras that the model was trained with.
        digest: Hash of the upload.
    """
    chosen = st.session_state.setdefault("upload-cameras", {})
    shown = (digest, visitor.page_run())  # Every page creates its own widget, which must be set.
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

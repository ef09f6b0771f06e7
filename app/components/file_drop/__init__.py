"""Let the visitor drop or paste an image anywhere on the page, not only on the uploader."""

from __future__ import annotations

import streamlit as st

from app.components import source

_mount = st.components.v2.component(
    "fpc_file_drop", html="<div></div>", js=source("file_drop/dropped_files.js", "file_drop/file_drop.js")
)


def file_drop(uploader: str) -> None:
    """Mount the invisible component, which hands files to Streamlit's own uploader; no file passes through messages.

    Args:
        uploader: Key of the uploader; "-" and a number may follow it, as in `refused_file.uploader_key`.
    """
    _mount(key="file-drop", data={"uploader": uploader})

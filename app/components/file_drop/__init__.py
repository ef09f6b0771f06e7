"""Let the visitor drop or paste an image anywhere on the page, not only on the uploader."""

from __future__ import annotations

import streamlit as st

from app.components import source

_mount = st.components.v2.component(
    "fpc_file_drop", html="<div></div>", js=source("file_drop/dropped_files.js", "file_drop/file_drop.js")
)


def file_drop(uploader: str) -> None:
    """Mount the invisible component. It passes files to Streamlit's own uploader and sends none to the server itself.

    Args:
        uploader: Key of the uploader, to which `refused_file.uploader_key` may add "-" and a number.
    """
    _mount(key="file-drop", data={"uploader": uploader})

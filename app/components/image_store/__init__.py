"""Invisible component that sends images to the live views of the page, which can show any shortlisted image."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from app.components import source

_mount = st.components.v2.component(
    "fpc_image_store", js=source("_shared/dom.js", "_shared/live_store.js", "image_store/image_store.js")
)


def image_store(images: Mapping[str, str], *, key: str) -> None:
    """Send images to the browser.

    Args:
        images: Data URIs by image key.
        key: Key of the component.
    """
    _mount(key=key, data=dict(images), height=1)

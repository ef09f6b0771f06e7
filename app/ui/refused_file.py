"""Helpers for uploaders: empty an uploader, for example after a refused file, and show below it why it was refused."""

from __future__ import annotations

import streamlit as st

from app.messages import show_warning


def uploader_key(name: str) -> str:
    """Return the key of the uploader with this name. It changes when the uploader is emptied."""
    count = st.session_state.get(f"{name}-emptied", 0)
    return f"{name}-{count}" if count else name


def empty_uploader(name: str) -> None:
    """Empty the uploader. Outside a callback, call `st.rerun` afterwards."""
    st.session_state[f"{name}-emptied"] = st.session_state.get(f"{name}-emptied", 0) + 1


def refuse(name: str, reason: str) -> None:
    """Empty the uploader and store the reason. Outside a callback, call `st.rerun` afterwards.

    Args:
        name: Name of the uploader.
        reason: Message for the visitor.
    """
    empty_uploader(name)
    st.session_state[f"{name}-reason"] = reason


def forget_refusal(name: str) -> None:
    """Delete the stored reason. Call it when the visitor uploads another file."""
    st.session_state.pop(f"{name}-reason", None)


def render_refusal(name: str) -> None:
    """Render why the last file was refused, if it was. Call it right after the uploader."""
    if reason := st.session_state.get(f"{name}-reason"):
        show_warning(reason)

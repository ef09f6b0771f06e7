"""Refused files of an uploader: the reason is shown below the uploader, which no longer lists the file."""

from __future__ import annotations

import streamlit as st

from app.messages import show_warning


def uploader_key(name: str) -> str:
    """Return the key of the uploader with this name. It changes with every refusal, which empties the uploader."""
    count = st.session_state.get(f"{name}-refusals", 0)
    return f"{name}-{count}" if count else name


def refuse(name: str, reason: str) -> None:
    """Empty the uploader and store the reason. Outside a callback, call `st.rerun` afterwards."""
    st.session_state[f"{name}-refusals"] = st.session_state.get(f"{name}-refusals", 0) + 1
    st.session_state[f"{name}-reason"] = reason


def forget_refusal(name: str) -> None:
    """Remove the reason. Call it when the visitor uploads another file."""
    st.session_state.pop(f"{name}-reason", None)


def render_refusal(name: str) -> None:
    """Render why the last file was refused, if it was. Call it right after the uploader."""
    if reason := st.session_state.get(f"{name}-reason"):
        show_warning(reason)

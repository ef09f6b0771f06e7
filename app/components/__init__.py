"""Streamlit components with their own HTML, CSS and JavaScript. Each has a Python module that mounts it."""

from pathlib import Path

_HERE = Path(__file__).parent


def source(*names: str) -> str:
    """Return the joined text of files, given by their paths relative to this folder."""
    return "\n".join((_HERE / name).read_text(encoding="utf-8") for name in names)

"""Browser components: HTML, CSS and JavaScript, each with a Python module."""

from pathlib import Path

_HERE = Path(__file__).parent


def source(*names: str) -> str:
    """Return the text of these files, relative to this folder, joined."""
    return "\n".join((_HERE / name).read_text(encoding="utf-8") for name in names)

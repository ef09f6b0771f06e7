"""Browser components: html, css and js beside one Python face each."""

from pathlib import Path

_HERE = Path(__file__).parent


def source(*names: str) -> str:
    """Return the text of these files, relative to this folder, one after another."""
    return "\n".join((_HERE / name).read_text(encoding="utf-8") for name in names)

"""Browser components: html, css and js beside one Python face each."""

from pathlib import Path

_HERE = Path(__file__).parent


def source(*names: str) -> str:
    """The text of these files, one after another: what components share stands in a file of its own."""
    return "\n".join((_HERE / name).read_text(encoding="utf-8") for name in names)

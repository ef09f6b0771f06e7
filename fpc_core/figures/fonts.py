"""Fonts that figures can use on this machine: TrueType only, because only that is embedded as Type 42."""

from __future__ import annotations

from functools import cache

from matplotlib.font_manager import FontProperties, findfont

from fpc_core.io.dataclass_json import RecipeError

SANS = ("DejaVu Sans", "Arial", "Helvetica", "Liberation Sans", "Noto Sans")
SERIF = ("DejaVu Serif", "STIXGeneral", "Times New Roman", "Liberation Serif", "Noto Serif")
"""DejaVu and STIX (Times-like) come with matplotlib, so recipes that use them give the same bytes everywhere."""


@cache
def fonts() -> tuple[str, ...]:
    """Return the fonts of SANS and SERIF that matplotlib finds on this machine."""
    return tuple(name for name in (*SANS, *SERIF) if _has(name))


def check_font(name: str) -> None:
    """Check that a font is installed; another one in its place would give other bytes.

    Raises:
        RecipeError: It is not.
    """
    if name not in fonts() and not _has(name):
        raise RecipeError(
            f"style.font {name[:60]!r} is not among the TrueType fonts of this machine; install it, or choose one of "
            f"{', '.join(fonts())}"
        )


def _has(name: str) -> bool:
    try:
        return findfont(FontProperties(family=[name]), fallback_to_default=False).endswith(".ttf")
    except ValueError:
        return False

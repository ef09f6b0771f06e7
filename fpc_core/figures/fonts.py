"""List the fonts that figures can use on this machine: TrueType fonts, because others cannot be embedded as Type 42."""

from __future__ import annotations

from functools import cache

from matplotlib.font_manager import FontProperties, findfont

from fpc_core.io.dataclass_json import RecipeError

SANS = ("DejaVu Sans", "Arial", "Helvetica", "Liberation Sans", "Noto Sans")
SERIF = ("DejaVu Serif", "STIXGeneral", "Times New Roman", "Liberation Serif", "Noto Serif")
"""Matplotlib includes DejaVu and STIX (Times-like), so recipes that use them give the same bytes on every machine."""


@cache
def fonts() -> tuple[str, ...]:
    """Return the fonts of SANS and SERIF that matplotlib finds on this machine."""
    return tuple(name for name in (*SANS, *SERIF) if _has(name))


def check_font(name: str) -> None:
    """Check that a font is installed, because a substitute would change the figure's bytes.

    Raises:
        RecipeError: The font is not installed.
    """
    if name not in fonts() and not _has(name):
        raise RecipeError(
            f"style.font {name[:60]!r} is not an installed TrueType font; install it, or choose one of "
            f"{', '.join(fonts())}"
        )


def _has(name: str) -> bool:
    try:
        return findfont(FontProperties(family=[name]), fallback_to_default=False).endswith(".ttf")
    except ValueError:
        return False

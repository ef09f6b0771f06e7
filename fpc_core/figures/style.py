"""Style of publication figures: widths, fonts and labels. `matplotlib_style` applies it."""

from __future__ import annotations

from dataclasses import dataclass

from fpc_core.bounds import bounded, check_bounds
from fpc_core.explain.overlay import PrunedStyle
from fpc_core.io.dataclass_json import RecipeError

WIDTHS = {"cvpr-column": 3.25, "cvpr-page": 6.875, "ieee-column": 3.5, "ieee-page": 7.16}  # Widths in inches.
LANGUAGES = ("en", "de", "fr")  # Languages that recipes of version 0.1.0 may name; labels are now always in English.


@dataclass(frozen=True)
class FigureStyle:
    """Size, fonts and labels of a figure.

    Attributes:
        width: Width of the figure, a key of WIDTHS.
        columns: Number of queries, or of panels with scores, side by side.
        font: Name of the font, one of `fonts.fonts()`.
        font_size: Font size in points.
        letters: Whether (a), (b), ... precede queries or panels.
        language: Has no effect; it allows recipes of version 0.1.0 to be read (see `FigureRecipe.notes`).
        pruned: How dropped patches are marked.
    """

    width: str = "cvpr-column"
    columns: int = bounded(1, 1, 8, label="style.columns")
    font: str = "DejaVu Sans"
    font_size: float = bounded(7.0, 4.0, 16.0, label="style.font_size")
    letters: bool = False
    language: str = "en"
    pruned: PrunedStyle = PrunedStyle.DIM

    def __post_init__(self) -> None:
        if self.width not in WIDTHS:
            raise RecipeError(f"style.width must be one of {', '.join(WIDTHS)}, got {self.width!r}")
        if self.language not in LANGUAGES:
            raise RecipeError(f"style.language must be one of {', '.join(LANGUAGES)}, got {self.language!r}")
        check_bounds(self, RecipeError)

"""Data of a lesson step, which the app and the exported file render."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fpc_core.lessons.sinkhorn_runs import Runs


@dataclass(frozen=True)
class Equation:
    """An equation in LaTeX.

    Attributes:
        source: Source of the equation, such as "Eq. 10".
        symbols: Equation with symbols.
        numbers: Lines of the equation with numbers in place of symbols.
    """

    source: str
    symbols: str
    numbers: tuple[str, ...]


@dataclass(frozen=True)
class Quiz:
    """A question to answer before the result is shown.

    Attributes:
        prompt: The question.
        choices: Possible answers.
        answer: Index of the right choice.
        reveal: Explanation of the right answer.
    """

    prompt: str
    choices: tuple[str, ...]
    answer: int
    reveal: str

    def __post_init__(self) -> None:
        if len(set(self.choices)) < 2 or len(set(self.choices)) != len(self.choices):
            raise ValueError(f"choices must be at least 2 different texts, got {self.choices}")
        if not 0 <= self.answer < len(self.choices):
            raise ValueError(f"answer must be the index of a choice in 0..{len(self.choices) - 1}, got {self.answer}")


Layers = tuple[tuple[str, np.ndarray], ...]


@dataclass(frozen=True, eq=False)
class Panel:
    """One image with values on its patch grid.

    Attributes:
        name: Heading of the panel.
        row: Row of the gallery image, or None for the query.
        layers: Names and (rows, columns) grids of values, NaN for missing patches; empty to show only the patch grid.
        descriptions: One description per patch.
    """

    name: str
    row: int | None
    layers: Layers
    descriptions: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class PatchMaps:
    """Panels that share one colour scale.

    Attributes:
        panels: Panels to show.
        label: Label of the colour scale.
        percent: Whether values are shown in percent.
        links: (M, N) values between the query's patches in `kept` and all gallery patches, shown for the selected query
            patch; None if there are none.
        kept: (M,) grid positions of the query's patches.
        start: Grid position of the query patch that is selected first, -1 for none.
    """

    panels: tuple[Panel, ...]
    label: str = ""
    percent: bool = False
    links: np.ndarray | None = None
    kept: np.ndarray | None = None
    start: int = -1

    @property
    def range(self) -> tuple[float, float]:
        """Ends of the colour scale: the smallest and the largest value for links, otherwise 0 and the largest value."""
        if self.links is not None:
            return float(self.links.min()), float(self.links.max())
        values = [float(np.nanmax(grid)) for panel in self.panels for _, grid in panel.layers]
        return 0.0, max(values, default=0.0)


@dataclass(frozen=True, eq=False)
class Step:
    """One step of the lesson.

    Attributes:
        key: Name of the step in links.
        title: Heading of the step.
        question: Question that the step answers.
        text: Explanation, in which ** encloses terms where they are introduced.
        today: Sentences about this query.
        equations: Equations with this query's numbers.
        quiz: Quiz of the step.
        maps: Patch maps to show, if any.
        runs: Sinkhorn iterations to show, if any.
    """

    key: str
    title: str
    question: str
    text: str
    today: str
    equations: tuple[Equation, ...]
    quiz: Quiz
    maps: PatchMaps | None = None
    runs: Runs | None = None


def choose_near(value: float, scale: Sequence[float]) -> int:
    """Return the index of the number whose ratio to a value is nearest to 1.

    Args:
        value: Value to compare with; zero counts as a very small number.
        scale: Positive numbers.
    """
    return int(np.abs(np.log(np.asarray(scale)) - np.log(max(value, 1e-12))).argmin())


def count_choices(right: int, others: Sequence[int], max_choices: int = 4) -> tuple[tuple[str, ...], int]:
    """Return different counts as choices of a quiz.

    Args:
        right: The right count.
        others: Wrong counts, preferred ones first; repeats are skipped.
        max_choices: Maximum number of choices.

    Returns:
        The choices as text in ascending order, and the index of the right one.
    """
    picked = [right]
    for other in others:
        if other not in picked and len(picked) < max_choices:
            picked.append(other)
    picked.sort()
    return tuple(f"{each:,}" for each in picked), picked.index(right)


def number(value: float, digits: int = 4) -> str:
    """Format a number with a fixed number of decimals and without a sign for zero.

    Args:
        value: Number to format.
        digits: Number of decimals.
    """
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text


def share(value: float, digits: int = 1) -> str:
    """Format a fraction in percent.

    Args:
        value: Fraction, 1 for 100%.
        digits: Number of decimals.
    """
    return f"{value:.{digits}%}"


def patch_name(position: int, columns: int) -> str:
    """Return the name of a patch in the app, such as "row 1, column 2".

    Args:
        position: Row-major grid position of the patch.
        columns: Number of columns of the grid.
    """
    return f"row {position // columns + 1}, column {position % columns + 1}"

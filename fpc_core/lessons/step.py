"""The parts of a lesson step, as plain values that the app and the exported file draw alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fpc_core.lessons.sinkhorn_runs import Runs


@dataclass(frozen=True)
class Equation:
    """An equation in LaTeX, once with symbols and once with numbers, and its source, such as "Eq. 10"."""

    source: str
    symbols: str
    numbers: tuple[str, ...]


@dataclass(frozen=True)
class Quiz:
    """A question to answer before seeing the result; `answer` is the index of the right choice, `reveal` the reason."""

    prompt: str
    choices: tuple[str, ...]
    answer: int
    reveal: str

    def __post_init__(self) -> None:
        if len(set(self.choices)) < 2 or len(set(self.choices)) != len(self.choices):
            raise ValueError(f"a question needs two or more different choices, not {self.choices}")
        if not 0 <= self.answer < len(self.choices):
            raise ValueError(f"the answer must be one of the {len(self.choices)} choices, not {self.answer}")


Layers = tuple[tuple[str, np.ndarray], ...]


@dataclass(frozen=True, eq=False)
class Panel:
    """One image under its patch grid.

    Attributes:
        name: Its heading.
        row: Row of the gallery image, None for the query.
        layers: Name and (rows, columns) grid of values, NaN for missing patches; none to show the patches themselves.
        descriptions: One sentence per patch.
    """

    name: str
    row: int | None
    layers: Layers
    descriptions: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class PatchMaps:
    """Panels on one colour scale.

    Attributes:
        panels: The images.
        label: Of the scale.
        percent: Whether values are shares.
        links: (M, N) values between the query's patches `kept` and all gallery patches, shown while a query patch is
            selected.
        kept: (M,) patches of the query.
        start: Query patch shown first, -1 for none.
    """

    panels: tuple[Panel, ...]
    label: str = ""
    percent: bool = False
    links: np.ndarray | None = None
    kept: np.ndarray | None = None
    start: int = -1

    @property
    def range(self) -> tuple[float, float]:
        """Ends of the colour scale: from 0 for shares, from the least value for links, to the largest."""
        if self.links is not None:
            return float(self.links.min()), float(self.links.max())
        values = [float(np.nanmax(grid)) for panel in self.panels for _, grid in panel.layers]
        return 0.0, max(values, default=0.0)


@dataclass(frozen=True, eq=False)
class Step:
    """One step of the lesson.

    Attributes:
        key: Its name in links.
        title: Its heading.
        question: What it answers.
        text: Plain sentences; a term is between ** where it is introduced.
        today: What happened to this query.
        equations: With this query's numbers.
        quiz: Its question.
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
    """Return the index of the number on an ascending positive scale that is nearest to `value` by ratio."""
    return int(np.abs(np.log(np.asarray(scale)) - np.log(max(value, 1e-12))).argmin())


def count_choices(right: int, others: Sequence[int], max_choices: int = 4) -> tuple[tuple[str, ...], int]:
    """Return different counts as ascending choices, and the index of the right one; `others` are best first."""
    picked = [right]
    for other in others:
        if other not in picked and len(picked) < max_choices:
            picked.append(other)
    picked.sort()
    return tuple(f"{each:,}" for each in picked), picked.index(right)


def number(value: float, digits: int = 4) -> str:
    """Format a number; zero has no sign."""
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text


def share(value: float, digits: int = 1) -> str:
    """Format a fraction in percent."""
    return f"{value:.{digits}%}"


def patch_name(position: int, columns: int) -> str:
    """Return the name of a patch, as in the browser's grids."""
    return f"row {position // columns + 1}, column {position % columns + 1}"

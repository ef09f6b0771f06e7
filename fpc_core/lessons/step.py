"""What one step of the lesson is made of. Plain values: the app and the exported file draw the same ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fpc_core.lessons.sinkhorn_runs import Runs


@dataclass(frozen=True)
class Equation:
    """symbols, numbers: LaTeX; `numbers` is the same with today's numbers, one line each.  source: as "Eq. 10"."""

    source: str
    symbols: str
    numbers: tuple[str, ...]


@dataclass(frozen=True)
class Quiz:
    """Predict, then see. answer: place of the right choice.  reveal: why, with the numbers."""

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

    row: of the gallery image in the memory, None for the query.  layers: name and (rows, columns) grid of values, NaN
    for a patch that is not there; none to show the patches themselves.  told: what is said of every patch.
    """

    name: str
    row: int | None
    layers: Layers
    told: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class PatchMaps:
    """Panels on one colour scale.

    label: of the scale.  percent: whether its values are shares.  links: (M, N) between the patches `kept` (M,) of the
    query and all patches of the gallery image: what its panel shows while a patch of the query is touched.  start: the
    query patch shown first, -1 for none.
    """

    panels: tuple[Panel, ...]
    label: str = ""
    percent: bool = False
    links: np.ndarray | None = None
    kept: np.ndarray | None = None
    start: int = -1

    @property
    def range(self) -> tuple[float, float]:
        """Of the colour scale: from 0 for shares, from the least value for links; to the largest."""
        if self.links is not None:
            return float(self.links.min()), float(self.links.max())
        values = [float(np.nanmax(grid)) for panel in self.panels for _, grid in panel.layers]
        return 0.0, max(values, default=0.0)


@dataclass(frozen=True, eq=False)
class Step:
    """One step.

    key: its name in links.  question: what it answers.  text: plain sentences; a term stands between ** where it is
    introduced.  today: what happened to this query, in a sentence or two.  maps, runs: for its picture, where what is
    drawn is not in the trace already.
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
    """The place of the number on an ascending positive scale that is nearest to `value` by ratio."""
    return int(np.abs(np.log(np.asarray(scale)) - np.log(max(value, 1e-12))).argmin())


def count_choices(right: int, others: Sequence[int], most: int = 4) -> tuple[tuple[str, ...], int]:
    """Different counts as choices, ascending, and the place of the right one. others: the best first."""
    picked = [right]
    for other in others:
        if other not in picked and len(picked) < most:
            picked.append(other)
    picked.sort()
    return tuple(f"{each:,}" for each in picked), picked.index(right)


def number(value: float, digits: int = 4) -> str:
    """A number in LaTeX or text; a zero has no sign."""
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text


def share(value: float, digits: int = 1) -> str:
    """A fraction in percent, as it is told."""
    return f"{value:.{digits}%}"


def place_name(position: int, columns: int) -> str:
    """As the browser's grids name a patch."""
    return f"row {position // columns + 1}, column {position % columns + 1}"

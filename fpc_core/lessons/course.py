"""The nine steps in order."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fpc_core.lessons import comparing, consolidating, deciding, seeing
from fpc_core.lessons.case import Case
from fpc_core.lessons.steps import Step

STEPS: Mapping[str, Callable[[Case], Step]] = {
    "patches": seeing.patches,
    "attention": seeing.attention,
    "dropping": seeing.dropping,
    "cost": comparing.cost,
    "weights": comparing.weights,
    "transport": deciding.transport,
    "distance": deciding.distance,
    "tokens": consolidating.tokens,
    "shares": consolidating.shares,
}


def lesson(case: Case) -> tuple[Step, ...]:
    """All nine, with the numbers of this case."""
    return tuple(build(case) for build in STEPS.values())

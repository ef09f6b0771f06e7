"""The ten steps of the lesson in order."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fpc_core.lessons import steps_by_hand, steps_cost, steps_decoder, steps_encoder, steps_transport
from fpc_core.lessons.context import LessonContext
from fpc_core.lessons.step import Step

STEPS: Mapping[str, Callable[[LessonContext], Step]] = {
    "patches": steps_encoder.patches,
    "attention": steps_encoder.attention,
    "dropping": steps_encoder.dropping,
    "cost": steps_cost.cost,
    "weights": steps_cost.weights,
    "transport": steps_transport.transport,
    "distance": steps_transport.distance,
    "tokens": steps_decoder.tokens,
    "shares": steps_decoder.shares,
    "masks": steps_by_hand.masks,
}


def lesson(case: LessonContext) -> tuple[Step, ...]:
    """Return all ten steps with the numbers of this search."""
    return tuple(build(case) for build in STEPS.values())

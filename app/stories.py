"""Sentences made from numbers. Pure functions: they choose words, they compute nothing new."""

from __future__ import annotations

from collections.abc import Sequence

from fpc_core.config import DropStrategy
from fpc_core.explain.lifelines import LivingRange, PatchLife


def patch_story(
    lives: Sequence[PatchLife], living: LivingRange, keep_rates: Sequence[float], strategy: DropStrategy
) -> str:
    """What became of one patch, and at which keep rates it lives. lives: its `life_line`; keep_rates: ascending."""
    last = lives[-1]
    kept = f"{'Fell in' if not last.kept else 'Survived every drop; at'} block {last.block}"
    place = f"place {last.rank + 1} of {last.entered} by attention"
    if strategy is DropStrategy.NON_SALIENT:
        here = f"{kept}: attention {last.attention:.2%} against the cut-off {last.cutoff:.2%}, {place}."
    elif strategy is DropStrategy.SALIENT:
        here = f"{kept}: attention {last.attention:.2%}, {place}; here the most attended go."
    else:
        here = f"{kept}: attention {last.attention:.2%}, {place}; here chance decides."
    return f"{here} {_living(living, keep_rates)}"


def _living(living: LivingRange, keep_rates: Sequence[float]) -> str:
    tried = f"(tried: {len(keep_rates)} keep rates from {keep_rates[0]:g} to {keep_rates[-1]:g})"
    if living.dropped_at is None:
        return f"It lives at every keep rate {tried}."
    if living.lives_from is None:
        return f"It is dropped even at keep rate {living.dropped_at:g} {tried}."
    text = f"It is dropped at keep rate {living.dropped_at:g} and lives from {living.lives_from:g} on {tried}"
    if living.exceptions:
        rates = ", ".join(f"{rate:g}" for rate in living.exceptions)
        text += f"; it lives at {rates} too, for with fewer patches the attention is another"
    return text + "."

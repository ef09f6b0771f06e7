"""The life of single patches: how each fared at the dropping blocks, and at which keep rates it lives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fpc_core.config import PruneSettings
from fpc_core.results import Encoding

SURVIVED = -1


@dataclass(frozen=True)
class PatchLife:
    """How one patch fared at one dropping block.

    attention: its head-averaged `[cls]` attention there.
    cutoff: the smallest attention that survived (for the paper's strategy what it had to reach).
    rank: 0-based place by attention among the `entered` patches.
    needed_keep_rate: above this keep rate the paper's strategy keeps it in this block, given the same entrants; earlier
    blocks at another keep rate let others enter, so what really holds is in `falls`.
    """

    block: int
    attention: float
    cutoff: float
    rank: int
    entered: int
    kept: bool
    needed_keep_rate: float


def life_line(encoding: Encoding, position: int) -> tuple[PatchLife, ...]:
    """The dropping blocks a patch went through, up to the one where it fell.

    position: original row-major grid position. Raises ValueError outside the grid.
    """
    rows, columns = encoding.grid
    if not 0 <= position < rows * columns:
        raise ValueError(f"patch {position} lies outside the {rows} x {columns} grid")
    lives = []
    for stage in encoding.stages:
        entered = stage.entered[0].cpu().numpy()
        attention = stage.attention[0].cpu().numpy()
        place = np.flatnonzero(entered == position)
        if not len(place):
            break
        order = np.argsort(-attention, kind="stable")
        rank = int(np.flatnonzero(order == place[0])[0])
        kept = stage.kept[0].cpu().numpy()
        alive = np.isin(entered, kept)
        lives.append(
            PatchLife(
                block=stage.block,
                attention=float(attention[place[0]]),
                cutoff=float(attention[alive].min()),
                rank=rank,
                entered=len(entered),
                kept=bool(alive[place[0]]),
                # ceil(rate * n) > rank holds for every rate above rank / n.
                needed_keep_rate=rank / len(entered),
            )
        )
    return tuple(lives)


def fell_in(encoding: Encoding) -> np.ndarray:
    """(N,) int64: the dropping block in which each patch of the grid fell, SURVIVED for those that are left."""
    fell = np.full(encoding.grid[0] * encoding.grid[1], SURVIVED, dtype=np.int64)
    for stage in encoding.stages:
        entered, kept = (each[0].cpu().numpy() for each in (stage.entered, stage.kept))
        fell[np.setdiff1d(entered, kept)] = stage.block
    return fell


def falls(encode: Callable[[PruneSettings], Encoding], prune: PruneSettings, keep_rates: Sequence[float]) -> np.ndarray:
    """(R, N) int64: `fell_in` at every keep rate, each by running the encoder anew.

    Nothing is inferred from the attention at one keep rate: another rate changes which patches the later blocks see,
    and with them all attention. encode: makes the encoding of one image for given settings.
    """
    return np.stack([fell_in(encode(replace(prune, keep_rate=rate))) for rate in keep_rates])


@dataclass(frozen=True)
class LivingRange:
    """At which of some keep rates a patch lives.

    dropped_at: the highest of them at which it is dropped, None if it always lives.
    lives_from: the next higher one, from which on it lives; None if it is dropped even at the highest.
    exceptions: rates below `dropped_at` at which it lives all the same, for fewer survivors change the attention.
    """

    dropped_at: float | None
    lives_from: float | None
    exceptions: tuple[float, ...] = ()


def living_range(keep_rates: Sequence[float], fell: np.ndarray) -> LivingRange:
    """keep_rates: (R,) ascending; fell: (R,) of one patch, a column of `falls`."""
    if list(keep_rates) != sorted(keep_rates) or len(keep_rates) != len(fell) or not len(fell):
        raise ValueError(f"{len(fell)} fates need as many ascending keep rates, not {list(keep_rates)}")
    lives = np.asarray(fell) == SURVIVED
    if lives.all():
        return LivingRange(None, keep_rates[0])
    last = int(np.flatnonzero(~lives)[-1])
    above = keep_rates[last + 1] if last + 1 < len(keep_rates) else None
    exceptions = tuple(rate for rate, alive in zip(keep_rates[:last], lives[:last], strict=True) if alive)
    return LivingRange(keep_rates[last], above, exceptions)

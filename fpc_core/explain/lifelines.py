"""History of single patches: which dropping block drops a patch, and at which keep rates it survives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fpc_core.config import PruneSettings
from fpc_core.results import Encoding

SURVIVED = -1


@dataclass(frozen=True)
class PatchLife:
    """State of one patch at one dropping block.

    Attributes:
        block: Index of the block.
        attention: Head-averaged attention of `[cls]` to the patch.
        cutoff: Smallest attention of the kept patches; the paper's strategy keeps a patch if it reaches this value.
        rank: 0-based rank by attention among the `entered` patches.
        entered: Number of patches that entered the block.
        kept: Whether the block kept the patch.
        needed_keep_rate: Keep rate above which the paper's strategy keeps the patch, provided that the same patches
            enter the block. At another keep rate, other patches may enter; `falls` computes the actual result.
    """

    block: int
    attention: float
    cutoff: float
    rank: int
    entered: int
    kept: bool
    needed_keep_rate: float


def life_line(encoding: Encoding, position: int) -> tuple[PatchLife, ...]:
    """Return the state of a patch at each dropping block that it reached.

    Args:
        encoding: Encoding of the query.
        position: Original row-major grid position of the patch.

    Raises:
        ValueError: The position is outside the grid.
    """
    rows, columns = encoding.grid
    if not 0 <= position < rows * columns:
        raise ValueError(f"patch {position} is outside the {rows} x {columns} grid")
    lives = []
    for stage in encoding.stages:
        entered = stage.entered[0].cpu().numpy()
        attention = stage.attention[0].cpu().numpy()
        index = np.flatnonzero(entered == position)
        if not len(index):
            break
        order = np.argsort(-attention, kind="stable")
        rank = int(np.flatnonzero(order == index[0])[0])
        kept = stage.kept[0].cpu().numpy()
        alive = np.isin(entered, kept)
        lives.append(
            PatchLife(
                block=stage.block,
                attention=float(attention[index[0]]),
                cutoff=float(attention[alive].min()),
                rank=rank,
                entered=len(entered),
                kept=bool(alive[index[0]]),
                # A patch is kept if rank < ceil(rate * n), so at every keep rate above rank / n.
                needed_keep_rate=rank / len(entered),
            )
        )
    return tuple(lives)


def cutoffs(encoding: Encoding) -> dict[int, float]:
    """Return the smallest attention of `[cls]` to a kept patch by dropping block."""
    values = {}
    for stage in encoding.stages:
        kept = np.isin(stage.entered[0].cpu().numpy(), stage.kept[0].cpu().numpy())
        values[stage.block] = float(stage.attention[0].cpu().numpy()[kept].min())
    return values


def fell_in(encoding: Encoding) -> np.ndarray:
    """Return the block that dropped each patch of the grid, (N,) int64; SURVIVED for patches that were kept."""
    fell = np.full(encoding.grid[0] * encoding.grid[1], SURVIVED, dtype=np.int64)
    for stage in encoding.stages:
        entered, kept = (each[0].cpu().numpy() for each in (stage.entered, stage.kept))
        fell[np.setdiff1d(entered, kept)] = stage.block
    return fell


def falls(encode: Callable[[PruneSettings], Encoding], prune: PruneSettings, keep_rates: Sequence[float]) -> np.ndarray:
    """Run the encoder at every keep rate, and return `fell_in` of each encoding, (R, N) int64.

    Every keep rate needs its own run, because it changes which patches enter the later blocks and so their attention.

    Args:
        encode: Function that encodes one image with given settings.
        prune: Prune settings, whose keep rate is replaced.
        keep_rates: R keep rates.
    """
    return np.stack([fell_in(encode(replace(prune, keep_rate=rate))) for rate in keep_rates])


@dataclass(frozen=True)
class LivingRange:
    """Keep rates at which a patch survives.

    Attributes:
        dropped_at: Highest keep rate at which the patch is dropped; None if it always survives.
        lives_from: Next higher keep rate; the patch survives at this and all higher rates. None if it is dropped at the
            highest rate.
        exceptions: Keep rates below `dropped_at` at which the patch survives, because fewer patches change attention.
    """

    dropped_at: float | None
    lives_from: float | None
    exceptions: tuple[float, ...] = ()


def living_range(keep_rates: Sequence[float], fell: np.ndarray) -> LivingRange:
    """Summarise at which keep rates one patch survives.

    Args:
        keep_rates: (R,) ascending keep rates.
        fell: (R,) column of `falls` for the patch.

    Raises:
        ValueError: The keep rates are empty or not ascending, or the lengths differ.
    """
    if list(keep_rates) != sorted(keep_rates) or len(keep_rates) != len(fell) or not len(fell):
        raise ValueError(
            f"keep_rates must be ascending and have one entry per element of fell ({len(fell)}), got {list(keep_rates)}"
        )
    lives = np.asarray(fell) == SURVIVED
    if lives.all():
        return LivingRange(None, keep_rates[0])
    last = int(np.flatnonzero(~lives)[-1])
    above = keep_rates[last + 1] if last + 1 < len(keep_rates) else None
    exceptions = tuple(rate for rate, alive in zip(keep_rates[:last], lives[:last], strict=True) if alive)
    return LivingRange(keep_rates[last], above, exceptions)

"""Explain why one shortlisted image is nearer than another by splitting the difference of their D (Eq. 10)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fpc_core.results import Match, TransportPlan


@dataclass(frozen=True, eq=False)
class Margin:
    """D of the loser minus D of the winner, and its parts; positive parts favour the winner.

    Attributes:
        winner: Row of the nearer image in the gallery memory.
        loser: Row of the farther image in the gallery memory.
        d_cos: D_cos of winner and loser.
        d_emd: D_EMD of winner and loser.
        cosine: Difference of D_cos, times 1 - alpha.
        transport: Difference of D_EMD, times alpha.
        patches: (rows, columns) float64, contribution of each query patch to `transport`, NaN where it was dropped.
    """

    winner: int
    loser: int
    d_cos: tuple[float, float]
    d_emd: tuple[float, float]
    cosine: float
    transport: float
    patches: np.ndarray

    @property
    def total(self) -> float:
        """D of the loser minus D of the winner."""
        return self.cosine + self.transport

    @property
    def thirds(self) -> np.ndarray:
        """Sums of `patches` over the upper, middle and lower thirds of the image, (3,)."""
        rows = len(self.patches)
        third = ((np.arange(rows) + 0.5) * 3 / rows).astype(int)
        return np.bincount(third, weights=np.nansum(self.patches, axis=1), minlength=3)


def margin(match: Match, plans: tuple[TransportPlan, TransportPlan], alpha: float, grid: tuple[int, int]) -> Margin:
    """Compare two candidates; the one with the smaller D is the winner, or the first if D is equal.

    Args:
        match: Shortlist and transport of the query.
        plans: Transport plans of the two candidates.
        alpha: Weight of D_EMD in D.
        grid: Rows and columns of patches.

    Raises:
        ValueError: A plan belongs to an image outside the shortlist.
    """
    measured = []
    for plan in plans:
        index = match.shortlist.position(plan.gallery_index)
        d_cos, d_emd = (float(each[index]) for each in (match.shortlist.d_cos, match.transport.distance))
        measured.append((d_cos, d_emd, plan))
    measured.sort(key=lambda each: (1 - alpha) * each[0] + alpha * each[1])
    (cos, emd, nearer), (other_cos, other_emd, farther) = measured
    difference = _per_patch(farther, other_emd, grid) - _per_patch(nearer, emd, grid)
    return Margin(
        winner=nearer.gallery_index,
        loser=farther.gallery_index,
        d_cos=(cos, other_cos),
        d_emd=(emd, other_emd),
        cosine=(1 - alpha) * (other_cos - cos),
        transport=alpha * (other_emd - emd),
        patches=alpha * difference,
    )


def _per_patch(plan: TransportPlan, d_emd: float, grid: tuple[int, int]) -> np.ndarray:
    """Return the contribution of each query patch to D_EMD.

    The plan is float32, so its contributions sum to D_EMD only up to rounding; they are scaled to match exactly. The
    D_EMD of a plan that moves nothing, as for the released solver if no patch agrees, is shared equally.

    Args:
        plan: Transport plan.
        d_emd: D_EMD of the candidate.
        grid: Rows and columns of patches.

    Returns:
        (rows, columns) float64 contributions, NaN where the patch was dropped.
    """
    contributions = (plan.plan.astype(np.float64) * plan.cost).sum(axis=1)
    flat = np.full(grid[0] * grid[1], np.nan)
    total = contributions.sum()
    flat[plan.query_positions] = contributions * (d_emd / total) if total > 0 else d_emd / len(contributions)
    return flat.reshape(grid)

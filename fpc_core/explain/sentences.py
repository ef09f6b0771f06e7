"""Turn results into sentences for the app and the reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fpc_core.config import DropStrategy
from fpc_core.explain.lifelines import LivingRange, PatchLife
from fpc_core.explain.margin import Margin
from fpc_core.explain.patch_contents import DropShares
from fpc_core.results import Consolidation, Encoding

UNITS = 10_000  # Distances are shown with four decimals.


def drop_sentence(encoding: Encoding, truth: Sequence[DropShares] = ()) -> str:
    """Describe how many patches were dropped, how they were chosen and, with ground truth, what they show.

    Args:
        encoding: Encoding of the query.
        truth: Result of `patch_contents.drop_shares`; empty without ground truth.
    """
    patches = encoding.grid[0] * encoding.grid[1]
    lost = patches - encoding.patches.shape[1]
    if not lost:
        is_given = encoding.prune.strategy is DropStrategy.GIVEN
        reason = "by your choice" if is_given else f"at a keep rate of {encoding.prune.keep_rate:g}"
        return f"Nothing was dropped: {reason} all {patches} patches are kept."
    which = {
        DropStrategy.NON_SALIENT: "Each layer drops those with the least attention from [cls], the image's summary.",
        DropStrategy.SALIENT: "Each layer drops those with the most attention from [cls], the image's summary.",
        DropStrategy.RANDOM: "They were chosen at random.",
        DropStrategy.GIVEN: "You chose them.",
    }[encoding.prune.strategy]
    layers = f"{len(encoding.stages)} layer{'' if len(encoding.stages) == 1 else 's'}"
    sentence = f"{lost} of {patches} patches were dropped over {layers}. {which}"
    dropped = [each for each in truth if each.dropped]
    if not dropped:
        return sentence
    weights = [each.dropped for each in dropped]
    parts = {
        "occluder": [each.of_dropped.occluder for each in dropped],
        "person": [each.of_dropped.person for each in dropped],
        "background": [each.of_dropped.background for each in dropped],
    }
    parts_text = (f"{name} {np.average(values, weights=weights):.0%}" for name, values in parts.items())
    return f"{sentence} According to the ground-truth mask, the dropped patches show {', '.join(parts_text)}."


def decoder_sentence(consolidation: Consolidation, ranks: Mapping[int, int]) -> str:
    """Describe how the decoder distributed its attention.

    Args:
        consolidation: Output of the decoder.
        ranks: 1-based rank by D of every ranked gallery row.
    """
    shares = consolidation.neighbor_shares
    largest = int(shares.argmax())
    row = int(consolidation.neighbors[largest])
    name = f"Rank {ranks[row]}" if row in ranks else "A same-camera image"
    query = f", {consolidation.query_share:.1%} to the query" if consolidation.query_share else ""
    sentence = f"The decoder paid {shares.sum():.1%} of its attention to the {len(shares)} neighbours{query}."
    if len(shares) == 1:
        return sentence
    even = shares.sum() / len(shares)
    return f"{sentence} {name} got the largest share, {shares[largest]:.1%} (an even split would be {even:.1%})."


def final_sentence(by_distance: Mapping[int, int], final: Mapping[int, int], matches: Sequence[int] | None) -> str:
    """Describe how consolidation changed the ranking.

    Args:
        by_distance: 1-based rank by D of every shortlisted gallery row that has a rank.
        final: 1-based rank after consolidation of every gallery row that has a rank.
        matches: Rows of the true matches; None if the query's identity is unknown.
    """
    if matches is None:
        first = min(final, key=final.__getitem__)
        return f"First after consolidation: the image that was {_ranked(by_distance.get(first))} by D."
    if not matches:
        return "The gallery has no other image of this person."
    before = min((by_distance[row] for row in matches if row in by_distance), default=None)
    after = min(final[row] for row in matches)
    if before == after:
        return f"The closest image of the right person stays {_ranked(after)}."
    change = f"was {_ranked(before)} by D and is {_ranked(after)} after consolidation"
    return f"The closest image of the right person {change}."


def _ranked(rank: int | None) -> str:
    return "beyond the shortlist" if rank is None else f"at rank {rank}"


def patch_sentence(
    lives: Sequence[PatchLife], living: LivingRange, keep_rates: Sequence[float], strategy: DropStrategy
) -> str:
    """Describe what happened to one patch, and at which keep rates it survives.

    Args:
        lives: States of the patch at the dropping blocks, from `life_line`.
        living: Keep rates at which the patch survives, from `living_range`; they do not matter for given patches.
        keep_rates: Keep rates that were tried, ascending.
        strategy: Drop strategy of the search.
    """
    last = lives[-1]
    outcome = f"{'Dropped in' if not last.kept else 'Never dropped; in'} layer {last.block}"
    rank = f"rank {last.rank + 1} of {last.entered} by attention"
    if strategy is DropStrategy.NON_SALIENT:
        sentence = f"{outcome}: attention {last.attention:.2%} against the cut-off {last.cutoff:.2%}, {rank}."
    elif strategy is DropStrategy.SALIENT:
        sentence = f"{outcome}: attention {last.attention:.2%}, {rank}; the most attended patches are dropped here."
    elif strategy is DropStrategy.RANDOM:
        sentence = f"{outcome}: attention {last.attention:.2%}, {rank}; patches are dropped at random here."
    else:
        return f"{outcome}: attention {last.attention:.2%}, {rank}; you chose which patches are dropped here."
    return f"{sentence} {_living(living, keep_rates)}"


def _living(living: LivingRange, keep_rates: Sequence[float]) -> str:
    tried = f"(tried: {len(keep_rates)} keep rates from {keep_rates[0]:g} to {keep_rates[-1]:g})"
    if living.dropped_at is None:
        return f"It is kept at every keep rate {tried}."
    if living.lives_from is None:
        return f"It is dropped even at keep rate {living.dropped_at:g} {tried}."
    text = f"It is dropped at keep rate {living.dropped_at:g} and kept from {living.lives_from:g} on {tried}"
    if living.exceptions:
        rates = ", ".join(f"{rate:g}" for rate in living.exceptions)
        text += f"; it is also kept at {rates}, because with fewer patches the attention changes"
    return text + "."


def format_parts(d_cos: float, d_emd: float, alpha: float) -> tuple[int, int, int]:
    """Return (1 - alpha) D_cos, alpha D_EMD and D as integers in units of the last decimal.

    The first two sum to the third; the second absorbs rounding differences.

    Args:
        d_cos: D_cos of an image.
        d_emd: D_EMD of the image.
        alpha: Weight of D_EMD in D.
    """
    total, cosine = round(UNITS * ((1 - alpha) * d_cos + alpha * d_emd)), round(UNITS * (1 - alpha) * d_cos)
    return cosine, total - cosine, total


def format_units(units: int) -> str:
    """Format a number in units of the last decimal, such as 310 as 0.0310 and -90 as −0.0090."""
    return f"{'−' if units < 0 else ''}{abs(units) / UNITS:.4f}"


def margin_heads(alpha: float) -> list[str]:
    """Return the heads of the columns of `margin_rows`."""
    return ["", f"{1 - alpha:g} × D_cos", f"{alpha:g} × D_EMD", "D", "decoder's attention"]


def margin_rows(
    margin: Margin, names: tuple[str, str], shares: tuple[float | None, float | None], alpha: float
) -> list[list[str]]:
    """Return the parts of D as table rows for winner, loser and difference; in every row the parts add up to D.

    Args:
        margin: Difference of the two hits.
        names: Names of winner and loser.
        shares: Attention of the decoder to winner and loser; None for an image that is not among the K neighbours.
        alpha: Weight of D_EMD in D.
    """
    winner, loser = (format_parts(*parts, alpha) for parts in zip(margin.d_cos, margin.d_emd, strict=True))
    difference = tuple(there - here for here, there in zip(winner, loser, strict=True))
    attention = [*("not among the K" if share is None else f"{share:.1%}" for share in shares), ""]
    return [
        [name, *map(format_units, parts), share]
        for name, parts, share in zip((*names, "difference"), (winner, loser, difference), attention, strict=True)
    ]


def comparison_sentence(margin: Margin, names: tuple[str, str], alpha: float) -> str:
    """Explain in one sentence why one of two hits is nearer; the rounded numbers add up.

    Args:
        margin: Difference of the two hits.
        names: Names of winner and loser.
        alpha: Weight of D_EMD in D.
    """
    winner, loser = names
    cosine, transport, total = (
        other - own
        for own, other in zip(
            *(format_parts(*parts, alpha) for parts in zip(margin.d_cos, margin.d_emd, strict=True)), strict=True
        )
    )
    weights = f"(weight {1 - alpha:g})", f"(weight {alpha:g})"
    if alpha in (0.0, 1.0):
        only, idle = (
            ("the global feature", "patch matching") if alpha == 0.0 else ("patch matching", "the global feature")
        )
        reason = f"all of it from {only}, because {idle} has no weight at α = {alpha:g}"
    elif min(cosine, transport) >= 0:
        reason = (
            f"{format_units(cosine)} from the global feature {weights[0]}, {format_units(transport)} from "
            f"patch matching {weights[1]}"
        )
    elif cosine < 0:
        reason = (
            f"patch matching favours it by {format_units(transport)} {weights[1]}, the global feature counts "
            f"against it by {format_units(-cosine)} {weights[0]}"
        )
    else:
        reason = (
            f"the global feature favours it by {format_units(cosine)} {weights[0]}, patch matching counts "
            f"against it by {format_units(-transport)} {weights[1]}"
        )
    head = (
        f"{winner} is closer than {loser} by {format_units(total)} in D"
        if total
        else f"{winner} and {loser} are equally close"
    )
    region = _region_clause(margin.thirds, gain=transport > 0) if transport else ""
    return f"{head}: {reason}{region}."


def _region_clause(thirds: np.ndarray, gain: bool) -> str:
    """Return a clause that names the third of the image with more than half of the transport gain or loss.

    Args:
        thirds: (3,) contributions of the upper, middle and lower third.
        gain: Whether transport favours the winner.
    """
    contributions = np.maximum(thirds if gain else -thirds, 0.0)
    name = "gain" if gain else "loss"
    if not contributions.any():
        return ""
    largest = int(contributions.argmax())
    if contributions[largest] <= contributions.sum() / 2:
        return "; no single image region is responsible"
    return f"; most of the patch-matching {name} is in the {('upper', 'middle', 'lower')[largest]} third of the image"

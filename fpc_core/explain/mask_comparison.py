"""Compare the search results for dropped patches chosen by the model, by the visitor and by the ground truth."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np

from fpc_core.config import DropStrategy, PruneSettings
from fpc_core.data.match_rule import MatchRule
from fpc_core.explain.cards import distances_of
from fpc_core.explain.masks import dropped_patches
from fpc_core.results import QueryTrace

MODEL, YOURS, TRUTH = "the model's mask", "your mask", "the ground truth"
MIN_OCCLUDER = 0.5  # The ground truth drops a patch if occluders cover a larger share of it.


@dataclass(frozen=True)
class MaskOutcome:
    """The patches that a mask drops, and the result of the search with it.

    Attributes:
        name: Name of the mask in sentences.
        dropped: Grid positions of all dropped patches.
        final_rank: Rank of the first true match after consolidation, from 1; None without a true match.
        rank_by_distance: Rank of the first true match by D; None if none is shortlisted.
        distance: D of the selected hit; None if it is not shortlisted.
    """

    name: str
    dropped: frozenset[int]
    final_rank: int | None
    rank_by_distance: int | None
    distance: float | None


def mask_outcome(name: str, trace: QueryTrace, rule: MatchRule, hit: int | None) -> MaskOutcome:
    """Summarise a search with a mask.

    Args:
        name: Name of the mask in sentences.
        trace: Results of the search.
        rule: Rule that decides which gallery rows are true matches.
        hit: Gallery row of the selected hit, or None.
    """
    distance = None if hit is None else distances_of(trace.match, trace.settings.alpha).get(hit, (None,))[0]
    dropped = frozenset(patch for block in dropped_patches(trace.encoding) for patch in block)
    return MaskOutcome(name, dropped, rule.first_match(trace.final), rule.first_match(trace.by_distance), distance)


def mask_outcomes(
    search: Callable[[PruneSettings], QueryTrace],
    prune: PruneSettings,
    occluder: np.ndarray | None,
    rule: MatchRule,
    hit: int | None,
) -> tuple[MaskOutcome, ...]:
    """Search with the model's mask, then with the given one and with that of the ground truth if they exist.

    Args:
        search: Function that searches for the query with the prune settings that it is called with.
        prune: Prune settings of the view, with the given mask if there is one.
        occluder: (rows, columns) share of every patch that shows an occluder; None without ground truth.
        rule: Rule that decides which gallery rows are true matches.
        hit: Gallery row of the selected hit, or None.
    """
    masks = {
        MODEL: prune.of_model,
        YOURS: prune if prune.strategy is DropStrategy.GIVEN else None,
        TRUTH: None if occluder is None else truth_settings(prune, occluder),
    }
    return tuple(mask_outcome(name, search(each), rule, hit) for name, each in masks.items() if each is not None)


def truth_settings(prune: PruneSettings, occluder: np.ndarray) -> PruneSettings | None:
    """Return settings that drop all occluded patches in the first dropping block, according to a ground-truth mask.

    Args:
        prune: Prune settings whose choice of patches is replaced.
        occluder: (rows, columns) share of every patch that shows an occluder, from `patch_contents.patch_areas`.

    Returns:
        The settings, or None if occluders hide every patch.
    """
    dropped = np.flatnonzero(occluder.ravel() > MIN_OCCLUDER)
    if len(dropped) == occluder.size:
        return None
    return prune.with_given((tuple(dropped.tolist()), *((),) * (len(prune.blocks) - 1)))


def overlap(one: Collection[int], other: Collection[int]) -> float:
    """Return the intersection over union (IoU) of two sets of patches.

    Args:
        one: Grid positions of the first set.
        other: Grid positions of the second set.

    Returns:
        Share in [0, 1]; 1 if both sets are empty.
    """
    union = set(one) | set(other)
    return len(set(one) & set(other)) / len(union) if union else 1.0


def best_mask_sentence(outcomes: Sequence[MaskOutcome], is_match: bool | None) -> str:
    """Describe in one sentence which mask gives the best result, with the number that decides this.

    The rank of the first true match after consolidation decides, then its rank by D, then D of the selected hit.

    Args:
        outcomes: At least two masks.
        is_match: Whether the selected hit shows the right person; None if there is no hit or its person is unknown.

    Raises:
        ValueError: There are fewer than two masks.
    """
    if len(outcomes) < 2:
        raise ValueError(f"a comparison needs at least 2 masks, got {len(outcomes)}")
    sign = -1.0 if is_match is False else 1.0
    extreme = "largest" if is_match is False else "smallest"
    person = "wrong" if is_match is False else "right"
    criteria: list[tuple[str, Callable[[MaskOutcome], float], Callable[[MaskOutcome], str]]] = [
        (
            "the first correct image is at {} after consolidation",
            lambda each: math.inf if each.final_rank is None else each.final_rank,
            lambda each: _rank(each.final_rank, "no rank"),
        ),
        (
            "the first correct image has the same rank after consolidation, but by D it is at {}",
            lambda each: math.inf if each.rank_by_distance is None else each.rank_by_distance,
            lambda each: _rank(each.rank_by_distance, "no shortlisted rank"),
        ),
    ]
    if is_match is not None:
        criteria.append(
            (
                f"ranks are equal, but D of the selected image, which shows the {person} person, is {extreme}: {{}}",
                lambda each: math.inf if each.distance is None else sign * round(each.distance, 4),
                lambda each: "not known" if each.distance is None else f"{each.distance:.4f}",
            )
        )
    for reason, value, text in criteria:
        values = [value(each) for each in outcomes]
        if len(set(values)) > 1:
            best = [each for each in outcomes if value(each) == min(values)]
            others = " and ".join(f"{text(each)} with {each.name}" for each in outcomes if each not in best)
            names = " and ".join(each.name for each in best)
            verb = "does" if len(best) == 1 else "do"
            return f"{names[0].upper()}{names[1:]} {verb} best: {reason.format(text(best[0]))}, against {others}."
    return "All masks do equally well for this query."


def _rank(rank: int | None, otherwise: str) -> str:
    return otherwise if rank is None else f"rank {rank}"

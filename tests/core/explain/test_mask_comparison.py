"""The comparison of three masks: their overlap, the ground-truth mask, and the sentence on the best one."""

import numpy as np
import pytest

from fpc_core.config import PruneSettings
from fpc_core.explain.mask_comparison import (
    MODEL,
    TRUTH,
    YOURS,
    MaskOutcome,
    best_mask_sentence,
    overlap,
    truth_settings,
)


def outcome(name, final=1, by_distance=1, distance=0.1):
    return MaskOutcome(name, frozenset({1, 2}), final, by_distance, distance)


def test_overlap_is_the_intersection_over_the_union():
    assert overlap({1, 2, 3}, {2, 3, 4, 5}) == 2 / 5
    assert overlap({1}, {2}) == 0
    assert overlap(frozenset(), ()) == 1


def test_the_ground_truth_drops_patches_that_are_mostly_occluder():
    occluder = np.array([[0.0, 0.5, 0.51], [1.0, 0.2, 0.0]], dtype=np.float32)
    prune = truth_settings(PruneSettings(blocks=(2, 4)), occluder)
    assert prune == PruneSettings(blocks=(2, 4)).with_given(((2, 3), ()))
    assert truth_settings(PruneSettings(), np.ones((2, 3))) is None


def test_the_best_final_rank_decides():
    masks = [outcome(MODEL, 3), outcome(YOURS, 1, 9, 0.9), outcome(TRUTH, None)]
    assert best_mask_sentence(masks, is_match=True) == (
        "Your mask does best: the first correct image is at rank 1 after consolidation, against rank 3 with the "
        "model's mask and no rank with the ground truth."
    )


def test_the_rank_by_distance_decides_between_equal_final_ranks():
    masks = [outcome(MODEL, 1, 2), outcome(YOURS, 1, 2), outcome(TRUTH, 1, 4)]
    assert best_mask_sentence(masks, is_match=True) == (
        "The model's mask and your mask do best: the first correct image has the same rank after consolidation, but "
        "by D it is at rank 2, against rank 4 with the ground truth."
    )


@pytest.mark.parametrize(("is_match", "best"), [(True, "Your mask"), (False, "The model's mask")])
def test_between_equal_ranks_the_right_person_should_be_near(is_match, best):
    masks = [outcome(MODEL, distance=0.2), outcome(YOURS, distance=0.1)]
    assert best_mask_sentence(masks, is_match).startswith(f"{best} does best: ranks are equal, but D of the selected")


def test_equal_masks_do_equally_well():
    masks = [outcome(MODEL, distance=0.10001), outcome(YOURS, distance=0.10002)]
    assert best_mask_sentence(masks, is_match=True) == "All masks do equally well for this query."
    assert best_mask_sentence([outcome(MODEL, distance=0.2), outcome(YOURS)], None).startswith("All masks")
    with pytest.raises(ValueError, match="at least 2 masks, got 1"):
        best_mask_sentence(masks[:1], is_match=True)

"""Generated sentences agree with the numbers that they describe."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fpc_core.config import DropStrategy
from fpc_core.explain.lifelines import LivingRange, PatchLife
from fpc_core.explain.margin import Margin
from fpc_core.explain.sentences import UNITS, comparison_sentence, format_parts, format_units, patch_sentence

RATES = (0.5, 0.75, 1.0)
FELL = PatchLife(6, attention=0.0031, cutoff=0.0042, rank=84, entered=103, kept=False, needed_keep_rate=84 / 103)
LIVING = LivingRange(0.75, 1.0)
STAYED = replace(FELL, block=9, attention=0.0061, rank=9, kept=True)


def sentence_of(*lives, living=LIVING, strategy=DropStrategy.NON_SALIENT):
    return patch_sentence(lives, living, RATES, strategy)


def test_a_dropped_patch_is_described_by_block_attention_and_cut_off():
    assert sentence_of(STAYED, FELL).startswith(
        "Dropped in layer 6: attention 0.31% against the cut-off 0.42%, rank 85 of 103 by attention. "
    )


def test_a_survivor_is_described_at_the_last_drop():
    assert sentence_of(FELL, STAYED).startswith(
        "Never dropped; in layer 9: attention 0.61% against the cut-off 0.42%, rank 10 of 103 by attention. "
    )


@pytest.mark.parametrize(
    ("strategy", "words"),
    [
        (DropStrategy.RANDOM, "patches are dropped at random here"),
        (DropStrategy.SALIENT, "the most attended patches are dropped here"),
    ],
)
def test_other_strategies_have_no_cut_off(strategy, words):
    sentence = sentence_of(FELL, strategy=strategy)
    assert words in sentence
    assert "cut-off" not in sentence


@pytest.mark.parametrize(
    ("living", "words"),
    [
        (LIVING, "It is dropped at keep rate 0.75 and kept from 1 on (tried: 3 keep rates from 0.5 to 1)."),
        (LivingRange(None, 0.5), "It is kept at every keep rate (tried: 3 keep rates from 0.5 to 1)."),
        (LivingRange(1.0, None), "It is dropped even at keep rate 1 (tried: 3 keep rates from 0.5 to 1)."),
        (LivingRange(0.75, 1.0, (0.5,)), "it is also kept at 0.5, because with fewer patches the attention changes."),
    ],
)
def test_the_keep_rates_at_which_a_patch_survives_are_described(living, words):
    assert sentence_of(FELL, living=living).endswith(words)


def won(d_cos, d_emd, alpha, thirds=(1.0, 0.0, 0.0)):
    """Return the sentence that compares hits #1 and #4.

    Args:
        d_cos: D_cos of both hits.
        d_emd: D_EMD of both hits.
        alpha: The weight of D_EMD.
        thirds: The shares of the upper, middle and lower third of the image in the transport part.
    """
    transport = alpha * (d_emd[1] - d_emd[0])
    patches = transport * np.array(thirds)[:, None]
    margin = Margin(3, 5, d_cos, d_emd, (1 - alpha) * (d_cos[1] - d_cos[0]), transport, patches)
    return comparison_sentence(margin, ("#1", "#4"), alpha)


@pytest.mark.parametrize(
    ("d_cos", "d_emd", "alpha", "thirds", "expected"),
    [
        (
            (0.30, 0.3333),
            (0.30, 0.3275),
            0.4,
            (0.7, 0.2, 0.1),
            "#1 is closer than #4 by 0.0310 in D: 0.0200 from the global feature (weight 0.6), 0.0110 from patch "
            "matching (weight 0.4); "
            "most of the patch-matching gain is in the upper third of the image.",
        ),
        (
            (0.30, 0.40),
            (0.30, 0.25),
            0.4,
            (0.1, 0.1, 0.8),
            "#1 is closer than #4 by 0.0400 in D: the global feature favours it by 0.0600 (weight 0.6), patch matching "
            "counts against it by 0.0200 (weight 0.4); "
            "most of the patch-matching loss is in the lower third of the image.",
        ),
        (
            (0.40, 0.30),
            (0.30, 0.60),
            0.5,
            (-0.5, 1.2, 0.3),
            "#1 is closer than #4 by 0.1000 in D: patch matching favours it by 0.1500 (weight 0.5), the global feature "
            "counts against it by 0.0500 (weight 0.5); "
            "most of the patch-matching gain is in the middle third of the image.",
        ),
        (
            (0.30, 0.30),
            (0.30, 0.50),
            0.5,
            (0.4, 0.3, 0.3),
            "#1 is closer than #4 by 0.1000 in D: 0.0000 from the global feature (weight 0.5), 0.1000 from patch "
            "matching (weight 0.5); "
            "no single image region is responsible.",
        ),
        (
            (0.30, 0.40),
            (0.50, 0.20),
            0.0,
            (1, 0, 0),
            "#1 is closer than #4 by 0.1000 in D: all of it from the global feature, because patch matching has no "
            "weight at α = 0.",
        ),
        (
            (0.90, 0.10),
            (0.20, 0.30),
            1.0,
            (0, 0, 1),
            "#1 is closer than #4 by 0.1000 in D: all of it from patch matching, because the global feature has "
            "no weight at α = 1; "
            "most of the patch-matching gain is in the lower third of the image.",
        ),
        (
            (0.30, 0.30),
            (0.30, 0.30),
            0.4,
            (1, 0, 0),
            "#1 and #4 are equally close: 0.0000 from the global feature (weight 0.6), 0.0000 from patch matching "
            "(weight 0.4).",
        ),
    ],
)
def test_a_comparison_names_its_parts_and_the_image_region(d_cos, d_emd, alpha, thirds, expected):
    assert won(d_cos, d_emd, alpha, thirds) == expected


distances = st.floats(0.0, 2.0)


@given(distances, distances, st.floats(0.0, 1.0))
def test_printed_parts_add_up_and_are_rounded_by_at_most_one_unit(d_cos, d_emd, alpha):
    cosine, transport, total = format_parts(d_cos, d_emd, alpha)
    assert cosine + transport == total
    assert total == round(UNITS * ((1 - alpha) * d_cos + alpha * d_emd))
    assert abs(transport - UNITS * alpha * d_emd) <= 1 + 1e-6


def test_units_have_four_decimals_and_a_true_minus_sign():
    assert [format_units(units) for units in (310, 0, -90, 12345)] == ["0.0310", "0.0000", "−0.0090", "1.2345"]

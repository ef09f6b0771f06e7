"""Sentences made from numbers: every case says what its numbers say."""

from dataclasses import replace

import pytest

from app.stories import patch_story
from fpc_core.config import DropStrategy
from fpc_core.explain.lifelines import LivingRange, PatchLife

RATES = (0.5, 0.75, 1.0)
FELL = PatchLife(6, attention=0.0031, cutoff=0.0042, rank=84, entered=103, kept=False, needed_keep_rate=84 / 103)
LIVING = LivingRange(0.75, 1.0)
STAYED = replace(FELL, block=9, attention=0.0061, rank=9, kept=True)


def story(*lives, living=LIVING, strategy=DropStrategy.NON_SALIENT):
    return patch_story(lives, living, RATES, strategy)


def test_a_fallen_patch_is_told_its_block_its_attention_and_the_cut_off():
    assert story(STAYED, FELL).startswith(
        "Fell in block 6: attention 0.31% against the cut-off 0.42%, place 85 of 103 by attention. "
    )


def test_a_survivor_is_told_how_it_stood_at_the_last_drop():
    assert story(FELL, STAYED).startswith(
        "Survived every drop; at block 9: attention 0.61% against the cut-off 0.42%, place 10 of 103 by attention. "
    )


@pytest.mark.parametrize(
    ("strategy", "words"),
    [(DropStrategy.RANDOM, "here chance decides"), (DropStrategy.SALIENT, "here the most attended go")],
)
def test_other_strategies_have_no_cut_off(strategy, words):
    told = story(FELL, strategy=strategy)
    assert words in told
    assert "cut-off" not in told


@pytest.mark.parametrize(
    ("living", "words"),
    [
        (LIVING, "It is dropped at keep rate 0.75 and lives from 1 on (tried: 3 keep rates from 0.5 to 1)."),
        (LivingRange(None, 0.5), "It lives at every keep rate (tried: 3 keep rates from 0.5 to 1)."),
        (LivingRange(1.0, None), "It is dropped even at keep rate 1 (tried: 3 keep rates from 0.5 to 1)."),
        (LivingRange(0.75, 1.0, (0.5,)), "it lives at 0.5 too, for with fewer patches the attention is another."),
    ],
)  # fmt: skip
def test_the_keep_rates_at_which_a_patch_lives_are_told(living, words):
    assert story(FELL, living=living).endswith(words)

"""Step 10: the results of dropping patches by hand, and how much two masks have in common."""

from __future__ import annotations

from fpc_core.data.match_label import MatchLabel
from fpc_core.explain.mask_comparison import best_mask_sentence, overlap
from fpc_core.explain.masks import dropped_patches
from fpc_core.lessons.context import LessonContext
from fpc_core.lessons.step import Equation, Quiz, Step, share

RANGES = ("0–50 %", "50–75 %", "75–99 %", "99–100 %")
RANGE_ENDS = (0.5, 0.75, 0.99)  # Ends of the first three ranges.


def masks(case: LessonContext) -> Step:
    """Build the step on pruning by hand."""
    encoding = case.trace.encoding
    first = encoding.stages[0]
    dropped = {patch for block in dropped_patches(encoding) for patch in block}
    # The stage lists patches in token order, so equal attention is resolved as in the encoder.
    order = first.attention[0].argsort(descending=True, stable=True).cpu()
    least = first.entered[0].cpu()[order].tolist()[len(order) - len(dropped) :]
    at_once = overlap(dropped, least)
    by_first = dropped_patches(encoding)[0]
    both, either = len(dropped & set(least)), len(dropped | set(least))
    reveal = (
        f"{both} patches belong to both sets and {either} to at least one: {share(at_once)}. "
        "Later layers rank the remaining patches again, by their own attention."
        if dropped
        else "Nothing is dropped, so both sets are empty and equal."
    )
    return Step(
        key="masks",
        title="Pruning by hand",
        question="Can you prune better than the model?",
        text="The model drops patches by attention, whatever hides the person. Drop other patches yourself and compare "
        "the results of your mask and the model's. The overlap of two sets of dropped patches is their **IoU**, the "
        "intersection over the union. Below, A are all dropped patches and B those that the first dropping layer "
        "drops.",
        today=_today(case, len(dropped)),
        equations=(
            Equation(
                "Intersection over union",
                r"\mathrm{IoU} = \frac{|A \cap B|}{|A \cup B|}",
                (
                    rf"\frac{{{len(by_first)}}}{{{len(dropped)}}} = {overlap(dropped, by_first):.2f}"
                    if dropped
                    else r"A = B = \emptyset",
                ),
            ),
        ),
        quiz=Quiz(
            f"If the first dropping layer dropped its {len(dropped)} least attended patches at once, what would be "
            "their IoU with A?",
            RANGES,
            sum(at_once > end for end in RANGE_ENDS),
            reveal,
        ),
    )


def _today(case: LessonContext, dropped: int) -> str:
    if len(case.masks) > 1:
        label = case.rule.label(case.hit)
        is_match = {MatchLabel.MATCH: True, MatchLabel.OTHER: False}.get(label)
        return best_mask_sentence(case.masks, is_match)
    rank = case.rule.first_match(case.trace.final)
    result = "" if rank is None else f" With this mask, the first correct image is at rank {rank} after consolidation."
    return f"{dropped} of {case.config.patches} patches are dropped.{result}"

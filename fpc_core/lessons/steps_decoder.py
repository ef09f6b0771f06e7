"""Steps 8 and 9: the input of the decoder, and its attention (Sec. 3.3)."""

from __future__ import annotations

import numpy as np

from fpc_core.config import Variant
from fpc_core.data.match_label import MatchLabel
from fpc_core.explain.sentences import decoder_sentence, final_sentence
from fpc_core.lessons.context import LessonContext
from fpc_core.lessons.step import (
    Equation,
    Panel,
    PatchMaps,
    Quiz,
    Step,
    choose_near,
    count_choices,
    number,
    patch_name,
    share,
)

TIMES = (1.2, 2.0, 4.0, 8.0)  # Choices of the quiz, as multiples of an even split.
LEVEL = 0.05  # Relative difference below which two mean shares count as equal.


def tokens(case: LessonContext) -> Step:
    """Build the step on the decoder's input (Eq. 11)."""
    trace, patches = case.trace, case.config.patches
    neighbors = trace.consolidation.neighbors.tolist()
    paper = trace.settings.variant is Variant.PAPER
    of_query = trace.encoding.patches.shape[1] if paper else 0
    count = len(neighbors)

    def total(k: int) -> int:
        return 1 + of_query + k * patches

    choices, answer = count_choices(total(2 * count), (2 * total(count), total(count), 1 + of_query + 2 * count))
    parts = f"1 + {of_query} + " if paper else "1 + "
    given = "the patches left of the query and all of the neighbours'" if paper else "all patches of the neighbours"
    mean = "the query and its neighbours" if paper else "the neighbours"
    own = r",\ f_q" if paper else ""
    note = "" if paper else " (In the paper, it also reads the query's patches, f_q.)"
    return Step(
        key="tokens",
        title="Input of the decoder",
        question="What goes into the decoder?",
        text="The K nearest images by D (the **neighbours**) may show parts that are hidden in the query. The "
        f"**decoder**, one more block, reads {given}. Its [cls] starts as the mean [cls] of {mean}.{note}",
        today=_neighbor_summary(case, neighbors),
        equations=(
            Equation(
                "Eq. 11",
                rf"f_m = \{{\bar{{f}}_{{\text{{cls}}}}{own},\ f_g^{{(1)}}, \dots, f_g^{{(K)}}\}}",
                (rf"{parts}{count} \cdot {patches} = {total(count)} \text{{ tokens}}",),
            ),
        ),
        quiz=Quiz(
            f"With K = {2 * count} instead of {count}, how many tokens would the decoder read?",
            choices,
            answer,
            f"One [cls]{f', {of_query} of the query' if paper else ''} and {2 * count} × {patches} of the neighbours. "
            "Only the [cls] is read in the end, so this stays cheap.",
        ),
    )


def without(case: LessonContext, row: int) -> str:
    """Describe how the ranking would change without one of the decoder's neighbours.

    Args:
        case: Search of the lesson.
        row: Row of the neighbour in the gallery memory.

    Raises:
        ValueError: The decoder has no other neighbour.
    """
    trace, retriever = case.trace, case.retriever
    others = trace.consolidation.neighbors[trace.consolidation.neighbors != row]
    if not len(others):
        raise ValueError(f"the decoder reads only the neighbour {row}, which cannot be left out; use a larger K")
    changed = retriever.by_feature(retriever.consolidate(trace.encoding, others, trace.settings.variant).feature)
    ranks_with, ranks_without = (case.rule.ranks(each) for each in (trace.final, changed))
    head = f"Without {case.name(row)}"
    if case.subject.identity is None:
        first = min(ranks_without, key=ranks_without.__getitem__)
        return f"{head} the image now at rank {ranks_with[first]} would be first."
    rows = [each for each in ranks_with if case.records[each].identity == case.subject.identity]
    if not rows:
        return f"{head}, nothing changes: the gallery has no other image of this person."
    now, then = (min(ranks[each] for each in rows) for ranks in (ranks_with, ranks_without))
    return f"{head} the closest image of the right person would be at rank {then}; with it, it is at rank {now}."


def shares(case: LessonContext) -> Step:
    """Build the step on the decoder's attention (Eq. 13)."""
    result = case.trace.consolidation
    # The last share is computed from the rounded others, so that the printed numbers add up.
    rest = 1 - float(number(result.cls_share)) - float(number(result.query_share))
    parts = " + ".join(number(each) for each in (result.cls_share, result.query_share, rest))
    final = case.rule.ranks(case.trace.final)
    identity = case.subject.identity
    matches = None if identity is None else [row for row in final if case.records[row].identity == identity]
    return Step(
        key="shares",
        title="What the decoder used",
        question="What did the decoder use from each neighbour?",
        text="The decoder's [cls] attends to all its input tokens. Its attentions add up to 1 and can be summed for "
        "itself, the query and every neighbour. The output, the **consolidated** feature, replaces the query's own "
        "feature and is compared with the whole gallery.",
        today=f"{decoder_sentence(result, case.ranks)} {final_sentence(case.ranks, final, matches)}",
        equations=(
            Equation("Eq. 13", r"z_{\text{cls}} = A_c V_c + A_q V_q + A_g V_g", (rf"A_c + A_q + A_g = {parts} = 1",)),
        ),
        quiz=_quiz(result.neighbor_shares, [case.match_labels[row] for row in result.neighbors.tolist()]),
        maps=PatchMaps(_attention_panels(case), "attention of the decoder's [cls]", percent=True),
    )


def _neighbor_summary(case: LessonContext, neighbors: list[int]) -> str:
    tones = [case.match_labels[row] for row in neighbors]
    if MatchLabel.NEUTRAL in tones:
        return "The identity in this image is unknown, so neighbours cannot be marked right or wrong."
    right, junk = tones.count(MatchLabel.MATCH), tones.count(MatchLabel.JUNK)
    more = f" {junk} more show the same person under the same camera (junk)." if junk else ""
    return f"{right} of the {len(neighbors)} neighbours {'shows' if right == 1 else 'show'} the right person.{more}"


def _attention_panels(case: LessonContext) -> tuple[Panel, ...]:
    result, columns = case.trace.consolidation, case.config.grid[1]

    def panel(name: str, row: int | None, total: float, grid: np.ndarray) -> Panel:
        descriptions = tuple(
            f"{name}, patch at {patch_name(index, columns)}: {'dropped' if np.isnan(value) else share(value, 3)}"
            for index, value in enumerate(grid.ravel().tolist())
        )
        return Panel(f"{name}: {share(total)}", row, (("attention", grid),), descriptions)

    neighbors = zip(result.neighbors.tolist(), result.neighbor_shares.tolist(), result.neighbor_grids, strict=True)
    of_neighbors = tuple(panel(case.name(row), row, total, grid) for row, total, grid in neighbors)
    if case.trace.settings.variant is Variant.RELEASED:
        return of_neighbors
    return (panel("query", None, result.query_share, result.query_grid), *of_neighbors)


def _quiz(shares_of: np.ndarray, tones: list[MatchLabel]) -> Quiz:
    right, wrong = (shares_of[[tone is label for tone in tones]] for label in (MatchLabel.MATCH, MatchLabel.OTHER))
    if len(right) and len(wrong):
        ratio = float(right.mean() / wrong.mean())
        return Quiz(
            "Do neighbours that show the right person get more attention than the others?",
            ("more", "about the same", "less"),
            0 if ratio > 1 + LEVEL else (2 if ratio < 1 - LEVEL else 1),
            f"On average {share(float(right.mean()))} each for the {len(right)} right ones, "
            f"{share(float(wrong.mean()))} for the {len(wrong)} wrong ones. The decoder does not use identities.",
        )
    even = float(shares_of.sum()) / len(shares_of)
    times = float(shares_of.max()) / even
    return Quiz(
        "How many times an even split does the most attended neighbour get?",
        tuple(f"about {each:g} times" for each in TIMES),
        choose_near(times, TIMES),
        f"{times:.2f} times: {share(float(shares_of.max()))}, where an even split is {share(even)}.",
    )

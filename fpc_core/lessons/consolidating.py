"""Steps 8 and 9: what the decoder is given, and what it takes (Sec. 3.3)."""

from __future__ import annotations

import numpy as np

from fpc_core.config import Variant
from fpc_core.explain.relation import Tone
from fpc_core.explain.stories import decoder_story
from fpc_core.lessons.case import Case
from fpc_core.lessons.steps import Equation, Quiz, Step, choose_near, count_choices, number, share

TIMES = (1.2, 2.0, 4.0, 8.0)
LEVEL = 0.05  # shares that differ by less than this part are called level


def tokens(case: Case) -> Step:
    trace, patches = case.trace, case.config.patches
    neighbors = len(trace.consolidation.neighbors)
    of_query = trace.encoding.patches.shape[1]
    paper = trace.settings.variant is Variant.PAPER
    total = 1 + neighbors * patches + of_query * paper
    more = 2 * neighbors
    choices, answer = count_choices(
        1 + more * patches + of_query * paper, (2 * total, total, 1 + more + of_query * paper, more * patches)
    )
    tones = [case.tones[row] for row in trace.consolidation.neighbors.tolist()]
    if Tone.NEUTRAL in tones:
        who = "Whether they show the right person is not known."
    else:
        junk = tones.count(Tone.JUNK)
        who = f"{tones.count(Tone.MATCH)} of today's {neighbors} show the right person" + (
            f", {junk} more are the same person under the same camera." if junk else "."
        )
    given, mean = (
        ("all patches of the neighbours and those left of the query", "the query and its neighbours")
        if paper
        else ("all patches of the neighbours", "the neighbours")
    )
    own = r",\ f_q" if paper else ""
    parts = rf"1 + {of_query} + {neighbors} \cdot {patches}" if paper else rf"1 + {neighbors} \cdot {patches}"
    note = "" if paper else " The released code leaves the query's own patches out; the paper puts them in (f_q)."
    return Step(
        key="tokens",
        title="What the decoder is given",
        question="What does the decoder get to see?",
        text="The K nearest by D, the **neighbours**, may show what is hidden in the query. The **decoder**, one more "
        f"block, is given {given}, and as its [cls] the mean of those of {mean}.{note}",
        today=who,
        equations=(
            Equation(
                "Eq. 11",
                rf"f_m = \{{\bar{{f}}_{{\text{{cls}}}}{own},\ f_g^{{(1)}}, \dots, f_g^{{(K)}}\}}",
                (rf"{parts} = {total} \text{{ tokens}}",),
            ),
        ),
        quiz=Quiz(
            f"With K = {more} instead of {neighbors}, how many tokens would the decoder be given?",
            choices,
            answer,
            f"One [cls]{f', {of_query} of the query' if paper else ''} and {more} × {patches} of the neighbours. Only the "
            "[cls] is read in the end, so this stays cheap.",
        ),
    )


def shares(case: Case) -> Step:
    result = case.trace.consolidation
    rest = 1 - float(number(result.cls_share)) - float(number(result.query_share))  # so that the three add up as told
    return Step(
        key="shares",
        title="What the decoder took",
        question="What did the decoder take from each neighbour?",
        text="The decoder's [cls] attends to all it was given; its attentions add up to 1 and can be summed for itself, "
        "the query and every neighbour. What comes out, the **consolidated** feature, replaces the query's own and is "
        "compared with the whole gallery once more.",
        today=f"{decoder_story(result, case.ranks)} {case.final_story()}",
        equations=(
            Equation(
                "Eq. 13",
                r"z_{\text{cls}} = A_c V_c + A_q V_q + A_g V_g",
                (
                    rf"A_c + A_q + A_g = {number(result.cls_share)} + {number(result.query_share)} + {number(rest)} = 1",
                ),
            ),
        ),
        quiz=_quiz(result.neighbor_shares, [case.tones[row] for row in result.neighbors.tolist()]),
    )


def _quiz(shares_of: np.ndarray, tones: list[Tone]) -> Quiz:
    right = shares_of[[tone is Tone.MATCH for tone in tones]]
    wrong = shares_of[[tone is Tone.OTHER for tone in tones]]
    if len(right) and len(wrong):
        ratio = float(right.mean() / wrong.mean())
        answer = 0 if ratio > 1 + LEVEL else (2 if ratio < 1 - LEVEL else 1)
        return Quiz(
            "Do neighbours that show the right person get more attention than the others?",
            ("more", "about the same", "less"),
            answer,
            f"On average {share(float(right.mean()))} each for the {len(right)} right, {share(float(wrong.mean()))} for "
            f"the {len(wrong)} wrong ones. The decoder is not told who is right.",
        )
    times = float(shares_of.max() * len(shares_of) / shares_of.sum())
    return Quiz(
        "How many times an even split does the most attended neighbour get?",
        tuple(f"about {each:g} times" for each in TIMES),
        choose_near(times, TIMES),
        f"{times:.2f} times: {share(float(shares_of.max()))}, where an even split is "
        f"{share(float(shares_of.sum()) / len(shares_of))}.",
    )

"""Steps 6 and 7: the cheapest transport between two images, and why one hit is ranked first (Sec. 3.2)."""

from __future__ import annotations

from fpc_core.config import Solver
from fpc_core.explain.sentences import format_parts, format_units
from fpc_core.lessons.context import LessonContext
from fpc_core.lessons.sinkhorn_runs import Runs, pair, toy
from fpc_core.lessons.step import Equation, Quiz, Step, number

_SAME = 5e-5  # Differences up to this value are not visible with four decimals.


def transport(case: LessonContext) -> Step:
    """Build the step on the transport plan (Eq. 5 to 9), with Sinkhorn to step through."""
    solution, settings = case.trace.match.transport, case.trace.settings.transport
    a, b = case.marginals
    distance, rounds = float(solution.distance[case.position]), int(solution.iterations[case.position])
    scaled = rounds if settings.solver is Solver.SINKHORN else None
    runs = Runs(toy(), pair(case.plan.cost, a, b, settings.epsilon, scaled), case.plan.query_positions)
    exact, blurred = runs.pair.exact_cost, runs.pair.runs[runs.pair.start[0]].snapshots[-1].cost
    answer = 0 if exact < blurred - _SAME else (2 if exact > blurred + _SAME else 1)
    error = float(solution.marginal_error[case.position])
    solver = (
        r"\text{by the linear programme}"
        if settings.solver is Solver.EXACT
        else rf"\text{{{rounds} iterations, marginals off by }} {number(error)}"
    )
    reason = ", because no patch of one image agrees with the other; here all get equal weights" * case.disagrees
    return Step(
        key="transport",
        title="Transport by Sinkhorn",
        question="Which patch goes where?",
        text="A **transport plan** moves the weight of the query's patches onto those of the gallery image. Moving "
        "costs the ground cost; the cheapest total is **D_EMD**. The **Sinkhorn** algorithm finds it by "
        "alternately rescaling rows and columns until they match the weights. A larger ε blurs the plan; a "
        "smaller ε needs more iterations.",
        today=f"For hit {case.name(case.hit)} the app used D_EMD = {number(distance)}{reason}. Exact optimal transport "
        f"would give {number(exact)}.",
        equations=(
            Equation(
                "Eq. 5 to 9",
                r"D_{\text{EMD}} = \min_{P \ge 0} \sum_{mn} P_{mn} d_{mn}, \quad P 1 = a, \quad P^\top 1 = b",
                (
                    r"\text{(the paper: } \le \text{, and only the smaller total moves)}",
                    rf"D_{{\text{{EMD}}}} = {number(distance)} \quad {solver}",
                ),
            ),
            Equation(
                "Sinkhorn",
                r"P = \text{diag}(u)\, K\, \text{diag}(v), \quad K = e^{-d / \varepsilon}, \quad"
                r" u \leftarrow \frac{a}{K v}, \quad v \leftarrow \frac{b}{K^\top u}",
                (),
            ),
        ),
        quiz=Quiz(
            f"What happens to the cost of this plan as ε gets smaller than {settings.epsilon:g}?",
            ("it falls", "it stays", "it rises"),
            answer,
            f"From {number(blurred)} at ε = {settings.epsilon:g} to {number(exact)} for the exact plan. The "
            "blur spreads some weight to more expensive matches.",
        ),
        runs=runs,
    )


def distance(case: LessonContext) -> Step:
    """Build the step on D and its ranking (Eq. 10)."""
    trace = case.trace
    alpha, short = trace.settings.alpha, trace.match.shortlist
    d_cos, d_emd = float(short.d_cos[case.position]), float(trace.match.transport.distance[case.position])
    cosine, transported, total = format_parts(d_cos, d_emd, alpha)
    return Step(
        key="distance",
        title="Two distances, one ranking",
        question="Why did this neighbour win?",
        text=f"The **shortlist** is the {len(short.indices)} gallery images nearest by **D_cos**, which compares "
        "the two [cls] tokens. They are re-ranked by D, a weighted mix of D_cos and D_EMD; α sets the weight "
        "of D_EMD. The smallest D wins.",
        today=case.comparison_sentence(),
        equations=(
            Equation(
                "Eq. 10",
                r"D = (1 - \alpha)\, D_{\text{cos}} + \alpha\, D_{\text{EMD}}",
                (
                    rf"D = {1 - alpha:.4g} \cdot {number(d_cos)} + {alpha:.4g} \cdot {number(d_emd)}",
                    rf"\phantom{{D}} = {format_units(cosine)} + {format_units(transported)} = {format_units(total)}",
                ),
            ),
        ),
        quiz=_first_by_cosine(case),
    )


def _first_by_cosine(case: LessonContext) -> Quiz:
    """Build the quiz on the hit that the cosine alone would rank first, without junk."""
    rows = case.trace.by_cosine.indices.tolist()
    nearest = case.rule.nearest(case.trace.by_distance.indices.tolist()), case.rule.nearest(rows)
    by_d, by_cos = (first if row is None else row for row, first in zip(nearest, (case.hit, rows[0]), strict=True))
    identity_by_d, identity_by_cos = (case.records[row].identity for row in (by_d, by_cos))
    if by_d == by_cos:
        answer, reveal = 0, "Both distances rank the same image first."
    else:
        answer = 1 if identity_by_d == identity_by_cos else 2
        image = f"another image of identity {identity_by_cos}" if answer == 1 else f"identity {identity_by_cos}"
        reveal = f"Cosine ranks {image} first, which has rank {case.ranks[by_cos]} by D."
        if answer == 2:
            reveal += f" D ranks identity {identity_by_d} first."
    return Quiz(
        f"With cosine only (α = 0 instead of {case.trace.settings.alpha:.4g}), which image would be ranked first?",
        ("the same image", "another image of the same person", "another person"),
        answer,
        f"{reveal} D of every image is a straight line in α, so two images swap at most once.",
    )

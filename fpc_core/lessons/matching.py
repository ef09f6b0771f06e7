"""Steps 4 to 7: how the query is compared with a gallery image, and why one hit wins (Sec. 3.2)."""

from __future__ import annotations

import numpy as np
import torch

from fpc_core.config import Solver, Variant
from fpc_core.explain.margin import margin
from fpc_core.explain.masks import to_grid
from fpc_core.explain.relation import Tone
from fpc_core.explain.stories import told, told_parts, win_story
from fpc_core.lessons.case import Case
from fpc_core.lessons.runs import Runs, pair, toy
from fpc_core.lessons.steps import Equation, Panel, PatchMaps, Quiz, Step, choose_near, number, place_name, share
from fpc_core.matching.transport import ground_cost

TIMES = (1.1, 1.5, 2.5, 5.0)


def cost(case: Case) -> Step:
    plan, columns = case.plan, case.config.grid[1]
    row = _telling_row(case)
    column = int(plan.cost[row].argmin())
    query, gallery = _tokens(case, row, column)
    product, lengths = float(query @ gallery), (float(query.norm()), float(gallery.norm()))
    value = 1 - product / (lengths[0] * lengths[1])
    doubled = float(ground_cost(query[None], 2 * gallery[None, None])[0, 0, 0])
    outcomes = (value / 2, value, 2 * value)
    answer = int(np.abs(np.array(outcomes) - doubled).argmin())
    here, there = int(plan.query_positions[row]), column
    return Step(
        key="cost",
        title="Ground cost",
        question="When do two patches look alike?",
        text="The **gallery** is the pictures that are searched; all of theirs were turned into tokens beforehand, with "
        "nothing dropped. **Ground cost** compares one patch of the query with one of a gallery picture: 0 if their "
        "tokens point the same way, 1 if they have nothing in common.",
        today=f"The query's patch at {place_name(here, columns)} is most like the patch at {place_name(there, columns)} "
        f"of hit {case.name(case.hit)}: cost {number(plan.cost[row, column])}. On average over that picture it is "
        f"{number(plan.cost[row].mean())}.",
        equations=(
            Equation(
                "Eq. 5",
                r"d_{mn} = 1 - \frac{\langle q_m, g_n \rangle}{\|q_m\| \|g_n\|}",
                (
                    rf"1 - \frac{{{number(product, 2)}}}{{{number(lengths[0], 3)} \cdot {number(lengths[1], 3)}}}"
                    rf" = {number(value)}",
                ),
            ),
        ),
        quiz=Quiz(
            f"If all {case.config.width} numbers of that gallery token were doubled, its cost would be …",
            ("half as large", "the same", "twice as large"),
            answer,
            f"{number(doubled)}: only the direction of a token counts, not its length, which is divided away.",
        ),
        maps=PatchMaps(
            _panels(case, ((), ()), (_told_query(case), _told_cost(case))),
            "ground cost (1 − cosine)",
            links=plan.cost,
            kept=plan.query_positions,
            start=here,
        ),
    )


def weights(case: Case) -> Step:
    trace, plan, columns = case.trace, case.plan, case.config.grid[1]
    transport = trace.match.transport
    a, b = transport.query_marginal[case.place], transport.gallery_marginal[case.place]
    heaviest = int(a.argmax())
    times = float(a[heaviest]) * len(a)
    agreement = _agreement(case)
    positive = np.maximum(agreement, 0)
    here = place_name(int(plan.query_positions[heaviest]), columns)
    paper = trace.settings.variant is Variant.PAPER
    other = r"\bar{g}" if paper else r"x^g_{\text{cls}}"
    inner = rf"\langle q_m, {other} \rangle" if paper else rf"\cos(q_m, {other})"
    whole = "the mean of its patches" if paper else "its [cls]"
    zeros = int((a == 0).sum())
    return Step(
        key="weights",
        title="Marginals",
        question="Which patches count how much?",
        text=f"A patch counts more the better it agrees with the other picture as a whole ({whole}); a patch that "
        "disagrees counts nothing. Divided by their sum, the weights of each side add up to 1: the two **marginals**. "
        "They say how much has to travel from and to each patch.",
        today=f"The heaviest patch of the query, at {here}, carries {share(float(a[heaviest]), 2)}; "
        f"{zeros or 'none'} of the {len(a)} patches left {'carries' if zeros == 1 else 'carry'} nothing.",
        equations=(
            Equation(
                "Eq. 8, 9",
                rf"a_m = \frac{{\max(0, {inner})}}{{\sum_i \max(0, {inner.replace('q_m', 'q_i')})}}",
                (
                    rf"\frac{{\max(0, {number(agreement[heaviest], 3)})}}{{{number(positive.sum(), 2)}}}"
                    rf" = {number(float(a[heaviest]))}",
                ),
            ),
        ),
        quiz=Quiz(
            "How many times an equal share does the heaviest patch of the query carry?",
            tuple(f"about {each:g} times" for each in TIMES),
            choose_near(times, TIMES),
            f"{times:.2f} times: {share(float(a[heaviest]), 2)} where an equal share is {share(1 / len(a), 2)}. "
            + ("The weights are nearly even." if times < 1.5 else "A few patches speak louder than the rest."),
        ),
        maps=PatchMaps(
            _panels(
                case,
                (
                    (("weight", to_grid(a, plan.query_positions, case.config.grid)),),
                    (("weight", b.reshape(case.config.grid)),),
                ),
                (_told_weights(a, plan.query_positions, case), _told_weights(b, np.arange(len(b)), case)),
            ),
            "share of the weight",
            percent=True,
        ),
    )


def transport(case: Case) -> Step:
    trace, plan = case.trace, case.plan
    found, settings = trace.match.transport, trace.settings.transport
    a, b = found.query_marginal[case.place], found.gallery_marginal[case.place]
    distance, rounds = float(found.distance[case.place]), int(found.iterations[case.place])
    sinkhorn = settings.solver is Solver.SINKHORN
    runs = Runs(toy(), pair(plan.cost, a, b, settings.epsilon, rounds if sinkhorn else 0), plan.query_positions)
    exact = runs.pair.exact_cost
    engine = runs.pair.runs[runs.pair.start[0]]
    blurred = engine.snapshots[-1].cost
    outcome = 0 if exact < blurred - 5e-5 else (2 if exact > blurred + 5e-5 else 1)
    ran = (
        rf"\text{{{rounds} iterations, error }} {float(found.marginal_error[case.place]):.1e}"
        if settings.solver is not Solver.EXACT
        else r"\text{linear programme, no } \varepsilon"
    )
    return Step(
        key="transport",
        title="Transport by Sinkhorn",
        question="Which patch goes where?",
        text="A **transport plan** moves the weight of the query's patches onto those of the gallery picture; moving costs "
        "the ground cost, and the cheapest total is **D_EMD**. **Sinkhorn** finds it by turns: scale the rows until each "
        "sends its weight, then the columns until each receives its own. ε blurs the plan; a small ε takes more turns.",
        today=f"Between the query and hit {case.name(case.hit)} the search took D_EMD = {number(distance)}; the exact "
        f"plan costs {number(exact)}.",
        equations=(
            Equation(
                "Eq. 5",
                r"P = \text{diag}(u)\, e^{-d/\varepsilon}\, \text{diag}(v), \quad D_{\text{EMD}} = \sum_{mn} P_{mn} d_{mn}",
                (rf"D_{{\text{{EMD}}}} = {number(distance)}", ran),
            ),
            Equation("", r"u \leftarrow \frac{a}{K v}, \quad v \leftarrow \frac{b}{K^\top u}", ()),
        ),
        quiz=Quiz(
            f"Make ε ever smaller than {settings.epsilon:g}: what happens to the cost of this plan?",
            ("it falls", "it stays", "it rises"),
            outcome,
            f"From {number(blurred)} at ε = {settings.epsilon:g} to {number(exact)}, the cost of the exact plan. The blur "
            "sends some weight on detours, and detours cost.",
        ),
        runs=runs,
    )


def distance(case: Case) -> Step:
    trace = case.trace
    alpha, short, found = trace.settings.alpha, trace.match.shortlist, trace.match.transport
    d_cos, d_emd = float(short.d_cos[case.place]), float(found.distance[case.place])
    cosine, moved, total = told_parts(d_cos, d_emd, alpha)
    return Step(
        key="distance",
        title="Two distances, one ranking",
        question="Why did this neighbour win?",
        text=f"The **shortlist** is the {len(short.indices)} gallery pictures nearest by **D_cos**, which compares the two "
        "[cls] tokens. They are ranked anew by D, a mixture with D_EMD; α says how much transport counts. The smallest D "
        "wins.",
        today=_win(case),
        equations=(
            Equation(
                "Eq. 10",
                r"D = (1 - \alpha)\, D_{\text{cos}} + \alpha\, D_{\text{EMD}}",
                (
                    rf"{1 - alpha:.2f} \cdot {number(d_cos)} + {alpha:.2f} \cdot {number(d_emd)}",
                    rf"= {told(cosine)} + {told(moved)} = {told(total)}",
                ),
            ),
        ),
        quiz=_first_by_cosine(case),
    )


def _win(case: Case) -> str:
    if case.rival is None:
        return "There is no other hit to compare it with."
    alpha = case.trace.settings.alpha
    plans = (case.plan, case.plan_to(case.rival))
    won = margin(case.trace.match, plans, alpha, case.config.grid)
    return win_story(won, (case.name(won.winner), case.name(won.loser)), alpha)


def _first_by_cosine(case: Case) -> Quiz:
    """Who stands first by cosine alone, against who does by D. Junk takes no rank."""
    alpha = case.trace.settings.alpha
    by_d = next((row for row, tone in case.tones.items() if tone is not Tone.JUNK), case.hit)
    rows = case.trace.by_cosine.indices.tolist()
    by_cos = next((row for row in rows if case.tones[row] is not Tone.JUNK), rows[0])
    one, other = (int(case.records[row].identity) for row in (by_d, by_cos))
    answer = 0 if by_d == by_cos else (1 if one == other else 2)
    moved = case.ranks.get(by_cos)
    reveal = "The same picture: transport confirms it." if answer == 0 else (
        f"Identity {other}, which D puts at rank {moved}; D puts identity {one} first."
    )
    return Quiz(
        f"By cosine alone (α = 0 instead of {alpha:g}), who would stand first?",
        ("the same picture", "another picture of the same person", "another person"),
        answer,
        f"{reveal} In the picture, move α to 0 and look which line is lowest.",
    )


def _telling_row(case: Case) -> int:
    """The query patch whose best partner is nearest, compared with what it costs on average: the plainest example."""
    cost = case.plan.cost
    return int((cost.mean(axis=1) - cost.min(axis=1)).argmax())


def _tokens(case: Case, row: int, column: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens of one query patch and one gallery patch, (C,) each."""
    gallery = case.retriever.memory.patches([case.hit])[0, column]
    return case.trace.encoding.patches[0, row].float().cpu(), gallery


def _agreement(case: Case) -> np.ndarray:
    """(M,) of every query patch with the gallery image as a whole, before max(0, .) (see `transport.marginals`)."""
    query = case.trace.encoding.patches[0].float().cpu()
    gallery = case.retriever.memory.patches([case.hit])[0]
    if case.trace.settings.variant is Variant.PAPER:
        return (query @ gallery.mean(dim=0)).numpy()
    cls = torch.from_numpy(np.array(case.retriever.memory.cls[case.hit], dtype=np.float32))
    return torch.cosine_similarity(query, cls.unsqueeze(0), dim=1).numpy()


def _panels(
    case: Case,
    layers: tuple[tuple[tuple[str, np.ndarray], ...], tuple[tuple[str, np.ndarray], ...]],
    said: tuple[tuple[str, ...], tuple[str, ...]],
) -> tuple[Panel, Panel]:
    return (
        Panel("q", "query", layers[0], said[0]),
        Panel("g", f"hit {case.name(case.hit)}", layers[1], said[1]),
    )


def _told_query(case: Case) -> tuple[str, ...]:
    plan, (rows, columns) = case.plan, case.config.grid
    said = [f"Query patch at {place_name(place, columns)}: dropped" for place in range(rows * columns)]
    for row, position in enumerate(plan.query_positions.tolist()):
        best = int(plan.cost[row].argmin())
        said[position] = (
            f"Query patch at {place_name(position, columns)}: nearest to {place_name(best, columns)}, "
            f"cost {number(plan.cost[row, best])}; on average {number(plan.cost[row].mean())}"
        )
    return tuple(said)


def _told_cost(case: Case) -> tuple[str, ...]:
    plan, columns = case.plan, case.config.grid[1]
    best, least = plan.cost.argmin(axis=0), plan.cost.min(axis=0)
    return tuple(
        f"Gallery patch at {place_name(place, columns)}: nearest query patch at "
        f"{place_name(int(plan.query_positions[best[place]]), columns)}, cost {number(least[place])}"
        for place in range(len(least))
    )


def _told_weights(values: np.ndarray, positions: np.ndarray, case: Case) -> tuple[str, ...]:
    rows, columns = case.config.grid
    said = [f"Patch at {place_name(place, columns)}: dropped, carries nothing" for place in range(rows * columns)]
    for position, value in zip(positions.tolist(), values.tolist(), strict=True):
        said[position] = (
            f"Patch at {place_name(position, columns)}: {share(value, 2)}, {value * len(values):.2f} times an equal share"
        )
    return tuple(said)

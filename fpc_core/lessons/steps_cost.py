"""Steps 4 and 5: the ground cost between patches, and the weight of each patch (Sec. 3.2)."""

from __future__ import annotations

import numpy as np
import torch

from fpc_core.config import Variant
from fpc_core.explain.masks import to_grid
from fpc_core.lessons.context import LessonContext
from fpc_core.lessons.step import Equation, Layers, Panel, PatchMaps, Quiz, Step, choose_near, number, patch_name, share
from fpc_core.matching.transport import ground_cost

TIMES = (1.1, 1.5, 2.5, 5.0)  # Choices of the quiz, as multiples of an equal share.


def cost(case: LessonContext) -> Step:
    """Build the step on the ground cost."""
    plan, columns = case.plan, case.config.grid[1]
    row = _clearest_row(plan.cost)
    column = int(plan.cost[row].argmin())
    query, gallery = case.trace.encoding.patches[0, row].float().cpu(), _gallery(case)[column]
    product, lengths = float(query @ gallery), (float(query.norm()), float(gallery.norm()))
    value = 1 - product / (lengths[0] * lengths[1])
    doubled = float(ground_cost(query[None], 2 * gallery[None, None])[0, 0, 0])
    answer = int(np.abs(np.array([value / 2, value, 2 * value]) - doubled).argmin())
    start_patch = int(plan.query_positions[row])
    return Step(
        key="cost",
        title="Ground cost",
        question="When do two patches look alike?",
        text="The **gallery** is the set of images being searched. They were encoded in advance, without dropping "
        "patches. The **ground cost** compares a query patch with a gallery patch: 0 if their tokens have the same "
        "direction, 1 if they are orthogonal.",
        today=f"The query's patch at {patch_name(start_patch, columns)} is most like the patch at "
        f"{patch_name(column, columns)} of hit {case.name(case.hit)}: cost {number(plan.cost[row, column])}. "
        f"Its average over that image is {number(plan.cost[row].mean())}.",
        equations=(
            Equation(
                "Sec. 3.2",
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
            f"It is {number(doubled)}: only the direction of a token counts, not its length.",
        ),
        maps=PatchMaps(
            _panels(case, ((), ()), (_describe_query(case), _describe_gallery(case))),
            "ground cost (1 − cosine)",
            links=plan.cost,
            kept=plan.query_positions,
            start=start_patch,
        ),
    )


def weights(case: LessonContext) -> Step:
    """Build the step on the marginals."""
    plan, grid, (a, b) = case.plan, case.config.grid, case.marginals
    heaviest = int(a.argmax())
    times, carries = float(a[heaviest]) * len(a), share(float(a[heaviest]), 2)
    agreement = _agreement(case)
    paper = case.trace.settings.variant is Variant.PAPER
    whole = "the mean of its patches" if paper else "its [cls]"
    zeros = int((a == 0).sum())
    none = _weightless(zeros, len(a))
    agreeing = float(agreement.clip(0).sum())
    fraction = rf"\frac{{\max(0, {number(agreement[heaviest], 3)})}}{{{number(agreeing, 2)}}}"
    if agreeing == 0:
        fraction = rf"\text{{no patch agrees; with equal weights: }} \frac{{1}}{{{len(a)}}}"
    elif case.disagrees:
        none = "no patch of the hit agrees with the query, so the released solver gives the hit no weight"
    inner = r"\langle q_{#}, \bar{g} \rangle" if paper else r"\cos(q_{#}, x_{\text{cls}}^g)"
    one, each = (rf"\max(0, {inner.replace('#', index)})" for index in "mi")
    positions, layers = (plan.query_positions, np.arange(len(b))), ("share", "share")
    values = (to_grid(a, plan.query_positions, grid), b.reshape(grid))
    return Step(
        key="weights",
        title="Marginals",
        question="How much does each patch count?",
        text=f"A patch counts more the better it agrees with the other image as a whole ({whole}); one that "
        "disagrees gets no weight. Divided by their sum (the paper omits this), the weights of each side add up to 1: "
        "these are the two **marginals**. They determine how much weight moves from and to each patch.",
        today=f"The heaviest patch of the query, at {patch_name(int(plan.query_positions[heaviest]), grid[1])}, "
        f"carries {carries}; {none}.",
        equations=(
            Equation(
                "Sec. 3.2", rf"a_m = \frac{{{one}}}{{\sum_i {each}}}", (rf"{fraction} = {number(float(a[heaviest]))}",)
            ),
        ),
        quiz=Quiz(
            "How much heavier than average is the heaviest query patch?",
            tuple(f"about {each:g} times" for each in TIMES),
            choose_near(times, TIMES),
            f"{times:.2f} times: {carries}, where an equal share is {share(1 / len(a), 2)}. "
            + ("The weights are nearly even." if times < 1.5 else "A few patches dominate."),
        ),
        maps=PatchMaps(
            _panels(
                case,
                (((layers[0], values[0]),), ((layers[1], values[1]),)),
                (_describe_weights(a, positions[0], grid), _describe_weights(b, positions[1], grid)),
            ),
            "share of the weight",
            percent=True,
        ),
    )


def _clearest_row(cost: np.ndarray) -> int:
    """Return the row whose smallest cost is furthest below its average cost, because it shows the idea best."""
    return int((cost.mean(axis=1) - cost.min(axis=1)).argmax())


def _gallery(case: LessonContext) -> torch.Tensor:
    """Return the patch tokens of the hit, (N, C) float32."""
    return case.retriever.memory.patches([case.hit])[0]


def _agreement(case: LessonContext) -> np.ndarray:
    """Return the similarity of every query patch to the hit, (M,), without the max(0, .) of the marginals."""
    query = case.trace.encoding.patches[0].float().cpu()
    if case.trace.settings.variant is Variant.PAPER:
        return (query @ _gallery(case).mean(dim=0)).numpy()
    cls = torch.from_numpy(np.array(case.retriever.memory.cls[case.hit], dtype=np.float32))
    return torch.cosine_similarity(query, cls.unsqueeze(0), dim=1).numpy()


def _panels(
    case: LessonContext, layers: tuple[Layers, Layers], descriptions: tuple[tuple[str, ...], tuple[str, ...]]
) -> tuple[Panel, ...]:
    """Return the panels of the query and the hit.

    Args:
        case: Search and hit of the lesson.
        layers: Layers of the query's and of the hit's panel.
        descriptions: Descriptions of the query's and of the hit's patches.
    """
    return (
        Panel("query", None, layers[0], descriptions[0]),
        Panel(f"hit {case.name(case.hit)}", case.hit, layers[1], descriptions[1]),
    )


def _describe_query(case: LessonContext) -> tuple[str, ...]:
    plan, (rows, columns) = case.plan, case.config.grid
    descriptions = [f"Query patch at {patch_name(index, columns)}: dropped" for index in range(rows * columns)]
    for row, position in enumerate(plan.query_positions.tolist()):
        best = int(plan.cost[row].argmin())
        descriptions[position] = (
            f"Query patch at {patch_name(position, columns)}: nearest to {patch_name(best, columns)}, "
            f"cost {number(plan.cost[row, best])}; on average {number(plan.cost[row].mean())}"
        )
    return tuple(descriptions)


def _describe_gallery(case: LessonContext) -> tuple[str, ...]:
    plan, columns = case.plan, case.config.grid[1]
    best, least = plan.cost.argmin(axis=0), plan.cost.min(axis=0)
    return tuple(
        f"Gallery patch at {patch_name(index, columns)}: its nearest query patch is at "
        f"{patch_name(int(plan.query_positions[best[index]]), columns)}, cost {number(least[index])}"
        for index in range(len(least))
    )


def _describe_weights(values: np.ndarray, positions: np.ndarray, grid: tuple[int, int]) -> tuple[str, ...]:
    descriptions = [f"Patch at {patch_name(index, grid[1])}: dropped, no weight" for index in range(grid[0] * grid[1])]
    for position, value in zip(positions.tolist(), values.tolist(), strict=True):
        times = value * len(values)
        descriptions[position] = (
            f"Patch at {patch_name(position, grid[1])}: {share(value, 2)}, {times:.2f} times an equal share"
        )
    return tuple(descriptions)


def _weightless(zeros: int, patches: int) -> str:
    """Describe how many of the remaining patches have no weight.

    Args:
        zeros: Number of patches without weight.
        patches: Number of remaining patches.
    """
    if not zeros:
        return f"all {patches} remaining patches carry some weight"
    return f"{zeros} of the {patches} remaining patches {'carries' if zeros == 1 else 'carry'} no weight"

"""Every number in the ten steps of the lesson equals an independent computation."""

import math
import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import ot
import pytest
import torch

from fpc_core import retrieval
from fpc_core.config import DropStrategy, PruneSettings, QuerySettings, Solver, TransportSettings, Variant
from fpc_core.data.images import resize_image, to_tensor
from fpc_core.data.match_label import QueryIdentity
from fpc_core.explain.mask_comparison import MODEL, YOURS, MaskOutcome
from fpc_core.lessons import steps_cost
from fpc_core.lessons.context import lesson_context
from fpc_core.lessons.course import STEPS, lesson
from fpc_core.lessons.sinkhorn_runs import toy
from fpc_core.lessons.step import Quiz, choose_near, count_choices
from fpc_core.lessons.steps_by_hand import RANGE_ENDS
from fpc_core.lessons.steps_decoder import without
from fpc_core.matching.transport import marginals, plan
from fpc_core.model.decoder import decoder_input
from fpc_core.workspace import open_workspace

DEFAULT = QuerySettings(PruneSettings(0.8), neighbors=4, shortlist=32)


@pytest.fixture(scope="module")
def workspace(small_places):
    return open_workspace(small_places, "cpu")


def context_of(workspace, settings=DEFAULT, known=True, requested=None):
    record, config = workspace.dataset.query[0], workspace.retriever.model.config
    image = to_tensor([resize_image(workspace.dataset.read(record), config.image_size)], config)
    trace = workspace.retriever.search(image, settings, torch.tensor([record.camera]))
    subject = QueryIdentity(record.identity, record.camera) if known else QueryIdentity()
    return lesson_context(workspace.retriever, trace, subject, workspace.dataset.uses_cameras, requested)


@pytest.fixture(scope="module", params=list(Variant))
def case(workspace, request):
    return context_of(workspace, replace(DEFAULT, variant=request.param))


def numbers(step):
    """Return the equations of a step with numbers inserted, joined to one text."""
    return " ".join(line for equation in step.equations for line in equation.numbers)


def answer(step):
    return step.quiz.choices[step.quiz.answer]


def tokens_of(case):
    """Return query patches (M, C), query `[cls]` (C,), gallery patches (N, C) and gallery `[cls]` (C,) in float64."""
    memory, encoding = case.retriever.memory, case.trace.encoding
    arrays = (encoding.patches[0], encoding.cls[0], memory.tokens[case.hit], memory.cls[case.hit])
    return [np.asarray(each, dtype=np.float64) for each in arrays]


def cosines(one, other):
    return (one @ other.T) / np.outer(np.linalg.norm(one, axis=1), np.linalg.norm(other, axis=1))


def test_the_number_of_patches_is_that_of_the_convolution(case):
    step, config = STEPS["patches"](case), case.config
    picture = torch.zeros(1, 1, *config.image_size)
    count = torch.nn.functional.unfold(picture, config.patch_size, stride=config.stride).shape[-1]
    assert f"= {count}" in numbers(step)
    assert f"(1 + {count})" in numbers(step)
    denser = torch.nn.functional.unfold(picture, config.patch_size, stride=11).shape[-1]
    assert "every 11 pixels" in step.quiz.prompt
    assert answer(step) == str(denser)
    assert len(step.maps.panels[0].descriptions) == count


def test_attention_is_that_of_the_first_dropping_block(case):
    step, stage = STEPS["attention"](case), case.trace.encoding.stages[0]
    highest, at = torch.topk(stage.attention[0], 10)
    rows, columns = np.unravel_index(int(stage.entered[0][at[0]]), case.config.grid)
    assert f"row {rows + 1}, column {columns + 1} gets the most: {float(highest[0]):.1%}" in step.today
    own = 1 - float(stage.attention[0].double().sum())
    assert f"= {own:.4f} + {1 - own:.4f} = 1" in numbers(step)
    assert f"{float(highest.double().sum()):.1%}" in step.quiz.reveal
    (panel,) = step.maps.panels
    for (_, grid), each in zip(panel.layers, case.trace.encoding.stages, strict=True):
        np.testing.assert_array_equal(grid.ravel()[each.entered[0]], each.attention[0])
        assert np.isnan(grid).sum() == grid.size - each.entered.shape[1]


def test_the_remaining_patches_are_those_of_the_encoder(case, workspace):
    step, encoding = STEPS["dropping"](case), case.trace.encoding
    counts = [128, *(stage.kept.shape[1] for stage in encoding.stages)]
    for before, after in pairwise(counts):
        assert rf"\lceil 0.8 \cdot {before} \rceil}} = {after}" in numbers(step)
    assert f"{128 - counts[-1]} of 128 patches were dropped over 3 layers" in step.today
    record = workspace.dataset.query[0]
    image = to_tensor([resize_image(workspace.dataset.read(record), case.config.image_size)], case.config)
    fewer = case.retriever.encode(case.retriever.prepare(image), PruneSettings(0.5))
    assert "keep rate of 0.5" in step.quiz.prompt
    assert answer(step) == str(fewer.patches.shape[1])


def test_the_ground_cost_is_one_minus_the_cosine_of_the_tokens(case):
    step = STEPS["cost"](case)
    query, _, gallery, _ = tokens_of(case)
    cost = 1 - cosines(query, gallery)
    np.testing.assert_allclose(step.maps.links, cost, atol=2e-5)
    row = int(np.flatnonzero(case.plan.query_positions == step.maps.start)[0])
    column = int(cost[row].argmin())
    product, one, other, value = map(float, re.findall(r"\d+\.\d+|-\d+\.\d+", numbers(step)))
    assert value == pytest.approx(cost[row].min(), abs=1e-4)
    assert product == pytest.approx(query[row] @ gallery[column], abs=0.01)
    assert (one, other) == pytest.approx((np.linalg.norm(query[row]), np.linalg.norm(gallery[column])), abs=1e-3)
    assert f"average over that image is {cost[row].mean():.4f}" in step.today
    assert answer(step) == "the same"
    assert f"It is {cost[row].min():.4f}" in step.quiz.reveal


def test_the_weights_are_the_marginals_of_the_variant(case):
    step = STEPS["weights"](case)
    query, _, gallery, cls = tokens_of(case)
    paper = case.trace.settings.variant is Variant.PAPER
    agreement = query @ gallery.mean(axis=0) if paper else cosines(query, cls[None])[:, 0]
    weights = np.maximum(agreement, 0)
    most = int(weights.argmax())
    value, total, result = map(float, re.findall(r"\d+\.\d+", numbers(step)))
    assert value == pytest.approx(agreement[most], rel=1e-3)
    assert total == pytest.approx(weights.sum(), rel=1e-3)
    assert result == pytest.approx(weights[most] / weights.sum(), abs=1e-4)
    shown = step.maps.panels[0].layers[0][1].ravel()
    np.testing.assert_allclose(shown[case.plan.query_positions], weights / weights.sum(), atol=1e-5)
    assert np.nansum(step.maps.panels[1].layers[0][1]) == pytest.approx(1, abs=1e-5)
    assert f"{weights[most] / weights.sum() * len(weights):.2f} times" in step.quiz.reveal


def test_transport_equals_the_search_and_the_exact_plan_equals_pot(case):
    step, result = STEPS["transport"](case), case.trace.match.transport
    index, settings = case.position, case.trace.settings.transport
    assert f"= {result.distance[index]:.4f} " in numbers(step)
    assert f"{result.iterations[index]} iterations" in numbers(step)
    assert numbers(step).endswith(f"{result.marginal_error[index]:.4f}")
    a, b = (each[index].astype(np.float64) for each in (result.query_marginal, result.gallery_marginal))
    exact = ot.emd2(a / a.sum(), b / b.sum(), case.plan.cost.astype(np.float64))
    assert f"Exact optimal transport would give {exact:.4f}" in step.today
    assert answer(step) == "it falls"

    problem = step.runs.pair
    run, shown = problem.start
    assert problem.runs[run].epsilon == settings.epsilon
    snapshot = problem.runs[run].snapshots[shown]
    assert snapshot.iteration == result.iterations[index]
    assert snapshot.error == pytest.approx(float(result.marginal_error[index]), abs=1e-4)
    same = np.exp((snapshot.f[:, None] + snapshot.g[None, :] - problem.cost) / settings.epsilon)
    np.testing.assert_allclose(same, plan(torch.from_numpy(case.plan.cost), result, index, settings), atol=1e-5)
    assert snapshot.cost == pytest.approx(float(result.distance[index]), abs=1e-4)
    run_costs = [each.snapshots[-1].cost for each in problem.runs]
    assert run_costs == sorted(run_costs, reverse=True)
    assert run_costs[-1] > problem.exact_cost - 1e-4


def test_every_formula_cites_its_number_in_the_paper(case):
    """Weights and ground cost have no equation number in the paper; Eq. 6 to 9 are the constraints on the plan."""
    cited = {step.key: [each.source for each in step.equations if each.source] for step in lesson(case)}
    assert cited == {
        "patches": ["Eq. 1"],
        "attention": ["Eq. 2"],
        "dropping": ["Sec. 3.1"],
        "cost": ["Sec. 3.2"],
        "weights": ["Sec. 3.2"],
        "transport": ["Eq. 5 to 9", "Sinkhorn"],
        "distance": ["Eq. 10"],
        "tokens": ["Eq. 11"],
        "shares": ["Eq. 13"],
        "masks": ["Intersection over union"],  # This formula is not in the paper.
    }
    (formula, *_) = STEPS["transport"](case).equations
    assert all(part in formula.symbols for part in (r"P \ge 0", "P 1 = a", r"P^\top 1 = b"))
    assert r"the paper: } \le" in formula.numbers[0]
    assert "the paper omits this" in STEPS["weights"](case).text


def test_the_toy_plan_matches_the_solution_by_hand():
    problem = toy()
    by_hand = np.array([[0.25, 0.15, 0, 0], [0, 0.1, 0.2, 0], [0, 0, 0.05, 0.15], [0, 0, 0, 0.1]])
    np.testing.assert_allclose(problem.exact, by_hand, atol=1e-12)
    assert problem.exact_cost == pytest.approx(0.1 * (0.15 + 0.2 + 0.15))
    last = problem.runs[-1].snapshots[-1]
    blurred = np.exp((last.f[:, None] + last.g[None, :] - problem.cost) / problem.runs[-1].epsilon)
    np.testing.assert_allclose(blurred, by_hand, atol=1e-3)
    start = problem.runs[0].snapshots[0]
    assert (start.iteration, start.fitted) == (0, "none")
    assert [each.fitted.value for each in problem.runs[2].snapshots[1:5]] == ["rows", "columns", "rows", "columns"]


def test_the_distance_is_the_mixture_and_its_parts_add_up(case):
    step, trace = STEPS["distance"](case), case.trace
    d_cos, d_emd = trace.match.shortlist.d_cos[case.position], trace.match.transport.distance[case.position]
    alpha, *shown = map(float, re.findall(r"\d+\.\d+", numbers(step)))
    assert shown[:3] == [pytest.approx(d_cos, abs=5e-5), 0.4, pytest.approx(d_emd, abs=5e-5)]
    cosine, moved, total = shown[3:]
    assert total == pytest.approx(
        trace.by_distance.distance.tolist()[trace.by_distance.indices.tolist().index(case.hit)], abs=5e-5
    )
    assert round(cosine + moved, 4) == total
    assert alpha == 0.6
    records, subject = case.records, case.subject
    people = [
        records[row]
        for row in trace.by_cosine.indices.tolist()
        if (records[row].identity, records[row].camera) != (subject.identity, subject.camera)
    ]
    nearest = records[case.hit]
    expected = 0 if people[0] == nearest else (1 if people[0].identity == nearest.identity else 2)
    assert step.quiz.answer == expected


def test_the_token_count_is_that_of_the_decoder_input(case):
    step, trace, memory = STEPS["tokens"](case), case.trace, case.retriever.memory

    def given(count):
        rows = trace.by_distance.indices[:count]
        parts = (torch.from_numpy(np.asarray(memory.cls[rows])), memory.patches(rows))
        return decoder_input(trace.encoding.cls[0], trace.encoding.patches[0], *parts, trace.settings.variant).shape[0]

    assert f"= {given(4)} " in numbers(step)
    assert "K = 8" in step.quiz.prompt
    assert answer(step) == f"{given(8):,}"
    right = sum(
        (case.records[row].identity == case.subject.identity) and case.records[row].camera != case.subject.camera
        for row in trace.consolidation.neighbors
    )
    assert step.today.startswith(f"{right} of the 4 neighbours")


def test_without_a_neighbour_the_decoder_is_run_again(case):
    trace, row = case.trace, int(case.trace.consolidation.neighbors[1])
    others = np.array([each for each in trace.consolidation.neighbors if each != row])
    changed = case.retriever.by_feature(
        case.retriever.consolidate(trace.encoding, others, trace.settings.variant).feature
    )

    def first_right(ranking):
        people = [case.records[each] for each in ranking.indices]
        people = [each for each in people if (each.identity, each.camera) != (case.subject.identity, 0)]
        return 1 + next(position for position, each in enumerate(people) if each.identity == case.subject.identity)

    sentence = without(case, row)
    assert f"would be at rank {first_right(changed)};" in sentence
    assert sentence.endswith(f"at rank {first_right(trace.final)}.")


def test_the_shares_are_the_decoders_attention(case):
    step, result = STEPS["shares"](case), case.trace.consolidation
    cls, query, neighbors = map(float, re.findall(r"\d\.\d{4}", numbers(step)))
    expected = (result.cls_share, result.query_share, result.neighbor_shares.sum())
    assert (cls, query, neighbors) == pytest.approx(expected, abs=1e-4)
    assert round(cls + query + neighbors, 4) == 1
    most = int(result.neighbor_shares.argmax())
    assert f"got the largest share, {result.neighbor_shares[most]:.1%}" in step.today
    grids = {panel.row: panel.layers[0][1] for panel in step.maps.panels}
    for row, grid in zip(result.neighbors.tolist(), result.neighbor_grids, strict=True):
        np.testing.assert_array_equal(grids[row], grid)
    assert (None in grids) == (case.trace.settings.variant is Variant.PAPER)


CORNERS = {
    "unknown identity": (DEFAULT, False),
    "nothing dropped": (DEFAULT.with_keep_rate(1.0), True),
    "half kept": (DEFAULT.with_keep_rate(0.5), True),
    "one neighbour": (replace(DEFAULT, neighbors=1), True),
    "cosine alone": (replace(DEFAULT, alpha=0.0), True),
    "transport alone": (replace(DEFAULT, alpha=1.0), False),
    "alpha at a swap": (replace(DEFAULT, alpha=0.41237), True),
    "exact": (replace(DEFAULT, transport=TransportSettings(Solver.EXACT)), True),
    "released solver": (replace(DEFAULT, transport=TransportSettings(Solver.RELEASED)), True),
    "small epsilon": (replace(DEFAULT, transport=TransportSettings(epsilon=0.005)), True),
    "random": (replace(DEFAULT, prune=PruneSettings(0.7, DropStrategy.RANDOM)), True),
    "salient": (replace(DEFAULT, prune=PruneSettings(0.7, DropStrategy.SALIENT)), True),
    "given": (replace(DEFAULT, prune=PruneSettings().with_given(((3, 4), (), (90,)))), True),
    "nothing given": (replace(DEFAULT, prune=PruneSettings().with_given(((), (), ()))), False),
    "shortlist of one": (replace(DEFAULT, neighbors=1, shortlist=1), True),
}


def test_the_step_on_masks_compares_with_dropping_all_patches_at_once(case):
    step, encoding = STEPS["masks"](case), case.trace.encoding
    dropped = set(range(case.config.patches)) - set(encoding.positions[0].tolist())
    attention = encoding.stages[0].attention[0].numpy()
    least = set(np.argsort(-attention, kind="stable")[len(attention) - len(dropped) :].tolist())
    both, either = len(dropped & least), len(dropped | least)
    first = case.config.patches - encoding.stages[0].kept.shape[1]
    assert rf"\frac{{{first}}}{{{len(dropped)}}} = {first / len(dropped):.2f}" in numbers(step)
    assert step.quiz.reveal.startswith(f"{both} patches belong to both sets and {either} to at least one")
    low, high = (0, *RANGE_ENDS)[step.quiz.answer], (*RANGE_ENDS, 1)[step.quiz.answer]
    assert low <= both / either <= high
    assert f"{len(dropped)} of {case.config.patches} patches are dropped" in step.today
    masks = (MaskOutcome(MODEL, frozenset(dropped), 2, 2, 0.2), MaskOutcome(YOURS, frozenset(), 1, 1, 0.1))
    assert "Your mask does best" in STEPS["masks"](replace(case, masks=masks)).today


@pytest.mark.parametrize("name", CORNERS)
def test_every_setting_gives_ten_complete_steps(workspace, name):
    settings, known = CORNERS[name]
    steps = lesson(context_of(workspace, settings, known))
    assert [step.key for step in steps] == list(STEPS)
    for step in steps:
        assert step.question.endswith("?")
        assert step.equations
        shown = " ".join([step.text, step.today, step.quiz.prompt, step.quiz.reveal, *step.quiz.choices, numbers(step)])
        assert "nan" not in shown.lower().split()
        assert "None" not in shown
        assert "-0.0000" not in shown


@pytest.mark.parametrize("side", ["query", "gallery"])
def test_a_hit_that_agrees_with_nothing_is_explained(workspace, monkeypatch, side):
    settings = replace(DEFAULT, transport=TransportSettings(Solver.RELEASED))

    def without_agreement(*arguments):
        a, b = marginals(*arguments)
        return (torch.zeros_like(a), b) if side == "query" else (a, torch.zeros_like(b))

    monkeypatch.setattr(retrieval, "marginals", without_agreement)
    context = context_of(workspace, settings)
    if side == "query":
        monkeypatch.setattr(steps_cost, "_agreement", lambda case: np.full(len(case.plan.plan), -0.1))
    steps = {step.key: step for step in lesson(context)}
    assert "D_EMD = 1.0000, because no patch of one image agrees" in steps["transport"].today
    expected = "with equal weights" if side == "query" else "gives the hit no weight"
    assert expected in numbers(steps["weights"]) + steps["weights"].today
    shown = " ".join(step.today + numbers(step) + step.quiz.reveal for step in steps.values())
    assert "nan" not in shown.lower().split()


def test_the_text_is_short_and_every_term_is_introduced_once(case):
    introduced = []
    for step in lesson(case):
        assert len(step.text.split()) <= 60, step.key
        assert len(step.today.split()) <= 60, step.key
        introduced += re.findall(r"\*\*(.+?)\*\*", step.text)
    assert len(introduced) == len(set(introduced))
    assert {"[cls]", "patches", "keep rate", "ground cost", "marginals", "transport plan", "shortlist"} <= {
        term.lower() for term in introduced
    }


def test_another_hit_can_be_selected(workspace):
    rows = context_of(workspace).trace.by_distance.indices
    followed = context_of(workspace, requested=int(rows[5]))
    assert followed.hit == rows[5]
    assert context_of(workspace, requested=10_000).hit == context_of(workspace).hit
    assert f"hit {followed.name(followed.hit)}" in STEPS["cost"](followed).today


def test_questions_have_one_right_answer():
    with pytest.raises(ValueError, match="at least 2 different"):
        Quiz("?", ("a", "a"), 0, "")
    with pytest.raises(ValueError, match=r"index of a choice in 0\.\.1"):
        Quiz("?", ("a", "b"), 2, "")
    assert count_choices(5, (5, 5, 7, 1, 9, 11)) == (("1", "5", "7", "9"), 1)
    assert choose_near(math.sqrt(2 * 4) - 0.01, (1, 2, 4)) == 1

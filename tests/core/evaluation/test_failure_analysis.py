"""The failure analysis puts every query into exactly one class, and its numbers equal those of single searches."""

from dataclasses import astuple, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fpc_core.config import DropStrategy, PruneSettings, QuerySettings
from fpc_core.data.ground_truth import PERSON, Occlusion
from fpc_core.data.match_rule import MatchRule
from fpc_core.evaluation.engine.passes import ENCODER, Pass, Point
from fpc_core.evaluation.engine.protocol import encoder_state
from fpc_core.evaluation.engine.result_store import ResultStore
from fpc_core.evaluation.engine.runner import run_passes
from fpc_core.evaluation.failure_analysis.cases import (
    DESCRIPTIONS,
    NAMES,
    Answer,
    Filter,
    Outcome,
    QueryOutcome,
    Stage,
    atlas_table,
    by_precision,
    classify,
    group_by_outcome,
    pruned_away,
    survived_share,
)
from fpc_core.evaluation.failure_analysis.task import AtlasTask, Pairs
from fpc_core.evaluation.sweep.task import SweepGrid, SweepTask
from fpc_core.explain.cards import QueryIdentity
from fpc_core.explain.patch_contents import patch_areas
from fpc_core.workspace import open_workspace

SETTINGS = QuerySettings(neighbors=3, shortlist=10)


def answer(right):
    return Answer(1 / 1 if right else 1 / 2, 1 if right else 2, 0, 0 if right else 1, 0.1 if right else 0.3, 0.2)


def case(cosine, distance, consolidated, survived=None, path="query/a.png", **more):
    return QueryOutcome(Path(path), 1, 0, answer(cosine), answer(distance), answer(consolidated), survived, **more)


def test_right_at_all_three_stages_is_right():
    assert classify(case(True, True, True)) is Outcome.RIGHT


def test_wrong_by_cosine_and_right_by_d_is_fixed_by_matching():
    assert classify(case(False, True, True)) is Outcome.TRANSPORT


@pytest.mark.parametrize("cosine", [True, False])
def test_wrong_by_d_and_right_finally_is_fixed_by_consolidation(cosine):
    assert classify(case(cosine, False, True)) is Outcome.CONSOLIDATION


@pytest.mark.parametrize(("cosine", "distance"), [(True, True), (False, True), (True, False)])
def test_right_earlier_and_wrong_finally_is_broken(cosine, distance):
    assert classify(case(cosine, distance, False, survived=0.0)) is Outcome.BROKEN


@pytest.mark.parametrize("survived", [None, 0.5, 1.0])
def test_never_right_is_wrong_throughout(survived):
    assert classify(case(False, False, False, survived)) is Outcome.WRONG


def test_never_right_with_little_of_the_person_left_is_pruned_away():
    lost = case(False, False, False, survived=0.49)
    assert classify(lost) is Outcome.PRUNED
    assert classify(lost, pruned_below=0.4) is Outcome.WRONG


@pytest.mark.parametrize("cosine", [True, False])
@pytest.mark.parametrize("distance", [True, False])
def test_a_right_answer_is_not_a_failure_whatever_survives(cosine, distance):
    actual = case(cosine, distance, True, survived=0.0)
    assert pruned_away(actual)
    assert classify(actual) in (Outcome.RIGHT, Outcome.TRANSPORT, Outcome.CONSOLIDATION)


CASES = st.builds(case, st.booleans(), st.booleans(), st.booleans(), st.none() | st.floats(0, 1))


@given(st.lists(CASES, max_size=20), st.floats(0, 1))
def test_every_case_is_in_exactly_one_class(cases, below):
    actual = group_by_outcome(cases, below)
    assert list(actual) == list(Outcome)
    assert sorted(map(id, (each for several in actual.values() for each in several))) == sorted(map(id, cases))
    for outcome, several in actual.items():
        assert all(classify(each, below) is outcome for each in several)


@given(CASES, st.floats(0, 1), st.floats(0, 1))
def test_a_higher_share_only_moves_cases_from_wrong_to_pruned(one, low, high):
    before, after = classify(one, min(low, high)), classify(one, max(low, high))
    assert before is after or (before, after) == (Outcome.WRONG, Outcome.PRUNED)


def test_every_class_has_a_name_and_a_definition():
    assert set(NAMES) == set(DESCRIPTIONS) == set(Outcome)


@pytest.mark.parametrize(("precision", "first"), [(0.0, 1), (1.1, 1), (0.5, 0)])
def test_an_outcome_without_a_true_match_is_refused(precision, first):
    with pytest.raises(ValueError, match="first_match at least 1"):
        Answer(precision, first, 0, 0, None, None)


def test_the_worst_cases_come_first_and_ties_by_path():
    good, bad, also_bad = case(True, True, True), case(True, True, False, path="query/c"), case(False, True, False)
    also_bad = replace(also_bad, path=Path("query/b"))
    assert by_precision([good, bad, also_bad]) == [also_bad, bad, good]
    assert by_precision([bad, good, also_bad], best_first=True) == [good, also_bad, bad]


def test_a_filter_selects_occluder_camera_and_visible_share():
    covered = case(True, True, True, occluder="car", visible=0.5)
    unknown = case(True, True, True)
    assert Filter().accepts(covered)
    assert Filter().accepts(unknown)
    assert Filter(frozenset({"car"}), frozenset({0}), (0.5, 0.6)).accepts(covered)
    assert not Filter(frozenset({"hedge"})).accepts(covered)
    assert not Filter(cameras=frozenset({1})).accepts(covered)
    assert not Filter(visible=(0.51, 1.0)).accepts(covered)
    assert not Filter(visible=(0.0, 0.9)).accepts(unknown)


def test_the_share_that_survives_is_a_share_of_area():
    person = np.array([[1.0, 0.5], [0.25, 0.25]])
    assert survived_share(person, np.array([[True, False], [False, True]])) == 5 / 8
    assert survived_share(person, np.ones((2, 2), bool)) == 1
    assert survived_share(np.zeros((2, 2)), np.ones((2, 2), bool)) is None


@pytest.fixture(scope="module")
def workspace(small_places):
    return open_workspace(small_places, "cpu")


@pytest.fixture(scope="module")
def task(workspace):
    """Return a task whose masks show the person in the upper half of every query but the first, which has none."""
    mask = np.zeros((128, 64), np.uint8)
    mask[:64] = PERSON
    masks = {record.path: mask for record in workspace.dataset.query[1:]}
    seen = {workspace.dataset.query[0].path: Occlusion("wall", 0.5)}
    return AtlasTask(workspace.retriever, workspace.dataset, SETTINGS, masks, seen)


@pytest.fixture(scope="module")
def known(task):
    return dict(run_passes(task.work))


@pytest.fixture(scope="module")
def case_pairs(task, known):
    return task.cases_with_pairs(known)


@pytest.fixture(scope="module")
def traces(task):
    return [trace_of(task, record) for record in task.queries]


def trace_of(task, record, settings=SETTINGS):
    state = encoder_state(task.retriever, task.dataset, [record], settings.prune.blocks[0])
    return task.retriever.search(state, settings)


def test_each_case_equals_a_search_of_its_query(task, case_pairs, traces):
    records = task.retriever.memory.records
    assert len(case_pairs) == len(task.queries) == 8
    for record, (one, _), trace in zip(task.queries, case_pairs, traces, strict=True):
        subject = QueryIdentity(record.identity, record.camera)
        assert (one.path, one.identity, one.camera) == (record.path, record.identity, record.camera)
        for stage, ranking in {
            Stage.COSINE: trace.by_cosine,
            Stage.DISTANCE: trace.by_distance,
            Stage.CONSOLIDATED: trace.final,
        }.items():
            ranks = MatchRule(records, subject, task.dataset.uses_cameras).ranks(ranking)
            actual, distance = one.answers[stage], dict(zip(ranking.indices.tolist(), ranking.distance, strict=True))
            same = [row for row in ranks if records[row].identity == record.identity]
            others = [row for row in ranks if records[row].identity != record.identity]
            assert ranks[actual.hit] == 1
            assert actual.right == (actual.hit in same)
            assert records[actual.right_hit].identity == record.identity
            if same:  # Otherwise, the first true match is outside the shortlist.
                assert actual.first_match == ranks[same[0]]
                assert actual.right_hit == same[0]
                assert actual.match == pytest.approx(distance[same[0]], abs=1e-6)
            assert actual.other == pytest.approx(distance[others[0]], abs=1e-6)


def test_ap_after_consolidation_equals_a_sweep(task, case_pairs, workspace):
    grid = SweepGrid((SETTINGS.prune.keep_rate,), (SETTINGS.alpha,), (SETTINGS.neighbors,))
    sweep = SweepTask(workspace.retriever, workspace.dataset, grid, SETTINGS)
    (result,) = dict(run_passes(sweep.work)).values()
    np.testing.assert_array_equal(
        [one.consolidated.average_precision for one, _ in case_pairs], result.average_precision[:, 0]
    )
    np.testing.assert_array_equal([one.consolidated.first_match for one, _ in case_pairs], result.first_match[:, 0] + 1)


def test_outside_the_shortlist_images_are_ranked_by_cosine(workspace):
    """With a shortlist of one image, D determines the first rank only, and D_cos all later ones."""
    task = AtlasTask(workspace.retriever, workspace.dataset, QuerySettings(neighbors=1, shortlist=1))
    for one, _ in task.cases_with_pairs(dict(run_passes(task.work))):
        assert one.distance.average_precision == one.cosine.average_precision
        assert one.distance.hit == one.cosine.hit
        assert None in (one.distance.match, one.distance.other)


def test_the_surviving_share_is_that_of_the_remaining_patches(task, case_pairs, traces):
    first, *rest = (one for one, _ in case_pairs)
    assert first.survived is None
    assert (first.occluder, first.visible) == ("wall", 0.5)
    for one, record, trace in zip(rest, task.queries[1:], traces[1:], strict=True):
        person, _ = patch_areas(task.masks[record.path], task.retriever.model.config)
        kept = trace.encoding.positions[0].numpy()
        assert one.survived == pytest.approx(person.reshape(-1)[kept].sum() / person.sum())
        assert (one.occluder, one.visible) == ("", None)


def test_pairs_are_the_shortlist_without_junk(task, case_pairs, traces):
    records = task.retriever.memory.records
    for record, (one, pairs), trace in zip(task.queries, case_pairs, traces, strict=True):
        rows = [
            row
            for row in trace.by_cosine.indices.tolist()
            if (records[row].identity, records[row].camera) != (record.identity, record.camera)
        ]
        assert pairs.same.tolist() == [records[row].identity == record.identity for row in rows]
        assert pairs.distance[Stage.DISTANCE].min() == min(
            each for each in (one.distance.match, one.distance.other) if each is not None
        )
        expected = dict(zip(trace.by_distance.indices.tolist(), trace.by_distance.distance.tolist(), strict=True))
        assert pairs.distance[Stage.DISTANCE] == pytest.approx([expected[row] for row in rows], abs=1e-6)
    joined = Pairs.concatenate([pairs for _, pairs in case_pairs])
    assert len(joined.same) == sum(len(pairs.same) for _, pairs in case_pairs)
    assert Pairs.concatenate([]).same.shape == (0,)


def test_unfinished_queries_are_not_included(task, known, case_pairs):
    fresh = replace(task)
    assert fresh.cases_with_pairs({}) == []
    steps = run_passes(fresh.work)
    eval_pass, result = next(steps)
    ((one, _),) = fresh.cases_with_pairs({eval_pass: result})
    assert one.path == case_pairs[0][0].path
    assert astuple(one.consolidated) == pytest.approx(astuple(case_pairs[0][0].consolidated), rel=1e-5)
    steps.close()


def test_stored_cases_are_read_again(task, case_pairs, tmp_path):
    store = ResultStore(tmp_path / "results")
    fresh = replace(task)
    list(run_passes(fresh.work, save=store.save))
    kept = store.load(fresh.work)
    assert kept.notes == ()
    assert fresh.work.done(kept.known) == fresh.work.total
    assert [one for one, _ in replace(task).cases_with_pairs(kept.known)] == [one for one, _ in case_pairs]


def test_results_of_a_sweep_are_not_used_as_cases(task, workspace, tmp_path):
    """Results of both are stored in one file, but those of a sweep lack the distances that cases need."""
    store = ResultStore(tmp_path / "results")
    grid = SweepGrid((SETTINGS.prune.keep_rate,), (SETTINGS.alpha,), (SETTINGS.neighbors,))
    sweep = SweepTask(workspace.retriever, workspace.dataset, grid, SETTINGS)
    list(run_passes(sweep.work, save=store.save))
    assert task.work.done(store.load(task.work).known) == 0
    list(run_passes(task.work, save=store.save))
    assert len(list(store.folder.iterdir())) == 1
    assert sweep.work.done(store.load(sweep.work).known) == sweep.work.total


def test_random_drops_equal_those_of_a_search(workspace):
    settings = replace(SETTINGS, prune=PruneSettings(0.6, DropStrategy.RANDOM, seed=3))
    dataset = replace(workspace.dataset, query=workspace.dataset.query[:2])
    task = AtlasTask(workspace.retriever, dataset, settings)
    case_pairs = task.cases_with_pairs(dict(run_passes(task.work)))
    for record, (one, _) in zip(task.queries, case_pairs, strict=True):
        trace = trace_of(task, record, settings)
        assert one.consolidated.other == pytest.approx(
            next(
                distance
                for row, distance in zip(trace.final.indices.tolist(), trace.final.distance, strict=True)
                if task.retriever.memory.records[row].identity != record.identity
            ),
            abs=1e-5,
        )


def test_an_analysis_without_true_matches_is_refused(workspace):
    strangers = tuple(replace(record, identity=99) for record in workspace.dataset.query)
    with pytest.raises(ValueError, match="nothing to classify"):
        AtlasTask(workspace.retriever, replace(workspace.dataset, query=strangers), SETTINGS)


def test_a_gallery_pass_computes_features_only():
    with pytest.raises(ValueError, match="encoder features only"):
        Pass(SETTINGS, (ENCODER,), gallery=True, matched=True)
    assert Pass(SETTINGS, (Point(0.4, 3),), matched=True).needs_match
    assert not Pass(SETTINGS, (ENCODER,)).needs_match


def test_the_table_has_a_row_per_case_and_names_the_hit(task, case_pairs):
    cases = [one for one, _ in case_pairs]
    paths = {row: record.path.as_posix() for row, record in enumerate(task.retriever.memory.records)}
    table = atlas_table(cases, paths)
    assert table["query"].tolist() == [one.path.as_posix() for one in cases]
    assert table["class"].tolist() == [NAMES[classify(one)] for one in cases]
    assert table["camera"].tolist() == [1] * 8
    assert table["D: first hit"].tolist() == [paths[one.distance.hit] for one in cases]
    assert table["consolidated: AP"].tolist() == [one.consolidated.average_precision for one in cases]
    assert table["consolidated: distance of the nearest true match"].notna().all()

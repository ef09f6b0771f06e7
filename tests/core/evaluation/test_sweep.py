"""Every cell of a sweep equals an evaluation, cells share results, and a stopped sweep resumes."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fpc_core.config import QuerySettings, Variant
from fpc_core.data.datasets import ImageRecord
from fpc_core.evaluation.engine.passes import PassResult
from fpc_core.evaluation.engine.result_store import ResultStore
from fpc_core.evaluation.engine.runner import run_passes
from fpc_core.evaluation.sweep.tables import best_cell, format_sweep, sweep_cells, sweep_table
from fpc_core.evaluation.sweep.task import SweepGrid, SweepTask
from fpc_core.workspace import cache_folder, open_workspace
from tests.support import reference_scores

GRID = SweepGrid((1.0, 0.6), (0.0, 0.4, 1.0), (1, 3))
BASE = QuerySettings(neighbors=1, shortlist=10)


@pytest.fixture(scope="module")
def workspace(small_places):
    return open_workspace(small_places, "cpu")


@pytest.fixture(scope="module")
def task(workspace):
    return SweepTask(workspace.retriever, workspace.dataset, GRID, BASE)


@pytest.fixture(scope="module")
def whole(task):
    return dict(run_passes(task.work))


@pytest.fixture
def store(tmp_path):
    return ResultStore(tmp_path / "results")


def assert_same(known, others):
    assert known.keys() == others.keys()
    for eval_pass, result in known.items():
        np.testing.assert_array_equal(result.average_precision, others[eval_pass].average_precision)
        np.testing.assert_array_equal(result.first_match, others[eval_pass].first_match)


def evaluated(task, rate, alpha, neighbors):
    """Return the scores of single searches with this keep rate, alpha and number of neighbours."""
    settings = replace(task.settings.with_keep_rate(rate), alpha=alpha, neighbors=neighbors)
    return reference_scores.scores(task.retriever, task.dataset, settings)


def cell_of(task, known, rate, alpha, neighbors, ranks=50):
    return known[task.pass_of(rate)].scores(task.point_index(alpha, neighbors), ranks)


@given(
    rate=st.sampled_from([1.0, 0.8, 0.55, 0.3]),
    alpha=st.sampled_from([0.0, 0.15, 0.4, 0.85, 1.0]),
    neighbors=st.integers(1, 10),
    variant=st.sampled_from(Variant),
)
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_cell_equals_single_searches_with_its_settings(workspace, rate, alpha, neighbors, variant):
    grid = SweepGrid((0.9, rate), (0.5, alpha), (2, 11 - neighbors) if neighbors == 2 else (2, neighbors))
    task = SweepTask(workspace.retriever, workspace.dataset, grid, replace(BASE, variant=variant))
    expected = evaluated(task, rate, alpha, neighbors := grid.neighbors[1])
    cell = cell_of(task, dict(run_passes(task.work)), rate, alpha, neighbors, ranks=len(expected.cmc))
    np.testing.assert_array_equal(cell.average_precision, expected.average_precision)
    np.testing.assert_array_equal(cell.first_match, expected.first_match)
    np.testing.assert_array_equal(cell.cmc, expected.cmc)
    assert (cell.rank1, cell.mean_ap) == (expected.rank1, expected.mean_ap)


def test_a_query_without_a_true_match_is_skipped_as_in_the_metric(workspace):
    stranger = replace(workspace.dataset.query[0], identity=999)
    dataset = replace(workspace.dataset, query=(stranger, *workspace.dataset.query[1:4]))
    task = SweepTask(workspace.retriever, dataset, GRID, BASE)
    assert (task.skipped, len(task.queries)) == (1, 3)
    expected = evaluated(task, 0.6, 0.4, 3)
    cell = cell_of(task, dict(run_passes(task.work)), 0.6, 0.4, 3)
    assert expected.skipped == 1
    assert (cell.rank1, cell.mean_ap) == (expected.rank1, expected.mean_ap)


def test_a_sweep_without_true_matches_is_refused(workspace):
    dataset = replace(workspace.dataset, query=(replace(workspace.dataset.query[0], identity=999),))
    with pytest.raises(ValueError, match="no query has a true match"):
        SweepTask(workspace.retriever, dataset, GRID, BASE)


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({"alphas": ()}, "must have at least one value and be ascending or descending"),
        ({"alphas": (0.4, 0.0, 1.0)}, "must have at least one value and be ascending or descending"),
        ({"keep_rates": (0.8, 0.8)}, "without repeats"),
        ({"alphas": (0.4, 1.2)}, "alpha must be in"),
        ({"neighbors": (1, 11)}, r"K must be in 1\.\.10 \(the shortlist\), got 11"),
        ({"keep_rates": (0.0,)}, "keep rate must be in"),
    ],
)
def test_axes_that_cannot_be_swept_are_refused(workspace, grid, message):
    with pytest.raises(ValueError, match=message):
        SweepTask(workspace.retriever, workspace.dataset, replace(GRID, **grid), BASE)


def test_shared_results_of_cells_are_computed_once(task, monkeypatch):
    calls = {"prepare": 0, "encode": 0, "match": 0, "consolidate_sets": 0}
    sets = []

    def counted(name):
        original = getattr(task.retriever, name)

        def call(*arguments):
            calls[name] += 1
            if name == "consolidate_sets":
                sets.append([frozenset(each.tolist()) for each in arguments[1]])
            return original(*arguments)

        monkeypatch.setattr(task.retriever, name, call)

    for name in calls:
        counted(name)
    dict(run_passes(task.work))
    # There are 8 queries and 2 keep rates.
    assert calls == {"prepare": 1, "encode": 2, "match": 16, "consolidate_sets": 16}
    assert all(len(set(each)) == len(each) for each in sets)
    assert sum(len(each) for each in sets) < 16 * len(GRID.alphas) * len(GRID.neighbors)


def test_every_step_adds_one_query_and_keeps_earlier_results(task):
    steps = list(run_passes(task.work))
    assert [eval_pass.settings.prune.keep_rate for eval_pass, _ in steps] == [1.0] * 8 + [0.6] * 8
    assert [int(result.known.sum()) for _, result in steps] == [*range(1, 9), *range(1, 9)]
    assert steps[7][1].complete
    assert not steps[6][1].complete


def test_rounds_of_few_states_change_nothing(task, whole, monkeypatch):
    monkeypatch.setattr("fpc_core.evaluation.engine.runner.BATCH", 3)
    monkeypatch.setattr("fpc_core.evaluation.engine.runner.STATE_BYTES", 1)
    steps = list(run_passes(task.work))
    rates = [eval_pass.settings.prune.keep_rate for eval_pass, _ in steps]
    assert rates == [1.0] * 3 + [0.6] * 3 + [1.0] * 3 + [0.6] * 3 + [1.0] * 2 + [0.6] * 2
    assert_same(dict(steps), whole)


@pytest.mark.parametrize("stop", [1, 5, 8, 13, 16])
def test_a_stopped_sweep_resumes_to_the_same_result(task, whole, store, stop):
    run = run_passes(task.work, save=store.save)
    for _ in range(stop):
        next(run)
    run.close()
    kept = store.load(task.work)
    assert task.work.done(kept.known) == stop
    rest = list(run_passes(task.work, kept.known, store.save))
    assert len(rest) == 16 - stop
    assert_same(kept.known | dict(rest), whole)
    assert_same(store.load(task.work).known, whole)


def test_a_second_run_computes_nothing(task, whole, store):
    list(run_passes(task.work, save=store.save))
    kept = store.load(task.work)
    assert kept.notes == ()
    assert_same(kept.known, whole)
    assert list(run_passes(task.work, kept.known, store.save)) == []


def test_results_are_shared_between_subsets_and_all_queries(workspace, task, whole, store):
    few = SweepTask(workspace.retriever, replace(workspace.dataset, query=workspace.dataset.query[2:4]), GRID, BASE)
    list(run_passes(few.work, save=store.save))
    assert [int(result.known.sum()) for result in store.load(task.work).known.values()] == [2, 2]
    list(run_passes(task.work, save=store.save))
    stored = store.load(few.work).known[few.pass_of(0.6)]
    np.testing.assert_array_equal(stored.average_precision, whole[task.pass_of(0.6)].average_precision[2:4])


def test_a_smaller_grid_reuses_a_larger_stored_one(workspace, task, whole, store):
    list(run_passes(task.work, save=store.save))
    small = replace(task, grid=SweepGrid((0.6,), (1.0, 0.4), (3,)))
    known = store.load(small.work).known
    assert small.work.done(known) == small.work.total == 8
    for alpha in (0.4, 1.0):
        stored, expected = cell_of(small, known, 0.6, alpha, 3), cell_of(task, whole, 0.6, alpha, 3)
        np.testing.assert_array_equal(stored.average_precision, expected.average_precision)
    other = replace(task, grid=SweepGrid((0.6,), (0.4, 0.7), (3,)))
    assert other.work.done(store.load(other.work).known) == 0
    list(run_passes(other.work, save=store.save))
    assert_same(store.load(task.work).known, whole)


@pytest.mark.parametrize(
    "damage", [lambda data: data[: len(data) // 2], lambda data: b"PK" + data[2:-600], bytes.swapcase]
)
def test_a_damaged_result_file_is_named_and_recomputed(task, whole, store, damage):
    list(run_passes(task.work, save=store.save))
    path = sorted(store.folder.iterdir())[0]
    path.write_bytes(damage(path.read_bytes()))
    kept = store.load(task.work)
    assert len(kept.notes) == 1
    assert str(path) in kept.notes[0]
    assert "computed again" in kept.notes[0]
    assert len(kept.known) == 1
    assert_same(kept.known | dict(run_passes(task.work, kept.known, store.save)), whole)
    assert store.load(task.work).notes == ()


def test_stored_values_out_of_range_count_as_damage(task, store):
    list(run_passes(task.work, save=store.save))
    for path in store.folder.iterdir():
        with np.load(path) as stored:
            arrays = dict(stored)
        arrays["average_precision"][0, 0] = 1.5
        np.savez(path, **arrays)
    kept = store.load(task.work)
    assert kept.known == {}
    assert all("out of range" in note for note in kept.notes)


def test_a_file_of_other_provenance_is_ignored(task, store):
    list(run_passes(task.work, save=store.save))
    one, other = sorted(store.folder.iterdir())
    one.write_bytes(other.read_bytes())
    kept = store.load(task.work)
    assert len(kept.known) == 1
    assert "belong to other data or settings" in kept.notes[0]


@pytest.mark.parametrize(
    "change",
    [
        lambda workspace: (workspace.dataset, replace(BASE, variant=Variant.PAPER)),
        lambda workspace: (workspace.dataset, replace(BASE, shortlist=9)),
        lambda workspace: (
            replace(workspace.dataset, query=tuple(replace(each, camera=2) for each in workspace.dataset.query)),
            BASE,
        ),
    ],
)
def test_results_of_other_settings_or_queries_are_not_reused(workspace, task, store, change):
    list(run_passes(task.work, save=store.save))
    dataset, base = change(workspace)
    assert store.load(SweepTask(workspace.retriever, dataset, GRID, base).work).known == {}


def test_an_unwritable_folder_is_an_error_with_a_fix(task, whole, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="set FPC_CACHE to a writable folder"):
        ResultStore(tmp_path / "file").save(task.work, eval_pass := task.pass_of(1.0), whole[eval_pass])


def test_the_cache_folder_is_the_users_by_default(monkeypatch, tmp_path):
    monkeypatch.setenv("FPC_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("FPC_CACHE")
    assert cache_folder().name == "fpc-explorer"


def result_of(first):
    """Return the result of a point for queries with one true match each.

    Args:
        first: The 0-based rank of the match of every query, or -2 for a query without a result.
    """
    first = np.array(first)[:, None]
    return PassResult(np.where(first < 0, np.nan, 1 / np.maximum(first + 1, 1)), first, first[:, 0] >= 0)


def two_cells(workspace, queries):
    dataset = replace(workspace.dataset, query=workspace.dataset.query[:queries])
    return SweepTask(workspace.retriever, dataset, SweepGrid((1.0, 0.5), (0.4,), (1,)), BASE)


def test_cells_match_scores_by_hand(workspace):
    task = two_cells(workspace, 4)
    known = {task.pass_of(1.0): result_of([0, 1, 3, 0]), task.pass_of(0.5): result_of([0, -2, 1, -2])}
    one, half = sweep_cells(task, known)
    assert (one.rank1, one.mean_ap, one.queries) == (2 / 4, (1 + 1 / 2 + 1 / 4 + 1) / 4, 4)
    assert (one.first_match_mean, one.first_match_median) == ((1 + 2 + 4 + 1) / 4, 1.5)
    assert (half.rank1, half.mean_ap, half.queries) == (1 / 2, (1 + 1 / 2) / 2, 2)
    assert half.flops.without_attention_products < one.flops.without_attention_products
    assert best_cell([one, half]) is one  # `half` has a higher mAP, but only for two queries.


def test_the_cheapest_of_equal_cells_is_the_best(workspace):
    task = two_cells(workspace, 1)
    equal = sweep_cells(task, {task.pass_of(rate): result_of([2]) for rate in (1.0, 0.5)})
    assert best_cell(equal).keep_rate == 0.5


def test_tables_name_every_cell(task, whole):
    table = sweep_table(task, whole)
    assert len(table) == 12
    assert list(table.columns[:5]) == ["keep rate", "alpha", "K", "Rank-1", "mAP"]
    row = table[(table["keep rate"] == 0.6) & (table["alpha"] == 0.4) & (table["K"] == 3)].iloc[0]
    assert row["mAP"] == pytest.approx(100 * cell_of(task, whole, 0.6, 0.4, 3).mean_ap)
    text = format_sweep(task, whole)
    assert text.count("K = ") == 3  # In two tables and the line of the best cell.
    assert f"{row['Rank-1']:.1f} /{row['mAP']:>5.1f}" in text


def test_a_memory_without_fingerprint_cannot_store_results(workspace, whole, store):
    bare = replace(workspace.retriever.memory, fingerprint=None)
    retriever = type(workspace.retriever)(workspace.retriever.model, bare)
    work = SweepTask(retriever, workspace.dataset, GRID, BASE).work
    with pytest.raises(ValueError, match="gallery memory with a fingerprint"):
        store.save(work, work.passes[0], whole[work.passes[0]])


def test_a_missing_query_file_is_an_error(workspace, store):
    lost = ImageRecord(workspace.dataset.root / "gone.png", 1, 0, "query")
    task = SweepTask(workspace.retriever, replace(workspace.dataset, query=(lost,)), GRID, BASE)
    with pytest.raises(OSError, match=r"gone\.png"):
        store.load(task.work)

"""Tables of scores agree with single searches and torchmetrics, share results, resume, and name data and weights."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torchmetrics.retrieval import RetrievalHitRate, RetrievalMAP

from fpc_core.config import KEEP_RATES, DropStrategy, PruneSettings, QuerySettings
from fpc_core.evaluation.engine.passes import (
    ENCODER,
    Pass,
    PassTask,
    Point,
    PostProcessing,
    gallery_pass,
    resampled_per_query,
)
from fpc_core.evaluation.engine.protocol import encoder_state, feature_distance, score_distance
from fpc_core.evaluation.engine.reranking import k_reciprocal
from fpc_core.evaluation.engine.result_store import ResultStore
from fpc_core.evaluation.engine.runner import run_passes, run_with_store
from fpc_core.evaluation.metrics.bootstrap import Bootstrap, Unit, estimates
from fpc_core.evaluation.metrics.retrieval import junk_mask, match_mask
from fpc_core.evaluation.paper_tables.definitions import NAMES, Setting, scores_table, tables_of
from fpc_core.evaluation.paper_tables.published import TABLE_5
from fpc_core.evaluation.paper_tables.score_recipe import Method, ScoreRecipe, read_score_recipe
from fpc_core.evaluation.paper_tables.task import evaluation_task
from fpc_core.io.dataclass_json import RecipeError
from fpc_core.workspace import open_workspace
from tests.support import reference_scores

SETTINGS = QuerySettings(neighbors=3, shortlist=10)


@pytest.fixture(scope="module")
def workspace(small_places):
    return open_workspace(small_places, "cpu")


@pytest.fixture(scope="module")
def task(workspace):
    setting = Setting(SETTINGS, workspace.retriever.model.config, Bootstrap(200))
    return evaluation_task(workspace.retriever, workspace.dataset, tables_of(NAMES, setting))


@pytest.fixture(scope="module")
def whole(task):
    return dict(run_passes(task.work))


@pytest.fixture(scope="module")
def tables(task, whole):
    return {table.name: table for table in task.filled(whole)}


def ours(table, *labels):
    """Return our Rank-1 and mAP in the only row of `table` that begins with these labels."""
    (row,) = [row for row in table.rows if row.labels[: len(labels)] == labels]
    return row.ours["Rank-1"].value, row.ours["mAP"].value


def scored(workspace, settings, encoder=False):
    reference = reference_scores.scores(workspace.retriever, workspace.dataset, settings, encoder)
    return reference.rank1, pytest.approx(reference.mean_ap)


def pruned(keep_rate, strategy=DropStrategy.NON_SALIENT):
    return replace(SETTINGS, prune=PruneSettings(keep_rate, strategy))


def test_table_3_is_fpc_at_every_keep_rate(workspace, tables):
    for rate in KEEP_RATES:
        assert ours(tables["Table 3"], f"{rate:.1f}") == scored(workspace, pruned(rate))


def test_table_4_adds_one_component_after_another(workspace, tables):
    table = tables["Table 4"]
    assert ours(table, "1") == scored(workspace, pruned(1.0), encoder=True)
    assert ours(table, "2") == scored(workspace, SETTINGS, encoder=True)
    assert ours(table, "3") == scored(workspace, replace(SETTINGS, alpha=0.0))
    assert ours(table, "4") == scored(workspace, SETTINGS)


def test_table_5_compares_drop_strategies_and_shares_keep_rate_1(workspace, tables):
    table = tables["Table 5"]
    assert ours(table, "salient", "0.6") == scored(workspace, pruned(0.6, DropStrategy.SALIENT))
    assert ours(table, "non-salient", "0.8") == ours(tables["Table 3"], "0.8")
    assert len({ours(table, name, "1.0") for name in ("salient", "random", "non-salient")}) == 1


def test_random_drops_are_sampled_separately_for_every_query(workspace, tables):
    features, prunes = [], []
    for record in workspace.dataset.query:
        alone = replace(workspace.dataset, query=(record,))
        prunes.append(resampled_per_query(pruned(0.5, DropStrategy.RANDOM).prune, record))
        features.append(reference_scores.features(workspace.retriever, alone, replace(SETTINGS, prune=prunes[-1]))[0])
    assert len({prune.seed for prune in prunes}) == len(prunes)
    distance = feature_distance(np.stack(features), workspace.retriever.memory.unit_features)
    expected = score_distance(distance, workspace.dataset.query, workspace.dataset)
    assert ours(tables["Table 5"], "random", "0.5") == (expected.rank1, pytest.approx(expected.mean_ap))


def test_table_6_prunes_the_encoder_without_matching(workspace, tables):
    table = tables["Table 6"]
    assert ours(table, "TransReID") == scored(workspace, pruned(1.0), encoder=True)
    assert ours(table, "TransReID + T.S.") == scored(workspace, pruned(0.9), encoder=True)
    retriever, prune = workspace.retriever, PruneSettings(0.9)
    states = encoder_state(retriever, workspace.dataset, workspace.dataset.gallery, prune.blocks[0])
    encodings = retriever.encode(states, prune)
    gallery = np.stack([retriever.global_feature(encodings[row : row + 1]) for row in range(len(states.tokens))])
    queries = reference_scores.features(retriever, workspace.dataset, pruned(0.9), encoder=True)
    distance = feature_distance(queries, gallery / np.linalg.norm(gallery, axis=1, keepdims=True))
    expected = score_distance(distance, workspace.dataset.query, workspace.dataset)
    assert ours(table, "TransReID + T.S., gallery too") == (expected.rank1, pytest.approx(expected.mean_ap))


def test_table_7_re_ranks_the_consolidated_features(workspace, tables):
    features = reference_scores.features(workspace.retriever, workspace.dataset, SETTINGS)
    distance = k_reciprocal(features, workspace.retriever.memory.features)
    expected = score_distance(distance, workspace.dataset.query, workspace.dataset)
    assert ours(tables["Table 7"], "FPC + re-ranking") == (expected.rank1, pytest.approx(expected.mean_ap))


def test_fig_4_varies_alpha_and_k_one_at_a_time(workspace, tables):
    assert ours(tables["Fig. 4a"], "0.7") == scored(workspace, replace(SETTINGS, alpha=0.7))
    assert ours(tables["Fig. 4b"], "8") == scored(workspace, replace(SETTINGS, neighbors=8))
    assert [row.labels[0] for row in tables["Fig. 4b"].rows] == ["1", "2", "3", "5", "8", "10"]  # The shortlist has 10.


@pytest.mark.parametrize("name", ["Table 1", "Table 2", "Table 7"])
def test_fpc_has_the_same_scores_in_every_table(tables, name):
    assert ours(tables[name], "FPC") == ours(tables["Table 4"], "4")


def test_torchmetrics_agrees(workspace, tables):
    """Compare Rank-1, Rank-5 and mAP of a row with those of single searches without junk."""
    dataset, features = (
        workspace.dataset,
        reference_scores.features(workspace.retriever, workspace.dataset, pruned(0.7)),
    )
    distance = feature_distance(features, workspace.retriever.memory.unit_features)
    people, cameras = (np.array([getattr(r, name) for r in dataset.gallery]) for name in ("identity", "camera"))
    parts = []
    for row, record in enumerate(dataset.query):
        kept = ~junk_mask(record.identity, people, record.camera, cameras)
        matches = match_mask(record.identity, people, record.camera, cameras)[kept]
        parts.append((3 - distance[row][kept], matches, np.full(kept.sum(), row)))
    scores, matches, rows = (torch.from_numpy(np.concatenate(part)) for part in zip(*parts, strict=True))
    (row,) = [row for row in tables["Table 3"].rows if row.labels == ("0.7",)]
    assert row.ours["mAP"].value == pytest.approx(RetrievalMAP()(scores, matches, indexes=rows).item(), abs=1e-6)
    for rank in (1, 5):
        expected = RetrievalHitRate(top_k=rank)(scores, matches, indexes=rows).item()
        assert row.ours[f"Rank-{rank}"].value == pytest.approx(expected)


def test_intervals_are_those_of_the_scores_per_query(workspace, tables):
    expected = reference_scores.scores(workspace.retriever, workspace.dataset, pruned(0.7))
    values = np.stack([expected.first_match < 1, expected.average_precision], axis=1).astype(float)
    people = np.array([record.identity for record in workspace.dataset.query])
    rank_1, mean_ap = estimates(values, Bootstrap(200), people)
    (row,) = [row for row in tables["Table 3"].rows if row.labels == ("0.7",)]
    assert (row.ours["Rank-1"], row.ours["mAP"]) == (rank_1, mean_ap)
    assert row.ours.queries == 8


@pytest.mark.parametrize(
    ("unit", "text"),
    [
        (Unit.PEOPLE, "95 % bootstrap interval over the 8 people of the queries (50 resamples, seed 0)"),
        (Unit.QUERIES, "interval over the 8 queries as if they were independent (50 resamples, seed 0)"),
    ],
)
def test_tables_say_what_their_intervals_are_over(workspace, unit, text):
    recipe = ScoreRecipe(settings=SETTINGS, bootstrap=Bootstrap(50, unit=unit))
    task = evaluation_task(workspace.retriever, workspace.dataset, [scores_table(recipe)])
    (table,) = task.filled({})
    assert text in table.about[0]


def test_two_queries_of_a_person_are_resampled_together(workspace):
    recipe = ScoreRecipe(settings=SETTINGS, bootstrap=Bootstrap(50))
    scores = []
    for queries in (workspace.dataset.query, tuple(each for each in workspace.dataset.query for _ in range(2))):
        dataset = replace(workspace.dataset, query=queries)
        task = evaluation_task(workspace.retriever, dataset, [scores_table(recipe)])
        (table,) = task.filled(dict(run_passes(task.work)))
        scores.append(table.rows[0].ours)
    assert (scores[0].queries, scores[1].queries) == (8, 16)
    single, double = (each["mAP"] for each in scores)
    assert (double.low, double.high) == pytest.approx((single.low, single.high))
    assert single.low < single.high


def test_a_recipe_of_an_earlier_release_keeps_its_interval_over_queries():
    text = ScoreRecipe(bootstrap=Bootstrap(50, seed=3)).to_json()
    assert ScoreRecipe.from_json(text).bootstrap == Bootstrap(50, seed=3, unit=Unit.PEOPLE)
    earlier = json.loads(text)
    del earlier["bootstrap"]["unit"]
    assert ScoreRecipe.from_json(json.dumps(earlier)).bootstrap == Bootstrap(50, seed=3, unit=Unit.QUERIES)


def test_shared_results_of_tables_are_computed_once(task, monkeypatch):
    calls = {"prepare": 0, "match": 0}
    for name in calls:
        original = getattr(task.work.retriever, name)

        def counted(*arguments, name=name, original=original):
            calls[name] += 1
            return original(*arguments)

        monkeypatch.setattr(task.work.retriever, name, counted)
    steps = list(run_passes(task.work))
    passes = 6 + 5 + 5  # Every keep rate, and all but 1.0 for salient and random dropping.
    assert calls == {"prepare": 1 + 2, "match": 8 * passes}  # One batch of queries, two of gallery images.
    assert len(steps) == task.work.total == 8 * passes + 32 + 2


@pytest.mark.parametrize("stop", [3, 9, 20, 26, 40, 57])
def test_a_stopped_evaluation_resumes_to_the_same_tables(workspace, tables, tmp_path, stop):
    setting = Setting(SETTINGS, workspace.retriever.model.config, Bootstrap(200))
    task = evaluation_task(workspace.retriever, workspace.dataset, tables_of(["4", "6", "7"], setting))
    assert task.work.total == 3 * 8 + 32 + 2  # Three keep rates, 32 gallery images, two deferred points.
    store = ResultStore(tmp_path)
    run = run_passes(task.work, save=store.save)
    for _ in range(stop):
        next(run)
    run.close()
    kept = store.load(task.work)
    assert (task.work.done(kept.known), kept.notes) == (stop, ())
    rest = list(run_passes(task.work, kept.known, store.save))
    assert len(rest) == task.work.total - stop
    assert task.filled(kept.known | dict(rest)) == tuple(tables[f"Table {number}"] for number in (4, 6, 7))
    assert list(run_passes(task.work, store.load(task.work).known)) == []


def test_a_second_call_resumes_and_reports_progress(workspace, tmp_path):
    recipe = ScoreRecipe(settings=SETTINGS, bootstrap=Bootstrap(50))
    task = evaluation_task(workspace.retriever, workspace.dataset, [scores_table(recipe)])
    store, progress = ResultStore(tmp_path), []
    run = run_passes(task.work, save=store.save)
    next(run)
    run.close()
    kept = run_with_store(task.work, store, lambda *at: progress.append(at))
    assert progress == [(done, 8) for done in range(1, 9)]
    assert task.filled(kept.known) == task.filled(run_with_store(task.work).known)
    assert run_with_store(task.work, store, lambda *at: progress.append(at)).notes == ()
    assert progress[8:] == [(8, 8)]


def test_a_table_is_updated_after_every_query(task):
    run, known = run_passes(task.work), {}
    assert all(row.ours is None for row in task.filled(known)[2].rows)
    for _ in range(5):
        eval_pass, known[eval_pass] = next(run)
    table_4 = task.filled(known)[3]
    assert [row.ours and row.ours.queries for row in table_4.rows] == [None, 5, 5, 5]
    assert not table_4.rows[3].ours.settled
    assert not table_4.complete
    assert any("so far" in note for note in table_4.about)


def test_features_of_other_queries_are_not_re_ranked_with_these(workspace, task, whole, tmp_path):
    """Re-ranking depends on all queries, so a stored result is of no use for a part of them."""
    store = ResultStore(tmp_path)
    eval_pass = task.work.passes[0]
    store.save(task.work, eval_pass, whole[eval_pass])
    few = replace(task.work, queries=task.work.queries[:4], passes=(eval_pass,))
    known = store.load(few).known
    assert known[eval_pass].complete
    assert few.done(known) == 4
    (step,) = run_passes(few, known)
    assert step[1].is_scored(eval_pass.points.index(Point(0.4, 3, PostProcessing.RE_RANKED)))


def test_a_query_without_a_true_match_is_counted_and_not_scored(workspace):
    stranger = replace(workspace.dataset.query[0], identity=999)
    dataset = replace(workspace.dataset, query=(stranger, *workspace.dataset.query[1:]))
    recipe = ScoreRecipe(settings=SETTINGS, bootstrap=Bootstrap(50))
    task = evaluation_task(workspace.retriever, dataset, [scores_table(recipe)])
    (table,) = task.filled(dict(run_passes(task.work)))
    expected = reference_scores.scores(workspace.retriever, dataset, SETTINGS)
    assert table.rows[0].ours.queries == 7
    assert table.rows[0].ours.settled
    assert table.rows[0].ours["mAP"].value == pytest.approx(expected.mean_ap)
    assert "1 query without a true match is left out." in table.about
    with pytest.raises(ValueError, match="no query has a true match"):
        evaluation_task(workspace.retriever, replace(dataset, query=(stranger,)), [scores_table(recipe)])


def test_current_settings_are_added_to_those_of_the_paper(workspace):
    own = QuerySettings(PruneSettings(0.85), alpha=0.45, neighbors=4, shortlist=10)
    table_3, table_5, *curves = tables_of(["fig4", "3", "5"], Setting(own, workspace.retriever.model.config))
    assert [row.labels[0] for row in table_3.rows] == ["1.0", "0.9", "0.85", "0.8", "0.7", "0.6", "0.5"]
    assert table_3.rows[2].paper == ()
    assert len(table_5.rows) == 21
    assert table_5.rules == (7, 14)
    assert "0.45" in [row.labels[0] for row in curves[0].rows]
    assert "4" in [row.labels[0] for row in curves[1].rows]
    with pytest.raises(ValueError, match=r"no table '8'; choose from 1, 2, 3"):
        tables_of(["8"], Setting(own, workspace.retriever.model.config))


def test_the_papers_numbers_are_in_their_rows(tables):
    published = {(str(name).replace("_", "-"), f"{rate:.1f}"): tuple(rest) for name, rate, *rest in TABLE_5.rows}
    assert {row.labels: row.paper for row in tables["Table 5"].rows} == published
    assert tables["Table 4"].rows[3].paper == (76.7, 72.8)
    assert tables["Table 6"].rows[1].paper == (68.2, 60.0, 80.9, 75.0)
    assert {row.labels[0]: row.paper for row in tables["Fig. 4a"].rows if any(row.paper)} == {"0.4": (76.7, 72.8)}


def test_a_row_names_data_and_weights_and_can_be_read_back(workspace, tables, tmp_path):
    recipe = tables["Table 5"].rows[8].recipe
    assert recipe.data == "Small world"
    assert recipe.weights == workspace.retriever.memory.fingerprint.weights
    assert recipe.settings.prune.strategy is DropStrategy.RANDOM
    (tmp_path / "recipe.json").write_text(recipe.to_json())
    assert read_score_recipe(tmp_path / "recipe.json") == recipe
    again = evaluation_task(workspace.retriever, workspace.dataset, [scores_table(recipe)])
    (table,) = again.filled(dict(run_passes(again.work)))
    assert table.rows[0].ours == tables["Table 5"].rows[8].ours


@pytest.mark.parametrize("name", ["weights", "gallery", "queries"])
def test_a_recipe_of_other_data_or_weights_is_refused(workspace, name):
    recipe = replace(ScoreRecipe(settings=SETTINGS), **{name: "0" * 64, "data": "Elsewhere"})
    with pytest.raises(RecipeError, match=f"made with the {name} 000000000000 of Elsewhere"):
        evaluation_task(workspace.retriever, workspace.dataset, [scores_table(recipe)])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"format": 1, "method": "luck"}', "method must be one of encoder, fpc, fpc"),
        ('{"format": 1, "gallery_keep_rate": 0.9}', "gallery_keep_rate must be 1"),
        ('{"format": 1, "bootstrap": {"resamples": 0}}', "bootstrap: resamples must be in"),
        ('{"format": 1, "settings": {"alpha": "x"}}', "settings.alpha must be a number"),
        ("[]", "JSON object with format 1"),
    ],
)
def test_an_invalid_score_recipe_names_the_field(text, message):
    with pytest.raises(RecipeError, match=message):
        ScoreRecipe.from_json(text)


def test_equivalent_recipes_are_equal():
    """Recipes that differ only in an unused strategy or seed share a pass."""
    plain = ScoreRecipe(settings=pruned(1.0))
    assert ScoreRecipe(settings=QuerySettings(PruneSettings(1.0, DropStrategy.RANDOM, seed=3))).prune == plain.prune
    assert ScoreRecipe(settings=QuerySettings(PruneSettings(0.5, seed=3))).prune == PruneSettings(0.5)
    assert ScoreRecipe(settings=QuerySettings(PruneSettings(0.5, DropStrategy.RANDOM, seed=3))).prune.seed == 3
    assert ScoreRecipe(Method.ENCODER, SETTINGS).point == ENCODER


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Point(0.4, 0), "alpha must be 0"),
        (lambda: Point(0.4, 3, PostProcessing.PRUNED_GALLERY), "a pruned gallery works only with"),
        (lambda: Pass(SETTINGS, ()), "at least one point"),
        (lambda: Pass(SETTINGS, (ENCODER, ENCODER)), "without repeats"),
        (lambda: Pass(SETTINGS, (Point(0.4, 3),), gallery=True), "encoder features only"),
        (lambda: Pass(SETTINGS, (Point(0.4, 11),)), r"K must be in 1\.\.10"),
    ],
)
def test_invalid_tables_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_pruned_gallery_needs_its_pass(workspace):
    late = Pass(pruned(0.9), (Point(then=PostProcessing.PRUNED_GALLERY),))
    with pytest.raises(ValueError, match="pass over the pruned gallery is missing"):
        PassTask(workspace.retriever, workspace.dataset, workspace.dataset.query, (late,))
    task = PassTask(
        workspace.retriever, workspace.dataset, workspace.dataset.query, (late, gallery_pass(late.settings.prune))
    )
    assert task.total == 8 + 1 + 32

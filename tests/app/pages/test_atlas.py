"""The Atlas page without a browser: its counts, cases and table agree with the library."""

import csv
import io
import shutil

import pyarrow as pa
import pytest
from pyarrow import parquet

from app.atlas.cases import case_strip, table
from fpc_core.config import QuerySettings
from fpc_core.data.ground_truth import RECORDS
from fpc_core.evaluation.engine.runner import run_passes
from fpc_core.evaluation.failure_analysis.cases import (
    NAMES,
    Outcome,
    QueryOutcome,
    Stage,
    by_precision,
    group_by_outcome,
)
from fpc_core.evaluation.failure_analysis.task import AtlasTask, Pairs
from fpc_core.evaluation.metrics.verification import error_curve
from fpc_core.explain.cards import MatchLabel
from fpc_core.workspace import open_workspace
from tests.core.evaluation.test_failure_analysis import answer
from tests.support.apptest import PAGES, ROOT, clear_caches, open_page, run_page, sent_to, texts, wait_until_finished

SETTINGS = QuerySettings(alpha=0.6, neighbors=3, shortlist=32).with_keep_rate(0.6)


@pytest.fixture
def atlas(small_world_in_use, monkeypatch, tmp_path):
    monkeypatch.setenv("FPC_CACHE", str(tmp_path / "cache"))
    page = open_page(PAGES / "atlas.py")
    page.query_params.update({"at_gamma": "0.6", "at_alpha": "0.6", "at_k": "3"})
    return page


@pytest.fixture(scope="module")
def task(small_places):
    workspace = open_workspace(small_places, "cpu")
    return AtlasTask(workspace.retriever, workspace.dataset, SETTINGS)


@pytest.fixture(scope="module")
def cases_with_pairs(task):
    return task.cases_with_pairs(dict(run_passes(task.work)))


def counts(page):
    """Return the counts on the pills, by class."""
    labels = [option.split("**")[:2] for option in page.pills(key="class-pills").options]
    return {label.split(": ")[-1].strip(): int(count) for label, count in labels}


def strips(page):
    """Return the strips of the cases on the page, in order."""
    return [data["strips"][0] for data in sent_to(page, "cards")]


def test_a_small_atlas_starts_by_itself_and_matches_the_library(atlas, cases_with_pairs):
    page = wait_until_finished(atlas)
    expected = {
        NAMES[outcome]: len(several)
        for outcome, several in group_by_outcome(case for case, _ in cases_with_pairs).items()
    }
    assert counts(page) == {"All queries": 8} | expected
    shown = texts(page)
    assert "Done: 8 of 8 searches (one per query)" in shown
    assert ":orange-badge[SYNTHETIC]" in shown
    assert "no ground-truth masks" in shown
    assert not page.warning


def test_cases_are_sorted_worst_first_and_the_order_is_stated(atlas, cases_with_pairs):
    page = wait_until_finished(atlas)
    ordered = by_precision(case for case, _ in cases_with_pairs)
    assert [strip["id"] for strip in strips(page)] == [case.path.as_posix() for case in ordered]
    assert "Showing 1–8 of 8, lowest AP first" in texts(page)
    atlas.query_params["order"] = "Best first"
    again = open_page(PAGES / "atlas.py")
    again.query_params.update(atlas.query_params)
    best = by_precision((case for case, _ in cases_with_pairs), best_first=True)
    assert [strip["id"] for strip in strips(wait_until_finished(again))] == [case.path.as_posix() for case in best]


def test_a_class_in_the_link_shows_only_its_cases(atlas, cases_with_pairs):
    several = group_by_outcome(case for case, _ in cases_with_pairs)
    outcome = max(several, key=lambda each: len(several[each]))
    atlas.query_params["class"] = outcome.value
    page = wait_until_finished(atlas)
    assert {strip["id"] for strip in strips(page)} == {case.path.as_posix() for case in several[outcome]}
    assert f"**{NAMES[outcome]}.**" in texts(page)


def test_a_chosen_class_is_in_the_link_and_an_empty_one_is_stated(atlas, cases_with_pairs):
    page = wait_until_finished(atlas)
    empty = next(
        outcome for outcome, cases in group_by_outcome(case for case, _ in cases_with_pairs).items() if not cases
    )
    page.pills(key="class-pills").set_value(empty.value)
    shown = texts(run_page(page))
    assert page.query_params["class"] in (empty.value, [empty.value])
    assert "No matching queries" in shown
    assert strips(page) == []


def test_an_unknown_class_is_reported(atlas):
    atlas.query_params["class"] = "<b>lost</b>"
    page = wait_until_finished(atlas)
    assert "it must be one of all, right, transport" in page.warning[0].value
    assert len(strips(page)) == 8


def test_cameras_filter_cases_and_counts(atlas, small_places, tmp_path, monkeypatch):
    queries = shutil.copytree(small_places.data, tmp_path / "data") / "query"
    (queries / "0001_c1_f0000002.png").rename(queries / "0001_c2_f0000002.png")
    monkeypatch.setenv("FPC_DATA", str(queries.parent))
    atlas.query_params["cameras"] = "1"
    assert counts(wait_until_finished(atlas))["All queries"] == 7
    assert not [strip["id"] for strip in strips(atlas) if "_c1_" not in strip["id"]]
    keys = {each.key for each in atlas.multiselect}
    assert keys == {"cameras"}  # A filter by occluder needs ground-truth records.
    assert "visible" not in {each.key for each in atlas.slider}


def test_moving_the_threshold_updates_the_rates(atlas, cases_with_pairs):
    page = wait_until_finished(atlas)
    pairs = Pairs.concatenate([each for _, each in cases_with_pairs])
    curve = error_curve(pairs.same, pairs.distance[Stage.CONSOLIDATED])
    assert page.metric[2].value == f"{100 * curve.equal_error:.1f} %"
    page.slider(key="threshold-consolidated").set_value(0.5)
    run_page(page)
    rates = curve.at(0.5)
    assert [each.value for each in page.metric[:2]] == [
        f"{100 * rates.false_accept:.1f} %",
        f"{100 * rates.false_reject:.1f} %",
    ]
    page.button(key="equal").click()
    run_page(page)
    assert float(page.metric[0].value[:-2]) == pytest.approx(100 * curve.equal.false_accept, abs=5)
    assert page.slider(key="threshold-consolidated").value == pytest.approx(curve.equal.threshold, abs=0.0011)


def test_the_table_has_every_case(task, cases_with_pairs):
    rows = list(csv.DictReader(io.StringIO(table(task, [case for case, _ in cases_with_pairs], 0.25))))
    assert [row["query"] for row in rows] == [
        case.path.as_posix() for case in by_precision(case for case, _ in cases_with_pairs)
    ]
    assert {row["class"] for row in rows} <= set(NAMES.values())


def test_a_case_has_first_hits_and_the_right_person_after_wrong_ones(task):
    record = task.queries[0]
    case = QueryOutcome(
        record.path, record.identity, 0, answer(False), answer(True), answer(True), 0.3, occluder="car", visible=0.5
    )
    strip = case_strip(case, record, task.retriever.memory.records, NAMES[Outcome.TRANSPORT])
    assert strip.note == "Fixed by patch matching"
    assert [card.title for card in strip.cards] == ["query", "by cosine", "right person", "by D", "final"]
    assert strip.cards[0].lines == ("person 1", "camera 1", "car", "50% visible", "30% kept")
    assert [card.tone for card in strip.cards[1:]] == [
        MatchLabel.OTHER,
        MatchLabel.MATCH,
        MatchLabel.MATCH,
        MatchLabel.MATCH,
    ]
    assert strip.cards[1].lines[:2] == ("rank 1", "AP 50.0")
    assert strip.cards[2].lines[:2] == ("rank 2", "by cosine")
    assert strip.cards[2].image == "g1"
    assert [card.id for card in strip.cards] == ["query -1", "cosine 0", "cosine-match 1", "D 0", "consolidated 0"]


def test_a_clicked_case_opens_explore_with_its_settings(atlas):
    app = open_page(ROOT / "streamlit_app.py")
    app.switch_page("app/pages/atlas.py")
    app.query_params.update({"at_gamma": "0.6", "at_alpha": "0.6", "at_k": "3"})
    wait_until_finished(app)
    app.session_state["picked-case"] = ("query/0003_c1_f0000002.png", 5)
    run_page(app)
    assert app.title[0].value == "FPC Explorer"
    params = {"query": "query/0003_c1_f0000002.png", "neighbor": "5", "gamma": "0.6", "alpha": "0.6", "k": "3"}
    assert dict(app.query_params) == params


def test_stored_results_are_shown_on_a_second_visit(atlas):
    wait_until_finished(atlas)
    clear_caches()
    again = open_page(PAGES / "atlas.py")
    again.query_params.update(atlas.query_params)
    assert "Done: 8 of 8 searches (one per query)" in texts(run_page(again))


def test_unreadable_ground_truth_records_are_reported(atlas, small_places):
    file = small_places.data / RECORDS
    parquet.write_table(pa.table({"path": ["query/a.png"]}), file)
    clear_caches()
    try:
        assert "restore or delete it" in run_page(atlas).warning[0].value
    finally:
        file.unlink()


@pytest.mark.parametrize("part", ["FPC_DATA", "FPC_WEIGHTS", "FPC_MEMORY"])
def test_missing_data_weights_or_memory_are_reported(atlas, monkeypatch, tmp_path, part):
    monkeypatch.setenv(part, str(tmp_path / "nowhere"))
    run_page(atlas)
    assert atlas.header[0].value == "No data loaded yet"

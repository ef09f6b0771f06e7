"""The Evaluate page without a browser: its scores agree with the command line and the library."""

import csv
import io
import json
import zipfile

import pytest

from app.evaluate.tables import bundle
from fpc_core.cli import main
from fpc_core.config import QuerySettings
from fpc_core.evaluation.engine.runner import run_passes
from fpc_core.evaluation.paper_tables.definitions import Setting, tables_of
from fpc_core.evaluation.paper_tables.task import evaluation_task
from fpc_core.figures.recipe import FigureKind
from fpc_core.workspace import open_workspace
from tests.support.apptest import PAGES, clear_caches, open_page, run_page, sent_to, texts, wait_until_finished

SETTINGS = QuerySettings(alpha=0.5, neighbors=3, shortlist=32)


@pytest.fixture
def evaluate(small_world_in_use, monkeypatch, tmp_path):
    monkeypatch.setenv("FPC_CACHE", str(tmp_path / "cache"))
    page = open_page(PAGES / "evaluate.py")
    page.query_params.update({"tables": ["Table 4", "Table 7"], "e_alpha": "0.5", "e_k": "3"})
    return page


def sheets(page):
    """Return the data of the page's tables, by name."""
    return {sheet["label"].split(":")[0]: sheet for sheet in sent_to(page, "score_table")}


def shown(sheet):
    """Return our Rank-1 and mAP with their intervals, for every row of a table that has them."""
    rows = [row["cells"][:2] for row in sheet["rows"] if row["pick"]]
    return [tuple((cell["text"], *cell["interval"].split(" – ")) for cell in cells) for cells in rows]


def percent(*values):
    return tuple(f"{float(value):.1f}" for value in values)


def test_nothing_is_computed_until_it_is_started(evaluate):
    page_text = texts(run_page(evaluate))
    assert ":orange-badge[SYNTHETIC]" in page_text
    assert "Not started · 0 of 17 steps (8 queries × 2 pruning settings)" in page_text
    assert "This data is synthetic" in page_text
    assert "junk" in page_text
    assert [row["cells"][0]["text"] for row in sheets(evaluate)["Table 4"]["rows"]] == ["…"] * 4
    assert sheets(evaluate)["Table 4"]["rows"][3]["cells"][2]["text"] == "76.7"


def test_page_command_line_and_library_agree(evaluate, small_places, capsys):
    run_page(evaluate).button(key="start").click()
    page = sheets(wait_until_finished(evaluate))

    workspace = open_workspace(small_places, "cpu")
    setting = Setting(SETTINGS, workspace.retriever.model.config)
    task = evaluation_task(workspace.retriever, workspace.dataset, tables_of(["4", "7"], setting))
    for table in task.filled(dict(run_passes(task.work))):
        ours = [[row.ours[measure] for measure in table.measures] for row in table.rows if row.ours]
        expected = [tuple(percent(100 * s.value, 100 * s.low, 100 * s.high) for s in row) for row in ours]
        assert shown(page[table.name]) == expected

    where = ["--data", small_places.data, "--weights", small_places.weights, "--memory", small_places.memory]
    options = ["--alpha", "0.5", "-k", "3", "--format", "csv", "--no-cache"]
    for number in ("4", "7"):
        assert main(["evaluate", "--tables", number, *map(str, where), *options]) == 0
        rows = [row for row in csv.DictReader(io.StringIO(capsys.readouterr().out.strip())) if row["recipe"]]
        heads = [[f"ours {name}", f"ours {name} low", f"ours {name} high"] for name in ("Rank-1", "mAP")]
        expected = [tuple(percent(*(row[head] for head in each)) for each in heads) for row in rows]
        assert shown(page[f"Table {number}"]) == expected


def test_a_second_visit_shows_results_and_offers_all_downloads(evaluate):
    run_page(evaluate).button(key="start").click()
    first = sheets(wait_until_finished(evaluate))
    clear_caches()
    again = open_page(PAGES / "evaluate.py")
    again.query_params.update(evaluate.query_params)
    assert "17 of 17 steps" in texts(run_page(again))
    assert sheets(again) == first
    assert not again.warning
    assert all(not button.proto.disabled for button in again.get("download_button"))


def test_the_archive_contains_every_table_in_every_format(small_places):
    workspace = open_workspace(small_places, "cpu")
    tables = tables_of(["3", "fig4"], Setting(SETTINGS, workspace.retriever.model.config))
    with zipfile.ZipFile(io.BytesIO(bundle(tables))) as archive:
        names = archive.namelist()
        assert archive.read("table-3.tex").decode().count(r"\toprule") == 1
    assert len(names) == 3 * 4
    assert {"table-3.csv", "fig-4a.md", "fig-4b.txt"} <= set(names)
    assert bundle(tables) == bundle(tables)


def test_a_clicked_recipe_is_shown_with_its_command(evaluate):
    run_page(evaluate)
    evaluate.session_state["picked-score"] = "Table 7|9"
    page_text = texts(run_page(evaluate))
    assert "FPC, then k-reciprocal re-ranking" in page_text
    assert "python -m fpc_core evaluate --recipe recipe.json" in page_text
    recipe = next(json.loads(code.value) for code in evaluate.code if code.value.startswith("{"))
    assert (recipe["method"], recipe["settings"]["alpha"], recipe["data"]) == ("fpc+re-ranking", 0.5, "Small world")
    evaluate.session_state["picked-score"] = "Table 5|0"
    assert "no longer in the table" in texts(run_page(evaluate))


def test_curves_are_drawn_for_fig_4_alone(evaluate):
    assert not run_page(evaluate).get("plotly_chart")
    evaluate.query_params["tables"] = ["Fig. 4"]
    page = open_page(PAGES / "evaluate.py")
    page.query_params.update(evaluate.query_params)
    assert len(run_page(page).get("plotly_chart")) == 2
    assert set(sheets(page)) == {"Fig. 4a", "Fig. 4b"}


def test_without_a_chosen_table_the_page_asks_for_one(evaluate):
    run_page(evaluate)
    evaluate.button_group(key="tables").set_value([])
    assert "Choose at least one table" in texts(run_page(evaluate))


@pytest.mark.parametrize("part", ["FPC_DATA", "FPC_WEIGHTS", "FPC_MEMORY"])
def test_missing_data_weights_or_memory_are_reported(evaluate, monkeypatch, tmp_path, part):
    monkeypatch.setenv(part, str(tmp_path / "nowhere"))
    run_page(evaluate)
    assert evaluate.header[0].value == "No data loaded yet"


@pytest.mark.parametrize(
    ("name", "slug", "kind"),
    [("Table 3", "table-3", FigureKind.TRADE_OFF), ("Fig. 4", "fig-4b", FigureKind.SCORE_CURVES)],
)
def test_drawable_tables_can_be_added_to_a_figure(evaluate, name, slug, kind):
    evaluate.query_params["tables"] = [name]
    run_page(evaluate).button(key=f"add-to-figure-{slug}").click()
    run_page(evaluate)
    basket = evaluate.session_state["basket"]
    assert (basket.kind, basket.items, basket.settings) == (kind, (), SETTINGS)
    assert basket.keep_rates == ((1.0, 0.9, 0.8, 0.7, 0.6, 0.5) if name == "Table 3" else ())

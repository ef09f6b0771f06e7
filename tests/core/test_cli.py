import csv
import importlib.metadata
import io
import re
import shutil
from pathlib import Path

import fpc_core  # noqa: F401  isort: skip  before timm
import numpy as np
import pytest
import torch
from timm.models.deit import VisionTransformerDistilled

from fpc_core.cli import commands, main
from fpc_core.config import QuerySettings
from fpc_core.evaluation.paper_tables.score_recipe import ScoreRecipe
from fpc_core.figures.recipe import FigureKind, FigureRecipe
from fpc_core.matching.shortlist import TorchIndex
from fpc_core.model.checkpoint import load_checkpoint
from fpc_core.results import Shortlist
from fpc_core.retrieval import Retriever
from fpc_core.runtime.out_of_memory import OutOfMemoryError
from fpc_core.training.state import WEIGHTS
from tests.support.small_workspace import CONFIG


@pytest.fixture
def world(small_places):
    places = small_places
    return places, ["--data", str(places.data), "--weights", str(places.weights), "--memory", str(places.memory)]


def test_query_prints_three_rankings_shares_and_timings(world, capsys):
    places, where = world
    image = places.data / "query" / "0001_c1_f0000002.png"
    assert main(["query", str(image), "--camera", "1", "--top", "3", *where]) == 0
    text = capsys.readouterr().out
    assert "Small world (synthetic)" in text
    assert "block 3: 103 block 6: 83 block 9: 67" in text
    assert "consolidated" in text
    assert "decoder attention (Eq. 13)" in text
    assert "milliseconds" in text


def test_query_leaves_ended_columns_blank(world, capsys, monkeypatch):
    places, where = world
    monkeypatch.setattr(commands, "settings_from", lambda *_: QuerySettings(neighbors=2, shortlist=3))
    assert main(["query", str(places.data / "query" / "0001_c1_f0000002.png"), "--top", "5", *where]) == 0
    lines = capsys.readouterr().out.splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith("rank "))
    head, *ranks = lines[start : start + 6]
    assert [len(line) for line in ranks] == [len(head)] * 5
    assert [line[4:-34].strip() == "" for line in ranks] == [False, False, False, True, True]


@pytest.fixture
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("FPC_CACHE", str(tmp_path / "cache"))


def test_evaluate_prints_cmc_and_map_with_their_intervals(world, capsys, own_cache):
    assert main(["evaluate", "-k", "3", *world[1]]) == 0
    output = capsys.readouterr()
    assert "Small world (synthetic)" in output.err
    assert re.search(r"fpc +(\d+\.\d \[\d+\.\d, \d+\.\d\] *){4}\n", output.out)
    assert "Ours: Small world (synthetic), 8 queries, 32 gallery images" in output.out
    assert "interval over the 8 people of the queries" in " ".join(output.out.split())
    assert main(["evaluate", "-k", "3", "--intervals", "queries", *world[1]]) == 0
    assert "over the 8 queries as if they were independent" in " ".join(capsys.readouterr().out.split())


def test_evaluate_prints_tables_with_the_paper_s_numbers(world, capsys, own_cache):
    assert main(["evaluate", "--tables", "4", "7", *world[1]]) == 0
    table_4, table_7 = capsys.readouterr().out.split("Table 7: ")
    assert table_4.startswith("Table 4: ")
    assert re.search(r"\n4 +yes  yes  yes  .* 76\.7 +72\.8\n", table_4)
    assert re.search(r"\nFPC \+ re-ranking +\d.* 78\.6 +78\.3\n", table_7)


def test_evaluate_reuses_results_and_writes_every_format(world, capsys, tmp_path, own_cache, monkeypatch):
    command = ["evaluate", "--tables", "all", "--resamples", "50", *world[1]]
    assert main([*command, "--out", str(tmp_path / "first")]) == 0
    names = {path.name for path in (tmp_path / "first").iterdir()}
    assert {"table-1.txt", "table-5.md", "table-7.tex", "fig-4a.csv", "fig-4b.txt"} <= names
    assert len(names) == 9 * 4
    monkeypatch.setattr("fpc_core.retrieval.Retriever.prepare", None)  # A second computation would fail.
    assert main([*command, "--out", str(tmp_path / "again"), "--format", "csv", "latex"]) == 0
    again = list((tmp_path / "again").iterdir())
    assert len(again) == 9 * 2
    assert all(path.read_bytes() == (tmp_path / "first" / path.name).read_bytes() for path in again)


def test_evaluate_repeats_the_score_of_a_recipe(world, capsys, tmp_path, own_cache):
    assert main(["evaluate", "--tables", "6", "--format", "csv", *world[1]]) == 0
    *_, last = csv.DictReader(io.StringIO(capsys.readouterr().out.strip()))
    (tmp_path / "recipe.json").write_text(last["recipe"])
    assert main(["evaluate", "--recipe", str(tmp_path / "recipe.json"), "--format", "csv", *world[1]]) == 0
    (again,) = csv.DictReader(io.StringIO(capsys.readouterr().out.strip()))
    assert again["method"] == "encoder"
    for name in ("ours Rank-1", "ours mAP", "ours mAP low", "ours mAP high", "recipe"):
        assert again[name] == last[name]


def test_an_ablation_without_true_masks_prints_tables_4_and_5(world, capsys, own_cache):
    assert main(["evaluate", "--ablation", *world[1]]) == 0
    ablation = capsys.readouterr().out
    assert main(["evaluate", "--tables", "4", "5", *world[1]]) == 0
    assert capsys.readouterr().out == ablation


def test_evaluate_refuses_invalid_combinations(world, capsys, tmp_path):
    (tmp_path / "recipe.json").write_text(ScoreRecipe(weights="0" * 64).to_json())
    recipe = ["--recipe", str(tmp_path / "recipe.json")]
    for extra, message in (
        ([*recipe], "the recipe was made with the weights 000000000000"),
        ([*recipe, "--tables", "3"], "use one of them"),
        (["--dropped", "--no-cache"], "Small world has no ground-truth masks"),
        (["--resamples", "0"], "resamples must be in"),
    ):
        assert main(["evaluate", *world[1], *extra]) == 2
        assert message in capsys.readouterr().err.splitlines()[-1]


def training_command(places, folder: Path, *recipe: str) -> list[str]:
    """Return a command that trains for one holistic step on two images each of two identities.

    Args:
        places: The world whose images are used.
        folder: The folder for the data and the run.
        *recipe: Further options of the command.
    """
    for identity in (1, 2):
        for camera in (1, 2):
            path = places.data / "bounding_box_test" / f"{identity:04d}_c{camera}_f0000001.png"
            (folder / "data" / "bounding_box_train").mkdir(parents=True, exist_ok=True)
            shutil.copy(path, folder / "data" / "bounding_box_train")
    for split in ("query", "bounding_box_test"):
        shutil.copytree(places.data / split, folder / "data" / split)
    size = ["--holistic-steps", "1", "--identities", "2", "--images", "2"]
    return ["train", str(folder / "data"), "--out", str(folder / "run"), *size, *recipe]


def test_train_starts_from_weights_and_reports_fresh_parts(world, capsys, tmp_path):
    command = training_command(world[0], tmp_path, "--fpc-steps", "0", "--init", str(world[0].weights))
    assert main(command) == 0
    text = capsys.readouterr().out
    assert "fresh: encoder.camera: 1 key, classifier: 1 key, rec_classifier: 1 key" in text
    assert "4 images of 2 identities" in text
    assert "holistic step 1 of 1: loss" in text
    assert load_checkpoint(tmp_path / "run" / WEIGHTS)[0].config.width == CONFIG.width  # --init overrides ViT-Tiny.
    assert main(command) == 0
    assert "state.pt; " in capsys.readouterr().out
    assert main([*command, "--model", "small", "--out", str(tmp_path / "other")]) == 2
    assert "omit --model" in capsys.readouterr().err


@pytest.mark.parametrize("model", [(), ("--model", "tiny")], ids=["architecture of --init", "--model tiny"])
def test_train_keeps_the_extra_tokens_of_its_first_weights(world, tmp_path, model):
    vit = VisionTransformerDistilled(img_size=(256, 128), embed_dim=192, depth=12, num_heads=3, num_classes=0)
    torch.save(vit.state_dict(), tmp_path / "deit.pth")
    init = ("--init", str(tmp_path / "deit.pth"), *model)
    assert main(training_command(world[0], tmp_path, "--fpc-steps", "0", *init)) == 0
    trained = load_checkpoint(tmp_path / "run" / WEIGHTS)[0]
    assert trained.config.vit.extra_tokens == 1
    assert not torch.equal(trained.encoder.extra, vit.dist_token + vit.pos_embed[:, 1:2])


def test_sweep_prints_tables_writes_csv_and_reuses_results(world, capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("FPC_CACHE", str(tmp_path / "cache"))
    axes = ["--keep-rates", "1", "0.7", "--alphas", "0", "0.4", "-k", "1", "5", "--csv", str(tmp_path / "cells.csv")]
    assert main(["sweep", *axes, *world[1]]) == 0
    first = capsys.readouterr().out
    assert "Rank-1 / mAP of 8 queries; 0 without a true match are left out" in first
    assert "K = 5" in first
    assert "best mAP" in first
    assert len((tmp_path / "cells.csv").read_text().splitlines()) == 1 + 2 * 2 * 2
    monkeypatch.setattr("fpc_core.retrieval.Retriever.match", None)  # A second computation would fail.
    assert main(["sweep", *axes, *world[1]]) == 0
    assert capsys.readouterr().out == first


def test_flops_prints_the_six_values_of_table_3(capsys):
    assert main(["flops"]) == 0
    text = capsys.readouterr().out
    for paper, ours in (
        ("20.8", "20.78"),
        ("18.1", "18.11"),
        ("15.7", "15.73"),
        ("13.6", "13.66"),
        ("11.9", "11.91"),
        ("10.4", "10.39"),
    ):
        assert paper in text
        assert ours in text


def test_memory_build_keeps_an_up_to_date_memory(world, capsys):
    assert main(["memory", "build", *world[1]]) == 0
    assert "32 images" in capsys.readouterr().out


def test_doctor_reports_what_works(world, capsys):
    assert main(["doctor", *world[1]]) == 0
    text = capsys.readouterr().out
    assert "ok       workspace: gallery memory of 32 images matches data and weights" in text
    assert "ok       search: a gallery image is at rank 1 of 32 in a search for itself" in text


def test_doctor_reports_what_is_missing(world, capsys, tmp_path):
    memory = str(tmp_path / "gone")
    assert main(["doctor", *world[1], "--memory", memory]) == 1
    text = capsys.readouterr().out
    assert f"problem  workspace: the gallery memory {memory} does not exist; build it with: python -m fpc_core" in text
    assert text.count("memory build") == 1
    assert f" --memory {memory}" in text


def test_doctor_continues_after_any_problem(world, capsys, monkeypatch):
    def version(name):
        raise importlib.metadata.PackageNotFoundError(name)

    def search(*_):
        raise OutOfMemoryError("no memory left for the encoder")

    monkeypatch.setattr(importlib.metadata, "version", version)
    monkeypatch.setattr(Retriever, "search", search)
    assert main(["doctor", *world[1]]) == 1
    text = capsys.readouterr().out
    assert "problem  timm is not installed; run pip install -r requirements.txt" in text
    assert "problem  search: no memory left for the encoder" in text
    monkeypatch.undo()
    monkeypatch.setattr(TorchIndex, "search", lambda *_: Shortlist(np.arange(1, 21), np.zeros(20, np.float32)))
    assert main(["doctor", *world[1]]) == 1
    assert "problem  search: gallery row 0 is not on the shortlist" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--keep-rate", "0"], "keep rate must be in"),
        (["--alpha", "2"], "alpha must be in"),
        (["--device", "toaster"], "unknown device 'toaster'"),
        (["--camera", "99"], "camera must be in 1..4, got 99"),
    ],
)
def test_invalid_settings_are_one_line_without_a_traceback(world, capsys, extra, message):
    places, where = world
    image = places.data / "query" / "0001_c1_f0000002.png"
    assert main(["query", str(image), *where, *extra]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_query_file_that_is_not_an_image_is_named(world, capsys, tmp_path):
    path = tmp_path / "notes.jpg"
    path.write_text("hello")
    assert main(["query", str(path), *world[1]]) == 2
    assert "notes.jpg" in capsys.readouterr().err


def test_a_second_round_resets_the_progress_bar():
    from tqdm import tqdm

    from fpc_core.cli.output import progress_callback

    bar = tqdm(total=5, file=io.StringIO())
    show = progress_callback(bar)
    show(3, 5)
    show(1, 4)
    assert (bar.n, bar.total) == (1, 4)
    bar.close()


def test_figure_writes_all_files(world, capsys, tmp_path):
    recipe = FigureRecipe(FigureKind.DROP_PROCESS, ("query/0001_c1_f0000002.png",))
    (tmp_path / "mine.json").write_text(recipe.to_json())
    assert main(["figure", str(tmp_path / "mine.json"), "--out", str(tmp_path / "out"), *world[1]]) == 0
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"mine.pdf", "mine.svg", "mine-300dpi.png", "mine.csv", "mine.tex"} <= written
    assert (tmp_path / "out" / "mine.json").read_text() == recipe.to_json()


def test_an_invalid_recipe_is_one_line_without_a_traceback(world, capsys, tmp_path):
    (tmp_path / "bad.json").write_text("{}")
    assert main(["figure", str(tmp_path / "bad.json"), *world[1]]) == 2
    assert capsys.readouterr().err.startswith("error: the recipe must be a JSON object with format 1")

"""The GPU benchmark, at a tiny size on the CPU, prints measurements and detects wrong results."""

from dataclasses import replace

import pytest
import torch

from benchmarks import gpu
from benchmarks.released_evaluation import KEEP_RATE, ReleasedEvaluation
from benchmarks.released_path import Gallery, released_query
from fpc_core.config import ModelConfig, Precision, PruneSettings
from fpc_core.data.datasets import open_dataset
from fpc_core.data.images import resize_image, to_tensor
from fpc_core.model.encoder import SparseEncoder
from fpc_core.model.fpc import FPC
from tests.support.small_workspace import CONFIG

TINY = ModelConfig(stride=32, width=24, heads=2)
CPU = torch.device("cpu")


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setattr(gpu, "MODELS", {"vit-tiny": TINY})
    monkeypatch.setattr("benchmarks.transport.CANDIDATES", 8)


@pytest.mark.usefixtures("tiny")
def test_tables_have_device_version_date_and_the_published_value(capsys):
    options = ["--device", "cpu", "--models", "vit-tiny", "--evaluate", "vit-tiny", "--share", "0.006"]
    assert gpu.main([*options, "--batches", "2", "--repeats", "1", "--queries", "1"]) == 0
    output = capsys.readouterr().out
    assert output.startswith("CPU (")
    assert f"torch {torch.__version__}, 20" in output
    for part in ("Parity", "images a second", "matching, 17 x 32 patches", "decoder, 321 tokens", "a whole query"):
        assert part in output
    assert "13 queries, 106 gallery images (share 0.006)" in output
    assert "**beyond**" not in output
    table = output[output.index("| way | memory s") :]
    ways = [line.split("|") for line in table.splitlines() if line.startswith(("| released", "| ours"))]
    assert [way[1].strip() for way in ways] == ["released, float32", "ours, float32", "ours, float16"]
    for way in ways:  # The whole time is the sum of two columns.
        memory, rest, whole = (float(cell) for cell in way[2:5])
        assert whole == pytest.approx(memory + rest, abs=0.11)
    assert "128.8" in output
    assert all("128.8" not in cell for way in ways for cell in way)


def test_a_wrong_result_is_reported_and_ends_with_an_error(capsys, monkeypatch):
    embed = SparseEncoder.embed

    def wrong(self, images, cameras):
        off = 0.1 if self.precision is Precision.FLOAT16 else 0.0
        return embed(self, images, cameras) + off * torch.linspace(-1, 1, self.config.width)

    monkeypatch.setattr(SparseEncoder, "embed", wrong)
    beyond = gpu.parity_table(CPU, 1)
    assert beyond
    assert all(each.startswith("float16, ") for each in beyond)
    assert any(": tokens " in each for each in beyond)
    lines = [line for line in capsys.readouterr().out.splitlines() if "**beyond**" in line]
    assert len(lines) == 2  # There is one line per variant.
    assert all(line.startswith("| float16 ") for line in lines)
    monkeypatch.setattr(gpu, "MODELS", {})
    monkeypatch.setattr(gpu, "parity_table", lambda device, queries: ["float16, paper: tokens 1 > 0.02"])
    assert gpu.main(["--device", "cpu", "--evaluate", "none"]) == 1
    assert "Beyond its bound: float16, paper: tokens 1 > 0.02" in capsys.readouterr().err


def test_a_share_that_is_smaller_than_the_shortlist_is_refused(capsys):
    with pytest.raises(SystemExit):
        gpu.main(["--device", "cpu", "--share", "0.005"])
    assert "--share must be in 0.0057..1" in capsys.readouterr().err


@pytest.mark.usefixtures("tiny")
def test_an_inaccurate_solver_is_reported(monkeypatch, capsys):
    bench = gpu.prepare(TINY)
    assert gpu.matching_table(bench, CPU, 1) == []
    monkeypatch.setattr(gpu, "solver_apart", lambda found, *given: 0.01)
    rows = gpu.matching_table(bench, CPU, 1)
    assert [each[:16] for each in rows] == ["solver, clustere", "solver, spread t"]
    monkeypatch.undo()
    cost = torch.rand(3, 4, 5)
    a, b = torch.full((3, 4), 0.25), torch.full((3, 5), 0.2)
    found = gpu.solve(cost, a, b, gpu.SETTINGS.transport)
    assert gpu.solver_apart(found, cost, a, b) == 0
    assert gpu.solver_apart(replace(found, distance=found.distance + 0.01), cost, a, b) == pytest.approx(0.01, rel=1e-3)
    capsys.readouterr()


def test_the_released_evaluation_is_the_released_path_query_by_query(small_places, monkeypatch):
    dataset = open_dataset(small_places.data)
    monkeypatch.setattr("benchmarks.released_evaluation.SHORTLIST", len(dataset.gallery))
    torch.manual_seed(0)
    model = FPC(CONFIG).eval()
    run = ReleasedEvaluation(model, dataset)
    run.make_memory()
    scores = run.infer()
    assert list(run.seconds) == ["memory", "queries", "gallery", "scores"]
    assert len(scores.average_precision) == len(dataset.query)

    def pixels(records):
        images = to_tensor([resize_image(dataset.read(record), CONFIG.image_size) for record in records], CONFIG)
        return images, torch.tensor([record.camera for record in records])

    with torch.no_grad():
        tokens = model.encode(*pixels(dataset.gallery), PruneSettings(1.0)).tokens
        features = model.global_feature(tokens)
    gallery = Gallery(tokens[:, 0], tokens[:, 1:], features)
    torch.testing.assert_close(run.features, features, atol=1e-4, rtol=1e-4)
    for row, record in enumerate(dataset.query):
        found = released_query(model, gallery, *pixels([record]), KEEP_RATE, shortlist=len(dataset.gallery))
        torch.testing.assert_close(run.queries[row], found.feature, atol=1e-4, rtol=1e-4)

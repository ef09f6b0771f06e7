"""Results in half precision and on other devices differ from those of the CPU in float32 within stated bounds."""

import subprocess
import sys
from copy import deepcopy
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch

from fpc_core.cli import main
from fpc_core.config import ModelConfig, Precision, PruneSettings, QuerySettings
from fpc_core.data.images import resize_image, to_tensor
from fpc_core.evaluation.device_parity import BOUNDS, Parity, checked_parity, on_cpu, parity
from fpc_core.gallery.builder import build_memory
from fpc_core.gallery.memory import GalleryMemoryError
from fpc_core.model.checkpoint import weights_fingerprint
from fpc_core.model.encoder import SparseEncoder
from fpc_core.model.fpc import FPC
from fpc_core.model.stem import conv_rows
from fpc_core.retrieval import Retriever
from fpc_core.workspace import Places, default_memory_folder, load_model, open_workspace

HALVES = [Precision.FLOAT16, Precision.BFLOAT16]
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def demo():
    return open_workspace(Places(), "cpu")


def at(retriever: Retriever, precision: Precision) -> Retriever:
    model = deepcopy(retriever.model)
    model.encoder.precision = precision
    return Retriever(model, retriever.memory, retriever.index)


def first_query(workspace):
    record, config = workspace.dataset.query[0], workspace.retriever.model.config
    return to_tensor([resize_image(workspace.dataset.read(record), config.image_size)], config), torch.tensor(
        [record.camera]
    )


@pytest.mark.parametrize("precision", HALVES)
def test_half_precision_stays_within_its_bounds_on_trained_weights(demo, precision):
    result = parity(demo.retriever, at(demo.retriever, precision), *first_query(demo), QuerySettings(neighbors=4))
    assert result.tokens > 1e-5  # A difference shows that half precision was used.
    assert result.beyond(BOUNDS[precision]) == []


def test_the_bounds_detect_other_weights_and_lower_precision(demo):
    changed = at(demo.retriever, Precision.FLOAT32)
    with torch.no_grad():
        changed.model.encoder.blocks[5].mlp.fc2.weight.mul_(1.5)
    images, cameras = first_query(demo)
    result = parity(demo.retriever, changed, images, cameras, QuerySettings(neighbors=4))
    assert "tokens" in " ".join(result.beyond(BOUNDS[Precision.BFLOAT16]))
    coarse = parity(demo.retriever, at(demo.retriever, Precision.BFLOAT16), images, cameras, QuerySettings(neighbors=4))
    assert any(each.startswith("tokens") for each in coarse.beyond(BOUNDS[Precision.FLOAT32]))


def test_equal_retrievers_do_not_differ(demo):
    result = parity(demo.retriever, on_cpu(demo.retriever), *first_query(demo), QuerySettings(neighbors=4))
    assert result.tokens == result.d_emd == result.dropped == result.hits == 0


@pytest.mark.parametrize("precision", HALVES)
def test_tokens_and_attention_are_float32_at_every_precision(precision):
    torch.manual_seed(0)
    encoder = SparseEncoder(ModelConfig(stride=16, width=32, heads=4)).eval()
    images = torch.rand(2, 3, 256, 128)
    exact = encoder(images, None, PruneSettings(0.9))
    encoder.precision = precision
    result = encoder(images, None, PruneSettings(0.9))
    assert result.tokens.dtype == torch.float32
    assert all(stage.attention.dtype == torch.float32 for stage in result.stages)
    assert not torch.equal(result.tokens, exact.tokens)


def test_the_patch_embedding_of_other_devices_is_the_convolution():
    torch.manual_seed(0)
    for stride in (11, 16):
        embed = torch.nn.Conv2d(3, 24, 16, stride)
        images = torch.rand(2, 3, 64, 48)
        elsewhere = conv_rows(_on_meta(embed), images.to("meta"))
        here = conv_rows(embed, images)
        assert elsewhere.shape == here.shape
        product = torch.nn.functional.unfold(images, 16, stride=stride).transpose(1, 2) @ embed.weight.flatten(1).T
        torch.testing.assert_close(product + embed.bias, here, atol=1e-5, rtol=1e-5)


def _on_meta(module: torch.nn.Module) -> torch.nn.Module:
    return deepcopy(module).to("meta")


def test_the_precision_is_part_of_the_weights_fingerprint():
    torch.manual_seed(0)
    model = FPC(ModelConfig(stride=16, width=32, heads=4))
    fingerprints = {Precision.FLOAT32: weights_fingerprint(model)}
    for precision in HALVES:
        model.encoder.precision = precision
        fingerprints[precision] = weights_fingerprint(model)
    assert len(set(fingerprints.values())) == 3


def test_a_memory_is_used_only_at_its_own_precision(small_places, tmp_path):
    places = replace(small_places, memory=tmp_path / "memory", precision=Precision.BFLOAT16)
    with pytest.raises(GalleryMemoryError, match="other weights or precision"):
        open_workspace(replace(small_places, precision=Precision.BFLOAT16), "cpu")
    exact = open_workspace(small_places, "cpu")
    model, _ = load_model(places)
    build_memory(model, exact.dataset.gallery, exact.dataset.root, places.memory)
    workspace = open_workspace(places, "cpu")
    assert workspace.device_label == "cpu in bfloat16"
    assert exact.device_label == "cpu"
    assert workspace.key != exact.key
    with pytest.raises(GalleryMemoryError, match="other weights or precision"):
        open_workspace(replace(places, precision=Precision.FLOAT32), "cpu")
    assert default_memory_folder(places) != default_memory_folder(replace(places, precision=Precision.FLOAT32))


def test_the_environment_sets_the_precision_and_a_wrong_one_is_named(monkeypatch, capsys):
    monkeypatch.setenv("FPC_PRECISION", "float16")
    assert Places.from_environment().precision == Precision.FLOAT16
    monkeypatch.setenv("FPC_PRECISION", "int3")
    assert main(["evaluate"]) == 2
    assert "unknown precision 'int3'; use float32, bfloat16, float16" in capsys.readouterr().err


def test_doctor_checks_the_bounds_of_half_precision(small_places, tmp_path, capsys, monkeypatch):
    where = ["--data", str(small_places.data), "--weights", str(small_places.weights), "--device", "cpu"]
    half = [*where, "--memory", str(tmp_path / "memory"), "--precision", "float16"]
    assert main(["memory", "build", *half]) == 0
    for bound, status, line in ((9.0, 0, "ok       parity"), (-1.0, 1, "problem  parity")):
        bounds = Parity(*[bound] * len(fields(Parity)))
        monkeypatch.setattr("fpc_core.evaluation.device_parity.BOUNDS", {Precision.FLOAT16: bounds})
        assert main(["doctor", *half]) == status
        assert f"{line} with the CPU in float32: " in capsys.readouterr().out
    assert main(["doctor", *where, "--memory", str(small_places.memory)]) == 0
    assert "parity" not in capsys.readouterr().out  # The CPU in float32 is the reference itself.


def test_a_device_beyond_the_bounds_is_reported_with_a_fix(demo, monkeypatch):
    monkeypatch.setattr(
        "fpc_core.evaluation.device_parity.BOUNDS", {Precision.FLOAT32: replace(BOUNDS[Precision.FLOAT32], hits=-1)}
    )
    with pytest.raises(ValueError, match=r"cpu differs more from the CPU .* hits 0 > -1; use --precision float32"):
        checked_parity(demo, queries=1)


def test_the_whole_path_runs_on_a_device_that_is_not_the_cpu(small_places, tmp_path):
    places = [str(each) for each in (small_places.data, small_places.weights, small_places.memory, tmp_path)]
    command = [sys.executable, "-m", "tests.support.fake_device_suite", *places]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]

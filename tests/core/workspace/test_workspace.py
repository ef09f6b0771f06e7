"""Data, weights and gallery memory are opened together and checked against each other."""

import os
from dataclasses import replace

import pytest
import torch

from fpc_core.data.datasets import DatasetError
from fpc_core.gallery.memory import GalleryMemoryError
from fpc_core.model.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from fpc_core.workspace import DEMO_ROOT, Places, choose_device, data_stamp, open_workspace, roots_in_use
from fpc_core.workspace.allowed_roots import resolve


def test_the_demo_is_the_default_and_the_environment_overrides_it(monkeypatch, tmp_path):
    assert Places.from_environment() == Places(DEMO_ROOT, DEMO_ROOT / "model.safetensors", DEMO_ROOT / "memory")
    monkeypatch.setenv("FPC_MEMORY", str(tmp_path))
    assert Places.from_environment() == replace(Places(), memory=tmp_path)


def test_an_empty_variable_counts_as_unset(monkeypatch):
    for name in ("FPC_DATA", "FPC_WEIGHTS", "FPC_MEMORY", "FPC_PRECISION"):
        monkeypatch.setenv(name, "")
    assert Places.from_environment() == Places()


def test_no_root_has_the_label_of_the_cache(monkeypatch, tmp_path):
    (tmp_path / "cache").mkdir()
    monkeypatch.setenv("FPC_CACHE", str(tmp_path / "own"))
    monkeypatch.setenv("FPC_ROOTS", str(tmp_path / "cache"))
    roots = roots_in_use()
    assert resolve("cache-2/m", roots) == tmp_path / "cache" / "m"
    assert resolve("cache/m", roots) == tmp_path / "own" / "memories" / "m"


def test_matching_data_weights_and_memory_open(small_places):
    workspace = open_workspace(small_places, "cpu")
    assert workspace.dataset.synthetic
    assert len(workspace.retriever.memory) == len(workspace.dataset.gallery)
    assert not workspace.retriever.model.training


def test_the_shipped_demo_opens_with_its_weights_and_memory():
    workspace = open_workspace(Places(), "cpu")
    assert workspace.dataset.synthetic
    assert len(workspace.dataset.query) == 210
    assert len(workspace.retriever.memory) == 1160


def test_weights_that_do_not_belong_to_the_memory_are_named(small_places, tmp_path):
    model, _ = load_checkpoint(small_places.weights)
    with torch.no_grad():
        model.encoder.cls_token.add_(1.0)
    other = tmp_path / "other.safetensors"
    save_checkpoint(model, other)
    with pytest.raises(GalleryMemoryError, match="weights"):
        open_workspace(replace(small_places, weights=other), "cpu")


@pytest.mark.parametrize(
    ("part", "error"), [("data", DatasetError), ("weights", CheckpointError), ("memory", GalleryMemoryError)]
)
def test_a_missing_part_is_named(small_places, tmp_path, part, error):
    with pytest.raises(error, match="nowhere"):
        open_workspace(replace(small_places, **{part: tmp_path / "nowhere"}), "cpu")


@pytest.mark.parametrize("home", [".", "query", "query/0001", "archive/query/0001"])
def test_the_stamp_changes_with_an_image_in_any_folder_that_is_read(tmp_path, home):
    (tmp_path / "archive" / "query" / "0001").mkdir(parents=True)
    (tmp_path / "query" / "0001").mkdir(parents=True)
    for folder in (tmp_path, *(path for path in tmp_path.rglob("*"))):
        os.utime(folder, (1, 1))
    before = data_stamp(tmp_path)
    assert data_stamp(tmp_path) == before
    (tmp_path / home / "1.jpg").touch()
    assert data_stamp(tmp_path) != before


def test_the_stamp_includes_new_folders_and_labels(tmp_path):
    stamps = [data_stamp(tmp_path / "data")]
    (tmp_path / "data").mkdir()
    stamps.append(data_stamp(tmp_path / "data"))
    (tmp_path / "data" / "0001").mkdir()
    os.utime(tmp_path / "data", (2, 2))
    stamps.append(data_stamp(tmp_path / "data"))
    (tmp_path / "data" / "0001" / "dataset.json").write_text("{}")
    stamps.append(data_stamp(tmp_path / "data"))
    assert len(set(stamps)) == 4


def test_an_unknown_device_is_refused():
    for name in ("gpu", "meta", "mps", "cpu:1"):
        with pytest.raises(ValueError, match=f"unknown device '{name}'; use auto, cpu"):
            choose_device(name)


def test_a_gpu_that_does_not_exist_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [str(choose_device(name)) for name in ("cuda", "cuda:1")] == ["cuda", "cuda:1"]
    with pytest.raises(ValueError, match="unknown device 'cuda:9'; use auto, cpu, cuda:0, cuda:1"):
        choose_device("cuda:9")


@pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA is available here")
def test_requesting_cuda_without_a_device_names_the_fix():
    assert choose_device().type == "cpu"
    with pytest.raises(ValueError, match="use --device cpu"):
        choose_device("cuda")

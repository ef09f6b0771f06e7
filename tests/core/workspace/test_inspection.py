"""An inspection finds out whether a gallery memory belongs to data and weights without opening it."""

from dataclasses import replace

import pytest
import torch

from fpc_core.data.datasets import open_dataset
from fpc_core.gallery.builder import build_memory, build_steps, memory_bytes
from fpc_core.model.checkpoint import load_checkpoint, save_checkpoint
from fpc_core.model.fpc import FPC
from fpc_core.workspace import check_cameras, choose_device, default_memory_folder, devices, open_workspace, stamp
from fpc_core.workspace.inspect import MemoryStatus, inspect_memory, inspect_weights
from tests.support.small_workspace import CONFIG


@pytest.fixture(scope="module")
def dataset(small_places):
    return open_dataset(small_places.data)


@pytest.fixture(scope="module")
def weights(small_places):
    return inspect_weights(small_places)


def test_a_memory_of_these_data_and_weights_fits(small_places, dataset, weights):
    result = inspect_memory(small_places.memory, dataset, weights)
    assert (result.status, result.images) == (MemoryStatus.FITS, 32)
    total_bytes = sum(path.stat().st_size for path in small_places.memory.glob("*.npy"))
    assert total_bytes - result.size == 4 * 128  # The headers of four arrays do not count.
    assert result.size == memory_bytes(CONFIG, 32)


def test_every_part_of_the_fingerprint_is_compared(small_places, dataset, weights):
    other = replace(weights, fingerprint="other")
    assert inspect_memory(small_places.memory, dataset, other).differs == ("weights",)
    fewer = replace(dataset, gallery=dataset.gallery[1:])
    assert inspect_memory(small_places.memory, fewer, other).differs == ("weights", "files")


def test_missing_unfinished_and_unusable_memories_are_distinguished(small_places, dataset, weights, tmp_path):
    directory = tmp_path / "memory"
    assert inspect_memory(directory, dataset, weights).status is MemoryStatus.MISSING
    model, _ = load_checkpoint(small_places.weights)
    steps = build_steps(model, dataset.gallery, dataset.root, directory, batch_size=32)
    assert next(steps) == 0
    steps.close()
    assert inspect_memory(directory, dataset, weights).status is MemoryStatus.MISSING
    larger = replace(dataset, gallery=dataset.gallery * 2)
    steps = build_steps(model, larger.gallery, dataset.root, directory)
    assert [next(steps), next(steps)] == [0, 32]
    steps.close()
    result = inspect_memory(directory, larger, weights)
    assert (result.status, result.done, result.images) == (MemoryStatus.UNFINISHED, 32, 64)
    assert inspect_memory(directory, dataset, weights).status is MemoryStatus.MISSING  # The files differ.
    result = inspect_memory(small_places.data, dataset, weights)
    assert result.status is MemoryStatus.UNUSABLE
    assert "is not a gallery memory" in result.why


def test_a_build_in_steps_can_be_stopped_and_resumed(small_places, dataset, tmp_path):
    model, _ = load_checkpoint(small_places.weights)
    steps = build_steps(model, dataset.gallery, dataset.root, tmp_path / "memory", batch_size=8)
    assert [next(steps) for _ in range(3)] == [0, 8, 16]
    steps.close()
    again = build_steps(model, dataset.gallery, dataset.root, tmp_path / "memory", batch_size=8)
    assert list(again) == [16, 24, 32]
    assert (tmp_path / "memory" / "manifest.json").is_file()
    assert not torch.is_inference_mode_enabled()


def test_unknown_cameras_are_named_before_encoding(dataset, small_places, tmp_path):
    check_cameras(dataset, CONFIG)
    check_cameras(dataset, replace(CONFIG, cameras=0))
    check_cameras(replace(dataset, uses_cameras=False), replace(CONFIG, cameras=2))
    with pytest.raises(ValueError, match="has images of camera 4, but the weights have embeddings for 2 cameras"):
        check_cameras(dataset, replace(CONFIG, cameras=2))
    torch.manual_seed(0)
    save_checkpoint(FPC(replace(CONFIG, cameras=2)).eval(), tmp_path / "two.safetensors")
    with pytest.raises(ValueError, match="choose weights trained with at least as many cameras"):
        open_workspace(replace(small_places, weights=tmp_path / "two.safetensors"), "cpu")


def test_the_key_of_a_workspace_depends_on_its_content(small_places, dataset, tmp_path):
    one, again = (open_workspace(small_places, "cpu") for _ in range(2))
    assert one.key == again.key
    torch.manual_seed(3)
    save_checkpoint(FPC(CONFIG).eval(), tmp_path / "other.safetensors")
    model, _ = load_checkpoint(tmp_path / "other.safetensors")
    places = replace(small_places, weights=tmp_path / "other.safetensors", memory=tmp_path / "memory")
    build_memory(model, dataset.gallery, dataset.root, places.memory)
    assert open_workspace(places, "cpu").key != one.key


def test_the_stamp_changes_with_the_files(small_places, tmp_path):
    places = replace(small_places, memory=tmp_path / "memory", data=tmp_path / "data")
    (tmp_path / "data" / "query").mkdir(parents=True)
    before = stamp(places)
    assert stamp(places) == before
    (tmp_path / "data" / "query" / "1.png").touch()
    after = stamp(places)
    assert after != before
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "manifest.json").touch()
    assert stamp(places) != after


def test_every_dataset_and_weights_have_their_own_memory_folder(small_places, monkeypatch, tmp_path):
    monkeypatch.setenv("FPC_CACHE", str(tmp_path))
    one = default_memory_folder(small_places)
    assert one.parent == tmp_path / "memories"
    assert default_memory_folder(replace(small_places, memory=tmp_path)) == one
    assert default_memory_folder(replace(small_places, stride=11)) != one
    assert default_memory_folder(replace(small_places, data=tmp_path)) != one


def test_every_listed_device_can_be_chosen():
    assert devices()[:2] == ("auto", "cpu")
    for name in devices():
        choose_device(name)

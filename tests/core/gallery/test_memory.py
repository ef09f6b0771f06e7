import json
import shutil

import numpy as np
import pytest
import torch

from fpc_core.config import PruneSettings
from fpc_core.data.datasets import open_dataset
from fpc_core.data.images import resize_image, to_tensor
from fpc_core.gallery import token_store
from fpc_core.gallery.builder import build_memory
from fpc_core.gallery.memory import Fingerprint, GalleryMemoryError, fingerprint, open_memory
from fpc_core.model.checkpoint import load_checkpoint
from fpc_core.model.fpc import FPC
from tests.support.small_workspace import CONFIG, build_world


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    return build_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def dataset(places):
    return open_dataset(places.data)


@pytest.fixture(scope="module")
def model(places):
    return load_checkpoint(places.weights)[0]


@pytest.fixture
def copy(places, tmp_path):
    return shutil.copytree(places.memory, tmp_path / "memory")


def bytes_of(directory):
    return {path.name: path.read_bytes() for path in sorted(directory.iterdir())}


def test_rows_equal_the_model_s_encoding_of_the_images(places, dataset, model):
    memory = open_memory(places.memory)
    assert memory.records == dataset.gallery
    images = to_tensor([resize_image(dataset.read(r), CONFIG.image_size) for r in dataset.gallery[:4]], CONFIG)
    cameras = torch.tensor([r.camera for r in dataset.gallery[:4]])
    with torch.inference_mode():
        tokens = model.encode(images, cameras, PruneSettings(keep_rate=1.0)).tokens
        features = model.global_feature(tokens)
    np.testing.assert_allclose(memory.cls[:4], tokens[:, 0], atol=1e-5)
    np.testing.assert_allclose(memory.features[:4], features, atol=1e-5)
    torch.testing.assert_close(memory.patches([3, 0]), tokens[[3, 0], 1:], atol=5e-3, rtol=1e-3)
    np.testing.assert_allclose(np.linalg.norm(memory.unit_features, axis=1), 1, atol=1e-6)


def test_tokens_are_read_on_demand(places, monkeypatch):
    monkeypatch.setattr(token_store.TokenShards, "_read", lambda *_: pytest.fail("it read"))
    memory = open_memory(places.memory)
    assert memory.tokens.shape == (32, 128, 32)
    assert memory.tokens.nbytes == 32 * 128 * 32 * 2
    monkeypatch.undo()
    assert memory.tokens[3].dtype == np.float16
    assert memory.patches(np.array([2])).is_contiguous()
    with pytest.raises(ValueError, match=r"0\.\.31"):
        memory.patches([32])


@pytest.mark.parametrize("no_wait", [0, token_store._NO_WAIT])
def test_rows_are_the_same_from_cache_and_disk(places, monkeypatch, no_wait):
    monkeypatch.setattr(token_store, "_NO_WAIT", no_wait)
    memory = open_memory(places.memory)
    rows = [3, 0, len(memory) - 1, 3]
    assert torch.equal(memory.patches(rows), torch.from_numpy(np.array(memory.tokens[rows])).float())


@pytest.mark.parametrize("stop_after", [0, 8, 24, 32])
def test_an_interrupted_build_resumes_to_the_same_bytes(places, dataset, model, tmp_path, stop_after):
    class KilledError(Exception):
        pass

    seen = []

    def stop(done, total):
        if done >= stop_after:
            raise KilledError

    directory = tmp_path / "memory"
    whole = tmp_path / "whole"
    build_memory(model, dataset.gallery, dataset.root, whole, batch_size=8)
    with pytest.raises(KilledError):
        build_memory(model, dataset.gallery, dataset.root, directory, batch_size=8, progress=stop)
    assert not directory.exists()
    with pytest.raises(GalleryMemoryError, match="is unfinished; resume its build with"):
        open_memory(directory)
    build_memory(
        model, dataset.gallery, dataset.root, directory, batch_size=8, progress=lambda done, _: seen.append(done)
    )
    assert seen[0] == stop_after
    assert bytes_of(directory) == bytes_of(whole)
    assert not (tmp_path / "memory.partial").exists()


def test_an_up_to_date_memory_is_not_rebuilt(places, dataset, model):
    before = (places.memory / "manifest.json").stat().st_mtime_ns
    build_memory(model, dataset.gallery, dataset.root, places.memory, progress=lambda *_: pytest.fail("it built"))
    assert (places.memory / "manifest.json").stat().st_mtime_ns == before


def test_a_memory_of_other_weights_is_stale_and_gets_replaced(dataset, copy):
    torch.manual_seed(5)
    other = FPC(CONFIG).eval()
    wanted = fingerprint(other, dataset.gallery, dataset.root)
    with pytest.raises(GalleryMemoryError, match="other weights or precision than those in use; build it again"):
        open_memory(copy, expect=wanted)
    assert build_memory(other, dataset.gallery, dataset.root, copy).fingerprint == wanted


def test_a_changed_file_list_makes_a_memory_stale(places, dataset, model):
    fewer = fingerprint(model, dataset.gallery[:-1], dataset.root)
    with pytest.raises(GalleryMemoryError, match="other image files than"):
        open_memory(places.memory, expect=fewer)


def test_a_truncated_memory_is_reported_with_the_sizes(copy):
    tokens = copy / "tokens-00000.npy"
    tokens.write_bytes(tokens.read_bytes()[:-1])
    with pytest.raises(
        GalleryMemoryError, match=r"damaged: tokens-00000\.npy has [\d,]+ bytes instead of [\d,]+; build"
    ):
        open_memory(copy)


def test_another_or_empty_folder_is_not_a_memory(places, dataset, model, tmp_path):
    with pytest.raises(GalleryMemoryError, match="does not exist; build it with"):
        open_memory(tmp_path / "nowhere")
    with pytest.raises(GalleryMemoryError, match="is not a gallery memory"):
        open_memory(places.data)
    with pytest.raises(GalleryMemoryError, match="is not empty and is not a gallery memory"):
        build_memory(model, dataset.gallery, dataset.root, places.data)
    with pytest.raises(
        GalleryMemoryError, match="the number of images, batch_size and shard_images must be at least 1"
    ):
        build_memory(model, [], dataset.root, tmp_path / "memory")


def test_a_memory_of_another_format_is_refused(copy):
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps(manifest | {"format": 99}))
    with pytest.raises(GalleryMemoryError, match="does not have format 2"):
        open_memory(copy)


def test_a_missing_image_is_named(dataset, model, tmp_path):
    with pytest.raises(GalleryMemoryError, match="does not exist; restore it"):
        fingerprint(model, dataset.gallery, tmp_path)


def test_fingerprint_differences_are_named():
    assert Fingerprint("a", "b", "c").differences(Fingerprint("a", "x", "y")) == ["settings", "files"]


def test_a_full_disk_is_reported_before_encoding(dataset, model, tmp_path, monkeypatch):
    free = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: free)
    with pytest.raises(
        GalleryMemoryError,
        match=r"cannot write .*memory: it needs 0\.3 MB, but the disk has only 0\.0 MB free; free disk space",
    ):
        build_memory(
            model, dataset.gallery, dataset.root, tmp_path / "memory", progress=lambda *_: pytest.fail("began")
        )


def test_a_folder_that_cannot_be_written_is_named(dataset, model, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(GalleryMemoryError, match=r"cannot write the gallery memory .*file/memory: "):
        build_memory(model, dataset.gallery, dataset.root, tmp_path / "file" / "memory")

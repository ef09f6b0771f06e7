"""A gallery memory in several shards has the same bytes however it was built, and all damage is found."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fpc_core.data.datasets import open_dataset
from fpc_core.gallery import builder
from fpc_core.gallery.builder import build_memory, build_steps, images_done
from fpc_core.gallery.memory import GalleryMemoryError, fingerprint, open_memory
from fpc_core.model.checkpoint import load_checkpoint

# The 32 images are in shards of 10, 10, 10 and 2, and each shard of 10 in batches of 4, 4 and 2.
SIZES = {"batch_size": 4, "shard_images": 10}
BATCHES = [4, 8, 10, 14, 18, 20, 24, 28, 30, 32]


@pytest.fixture(scope="module")
def dataset(small_places):
    return open_dataset(small_places.data)


@pytest.fixture(scope="module")
def model(small_places):
    return load_checkpoint(small_places.weights)[0]


@pytest.fixture(scope="module")
def built(dataset, model, tmp_path_factory):
    directory = tmp_path_factory.mktemp("shards") / "memory"
    build_memory(model, dataset.gallery, dataset.root, directory, **SIZES)
    return directory


@pytest.fixture
def copy(built, tmp_path):
    return shutil.copytree(built, tmp_path / "memory")


def bytes_of(directory):
    return {path.name: path.read_bytes() for path in sorted(directory.iterdir())}


def flip(path, index, bit=0):
    data = bytearray(path.read_bytes())
    data[index] ^= 1 << bit
    path.write_bytes(data)


def test_shards_return_the_same_rows_in_any_reading_order(built, small_places):
    one, many = open_memory(small_places.memory), open_memory(built)
    assert sorted(path.name for path in built.glob("tokens-*")) == [f"tokens-0000{n}.npy" for n in range(4)]
    np.testing.assert_allclose(many.cls, one.cls, atol=1e-5)
    np.testing.assert_allclose(many.features, one.features, atol=1e-5)
    written = np.concatenate([np.load(path) for path in sorted(built.glob("tokens-*"))])
    rows = [31, 0, 9, 10, 19, 20, 30, 10]
    assert np.array_equal(many.tokens[rows], written[rows])
    assert np.array_equal(many.patches(rows).numpy(), written[rows].astype(np.float32))
    assert np.array_equal(many.tokens[29], written[29])
    assert many.tokens.nbytes == written.nbytes


def test_records_of_a_matching_dataset_replace_the_stored_list(built, dataset, model):
    made_from = fingerprint(model, dataset.gallery, dataset.root)
    given = open_memory(built, expect=made_from, records=dataset.gallery).records
    assert given == open_memory(built).records
    assert given[0] is dataset.gallery[0]


@pytest.mark.parametrize("stop_after", [0, 4, 10, 14, 28, 32])
def test_a_build_stopped_anywhere_resumes_to_the_same_bytes(built, dataset, model, tmp_path, stop_after):
    steps = build_steps(model, dataset.gallery, dataset.root, tmp_path / "memory", **SIZES)
    for done in steps:
        if done >= stop_after:
            break
    steps.close()
    made_from = fingerprint(model, dataset.gallery, dataset.root)
    assert images_done(tmp_path / "memory", made_from, **SIZES) == stop_after
    assert images_done(tmp_path / "memory", made_from) == 0  # A build with other sizes cannot be resumed.
    seen = []
    build_memory(
        model, dataset.gallery, dataset.root, tmp_path / "memory", **SIZES, progress=lambda n, _: seen.append(n)
    )
    assert seen == [stop_after, *(each for each in BATCHES if each > stop_after)]
    assert bytes_of(tmp_path / "memory") == bytes_of(built)


def test_a_finished_build_that_was_not_moved_is_only_moved(built, dataset, model, tmp_path, monkeypatch):
    monkeypatch.setattr(builder, "move_into_place", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        build_memory(model, dataset.gallery, dataset.root, tmp_path / "memory", **SIZES)
    monkeypatch.undo()
    assert images_done(tmp_path / "memory", fingerprint(model, dataset.gallery, dataset.root), **SIZES) == 32
    monkeypatch.setattr(model, "encode", lambda *_: pytest.fail("it encoded"))
    build_memory(model, dataset.gallery, dataset.root, tmp_path / "memory", **SIZES)
    assert bytes_of(tmp_path / "memory") == bytes_of(built)


def test_several_processes_build_the_same_bytes(built, dataset, small_places, tmp_path):
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "-m",
        "fpc_core",
        "memory",
        "build",
        "--data",
        dataset.root,
        "--weights",
        small_places.weights,
        "--memory",
        tmp_path / "memory",
        "--batch-size",
        "4",
        "--shard-images",
        "10",
        "--device",
        "cpu",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("32 images") == 1
    assert bytes_of(tmp_path / "memory") == bytes_of(built)


@pytest.mark.parametrize("name", ["cls.npy", "features.npy", "sums.npy", "records.json"])
def test_a_flipped_bit_is_found_when_the_memory_is_opened(copy, name):
    flip(copy / name, (copy / name).stat().st_size // 2)
    with pytest.raises(GalleryMemoryError, match=f"damaged: {name} has changed since it was written; build it again"):
        open_memory(copy)


def test_a_flipped_bit_in_tokens_is_found_when_its_row_is_read(copy):
    flip(copy / "tokens-00001.npy", -1)  # The last row is image 19.
    memory = open_memory(copy)
    memory.patches([18, 20])
    for _ in range(2):
        with pytest.raises(GalleryMemoryError, match=r"tokens-00001\.npy is damaged: the tokens of image 19 .* build"):
            memory.patches([3, 19])
    with pytest.raises(GalleryMemoryError, match="image 19"):
        memory.tokens.verify()


def test_swapped_shards_are_found_when_a_row_is_read(copy):
    (copy / "tokens-00000.npy").rename(copy / "kept")
    (copy / "tokens-00002.npy").rename(copy / "tokens-00000.npy")
    (copy / "kept").rename(copy / "tokens-00002.npy")
    memory = open_memory(copy)
    memory.patches([12])
    with pytest.raises(GalleryMemoryError, match=r"tokens-00002\.npy is damaged: the tokens of image 21"):
        memory.patches([21])


def test_a_shard_truncated_while_in_use_is_reported(copy):
    memory = open_memory(copy)
    os.truncate(copy / "tokens-00000.npy", 1000)
    with pytest.raises(
        GalleryMemoryError, match=r"tokens-00000\.npy was truncated while in use; build the gallery memory again"
    ):
        memory.patches([4])


def test_a_rebuild_repairs_a_damaged_memory(built, copy, dataset, model):
    flip(copy / "tokens-00002.npy", -5)
    build_memory(model, dataset.gallery, dataset.root, copy, **SIZES)
    assert bytes_of(copy) == bytes_of(built)


@pytest.mark.parametrize("damage", ["flip rows", "cut tokens", "lose rows"])
def test_a_damaged_partial_build_is_reported_and_repaired(built, dataset, model, tmp_path, damage):
    steps = build_steps(model, dataset.gallery, dataset.root, tmp_path / "memory", **SIZES)
    while next(steps) < 24:
        pass
    steps.close()
    partial = tmp_path / "memory.partial"
    if damage == "flip rows":
        flip(partial / "rows-00000.npy", -9)
    elif damage == "cut tokens":
        os.truncate(partial / "tokens-00000.npy", 2000)
    else:
        (partial / "rows-00000.npy").unlink()
    with pytest.raises(GalleryMemoryError, match=r"shard 0 of .* was damaged during the build; resume with"):
        build_memory(model, dataset.gallery, dataset.root, tmp_path / "memory", **SIZES)
    build_memory(model, dataset.gallery, dataset.root, tmp_path / "memory", **SIZES)
    assert bytes_of(tmp_path / "memory") == bytes_of(built)


def test_a_build_resumes_after_the_disk_was_full(built, dataset, model, tmp_path, monkeypatch):
    calls = iter(range(100))
    real = os.fsync

    def fsync(file):
        if next(calls) == 10:  # Call 10 is in the fourth batch: one for the plan, then three per batch.
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(file)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(GalleryMemoryError, match="No space left on device; free disk space or choose another folder"):
        build_memory(model, dataset.gallery, dataset.root, tmp_path / "memory", **SIZES)
    monkeypatch.undo()
    seen = []
    build_memory(
        model, dataset.gallery, dataset.root, tmp_path / "memory", **SIZES, progress=lambda n, _: seen.append(n)
    )
    assert seen[0] == 10
    assert bytes_of(tmp_path / "memory") == bytes_of(built)


@pytest.mark.parametrize(
    ("original", "damaged"),
    [
        ('"images": 32', '"images": 99'),
        ('"grid"', '"grit"'),
        ('"shard_images": 10', '"shard_images": 0'),
        ("sums.npy", "sons.npy"),
    ],
)
def test_an_invalid_manifest_is_reported(copy, original, damaged):
    text = (copy / "manifest.json").read_text()
    assert original in text
    (copy / "manifest.json").write_text(text.replace(original, damaged))
    with pytest.raises(GalleryMemoryError, match=r"is damaged: manifest\.json cannot be read .* build it again"):
        open_memory(copy)


def test_too_many_shards_are_refused_with_a_valid_size(dataset, model, monkeypatch):
    monkeypatch.setattr(builder, "MAX_NEW_SHARDS", 3)
    with pytest.raises(GalleryMemoryError, match="shard_images must be at least 11 for 32 images, got 10"):
        build_memory(model, dataset.gallery, dataset.root, Path("nowhere"), **SIZES)

"""Full disks, read-only disks and damaged results are reported, nothing is lost, and work resumes."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch

from fpc_core import cli
from fpc_core.config import QuerySettings
from fpc_core.evaluation.engine.result_store import ResultStore
from fpc_core.evaluation.engine.runner import run_passes, run_with_store
from fpc_core.evaluation.sweep.task import SweepGrid, SweepTask
from fpc_core.gallery.builder import build_memory
from fpc_core.gallery.memory import GalleryMemoryError, open_memory
from fpc_core.model.checkpoint import save_checkpoint
from fpc_core.model.fpc import FPC
from fpc_core.workspace import open_workspace
from tests.support.apptest import ROOT
from tests.support.small_workspace import CONFIG

MB = 1 << 20


@contextmanager
def mounted(kind: str, target: Path, options: str, source: str = "none", flags: int = 0):
    """Mount a file system while the context lasts, or skip the test if mounting is not permitted.

    Args:
        kind: The type of the file system.
        target: The folder to mount it at.
        options: Options of the file system.
        source: The device or folder to mount.
        flags: Flags of the system call `mount`.

    Yields:
        `target`.
    """
    if sys.platform != "linux":
        pytest.skip("the test mounts a file system by a Linux system call")
    system = ctypes.CDLL(None, use_errno=True)
    if system.mount(source.encode(), str(target).encode(), kind.encode(), flags, options.encode()):
        pytest.skip(f"cannot mount a file system: {os.strerror(ctypes.get_errno())}")
    try:
        yield target
    finally:
        if system.umount2(str(target).encode(), 2):
            raise OSError(ctypes.get_errno(), "cannot unmount", str(target))


@pytest.fixture
def small_disk(tmp_path):
    """Yield the folder of a file system of half a megabyte."""
    (tmp_path / "disk").mkdir()
    with mounted("tmpfs", tmp_path / "disk", "size=512k") as disk:
        yield disk


@contextmanager
def frozen(folder: Path):
    """Mount a folder read-only while the context lasts, so that even root cannot write to it."""
    bind, remount, read_only = 4096, 32, 1
    with mounted("", folder, "", str(folder), bind):
        system = ctypes.CDLL(None, use_errno=True)
        assert system.mount(None, str(folder).encode(), None, bind | remount | read_only, None) == 0
        yield folder


def fill_up(disk: Path) -> None:
    """Fill all free blocks of a file system."""
    with (disk / "filler").open("wb", buffering=0) as file:
        while room := shutil.disk_usage(disk).free:
            file.write(bytes(min(room, 4096)))


@pytest.fixture(scope="module")
def workspace(small_places):
    return open_workspace(small_places, "cpu")


@pytest.fixture(scope="module")
def task(workspace):
    grid = SweepGrid((1.0, 0.7), (0.0, 0.5), (1, 3))
    settings = QuerySettings(neighbors=1, shortlist=16)
    return SweepTask(
        workspace.retriever, replace(workspace.dataset, query=workspace.dataset.query[:3]), grid, settings
    ).work


@pytest.fixture(scope="module")
def computed(task):
    """Return the results of the sweep, computed without storing them."""
    return run_with_store(task).known


def same(result, wanted) -> bool:
    return result.keys() == wanted.keys() and all(
        np.array_equal(result[each].first_match, wanted[each].first_match)
        and np.array_equal(result[each].average_precision, wanted[each].average_precision, equal_nan=True)
        for each in wanted
    )


def test_a_build_without_disk_space_fails_and_resumes_later(small_places, workspace, small_disk):
    dataset, model = workspace.dataset, workspace.retriever.model
    filler = small_disk / "other"
    filler.write_bytes(bytes(400 << 10))
    with pytest.raises(
        GalleryMemoryError, match=r"cannot write the gallery memory .*free disk space or choose another folder"
    ):
        build_memory(model, dataset.gallery, dataset.root, small_disk / "memory")
    filler.unlink()
    with pytest.raises(GalleryMemoryError, match="memory build"):
        open_memory(small_disk / "memory")
    built = build_memory(model, dataset.gallery, dataset.root, small_disk / "memory")
    np.testing.assert_array_equal(built.cls, workspace.retriever.memory.cls)


def test_a_disk_that_fills_up_loses_no_encoded_image(workspace, small_disk):
    dataset, model = workspace.dataset, workspace.retriever.model

    def fill(images, total):
        if images == 8:
            fill_up(small_disk)

    with pytest.raises(GalleryMemoryError, match="free disk space or choose another folder"):
        build_memory(
            model, dataset.gallery, dataset.root, small_disk / "memory", batch_size=8, shard_images=8, progress=fill
        )
    (small_disk / "filler").unlink()
    again = []
    built = build_memory(
        model,
        dataset.gallery,
        dataset.root,
        small_disk / "memory",
        batch_size=8,
        shard_images=8,
        progress=lambda images, _: again.append(images),
    )
    assert again[0] >= 8
    np.testing.assert_allclose(built.cls, workspace.retriever.memory.cls, atol=1e-6)


def test_unsaved_results_are_reported_and_stored_ones_stay(task, computed, small_disk):
    store = ResultStore(small_disk / "results")
    eval_pass = next(iter(computed))
    store.save(task, eval_pass, computed[eval_pass])
    kept = {path.name: path.read_bytes() for path in store.folder.iterdir()}
    fill_up(small_disk)
    with pytest.raises(OSError, match=r"cannot store results .*set FPC_CACHE to a writable folder"):
        store.save(task, eval_pass, computed[eval_pass])
    assert {path.name: path.read_bytes() for path in store.folder.iterdir()} == kept
    assert store.load(task).notes == ()


def test_a_checkpoint_without_disk_space_leaves_the_old_one(small_disk):
    torch.manual_seed(1)
    tiny = replace(CONFIG, width=8, heads=2)
    save_checkpoint(FPC(tiny).eval(), small_disk / "model.safetensors")
    before = (small_disk / "model.safetensors").read_bytes()
    fill_up(small_disk)
    with pytest.raises(OSError, match=r"model\.safetensors"):
        save_checkpoint(FPC(CONFIG).eval(), small_disk / "model.safetensors")
    assert (small_disk / "model.safetensors").read_bytes() == before
    assert sorted(path.name for path in small_disk.iterdir()) == ["filler", "model.safetensors"]


def test_a_read_only_folder_is_named_in_every_error(workspace, task, computed, tmp_path):
    dataset, model = workspace.dataset, workspace.retriever.model
    eval_pass = next(iter(computed))
    (tmp_path / "fixed" / "results").mkdir(parents=True)
    with frozen(tmp_path / "fixed") as folder:
        with pytest.raises(GalleryMemoryError, match=r"cannot write the gallery memory .*Read-only file system"):
            build_memory(model, dataset.gallery, dataset.root, folder / "memory")
        with pytest.raises(OSError, match=r"Read-only file system.*set FPC_CACHE"):
            ResultStore(folder / "results").save(task, eval_pass, computed[eval_pass])
        with pytest.raises(OSError, match=r"cannot write .*model\.safetensors .*Read-only file system"):
            save_checkpoint(model, folder / "model.safetensors")


def test_a_memory_on_a_read_only_disk_can_be_searched(small_places, tmp_path):
    memory = shutil.copytree(small_places.memory, tmp_path / "memory")
    with frozen(memory):
        assert len(open_workspace(replace(small_places, memory=memory), "cpu").retriever.memory) == 32


@pytest.mark.parametrize("part", ["data", "weights", "memory"])
def test_the_command_line_names_missing_files_in_one_line(small_places, tmp_path, part, capsys):
    places = {**vars(small_places), part: tmp_path / "nowhere"}
    options = [f"--{name}={places[name]}" for name in ("data", "weights", "memory")]
    image = next((small_places.data / "query").iterdir())
    assert cli.main(["query", str(image), *options, "--device", "cpu"]) == 2
    message = capsys.readouterr().err
    assert "nowhere" in message
    assert message.count("\n") == 1


@pytest.mark.parametrize("harm", ["cut", "flip", "empty", "other", "folder"])
def test_damaged_results_are_reported_and_computed_again(task, computed, tmp_path, harm):
    store = ResultStore(tmp_path / "results")
    run_with_store(task, store)
    chance = Random(harm)
    files = sorted(store.folder.iterdir())
    assert len(files) >= 2
    for path in files:
        data = path.read_bytes()
        if harm == "cut":
            path.write_bytes(data[: chance.randrange(len(data))])
        elif harm == "flip":
            at = chance.randrange(200, len(data) - 200)
            path.write_bytes(data[:at] + bytes([data[at] ^ 16]) + data[at + 1 :])
        elif harm == "empty":
            path.write_bytes(b"")
        elif harm == "other":
            path.write_bytes((files[-1] if path == files[0] else files[0]).read_bytes())
        else:
            path.unlink()
            path.mkdir()
    if harm == "folder":
        kept = store.load(task)
        assert kept.known == {}
        assert len(kept.notes) == len(files)
        return
    kept = run_with_store(task, store)
    assert same(kept.known, computed)
    assert kept.notes
    assert all("and are computed again" in note for note in kept.notes)
    assert store.load(task).notes == ()
    assert same(store.load(task).known, computed)


def test_a_flipped_bit_in_stored_results_never_changes_a_score(task, computed, tmp_path):
    """A flipped bit, tried in every 37th byte, has no effect, or the file is reported and ignored."""
    store = ResultStore(tmp_path / "results")
    eval_pass = next(iter(computed))
    store.save(task, eval_pass, computed[eval_pass])
    (path,) = store.folder.iterdir()
    data = path.read_bytes()
    for at in range(0, len(data), 37):
        path.write_bytes(data[:at] + bytes([data[at] ^ (1 << at % 8)]) + data[at + 1 :])
        kept = store.load(task)
        assert kept.notes or same(kept.known, {eval_pass: computed[eval_pass]}), f"byte {at}"


@pytest.mark.parametrize("stop_after", [1, 3, 5])
def test_a_stopped_sweep_resumes_to_the_same_scores(task, computed, tmp_path, stop_after):
    store = ResultStore(tmp_path / "results")
    steps = run_passes(task, save=store.save)
    for _ in range(stop_after):
        next(steps)
    steps.close()
    kept = store.load(task)
    assert task.done(kept.known) == stop_after
    assert same(run_with_store(task, store).known, computed)


def test_a_killed_sweep_resumes_to_the_same_table(small_places, tmp_path, monkeypatch):
    """A command that was killed and run again writes the same table as an undisturbed one."""
    places = [f"--{name}={getattr(small_places, name)}" for name in ("data", "weights", "memory")]
    keep_rates = ["1.0", "0.9", "0.8", "0.7", "0.6", "0.5", "0.4", "0.3"]
    grid = ["--keep-rates", *keep_rates, "--alphas", "0", "0.4", "--neighbors", "3", "--device", "cpu"]
    command, results = ["sweep", *places, *grid, "--csv"], tmp_path / "killed" / "results"
    process = subprocess.Popen(
        [sys.executable, "-m", "fpc_core", *command, str(tmp_path / "never.csv")],
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "FPC_CACHE": str(results.parent)},
    )
    while process.poll() is None and not (results.is_dir() and any(results.glob("*.npz"))):
        time.sleep(0.001)
    process.kill()
    assert process.wait() == -signal.SIGKILL  # The command had not ended before.
    assert 0 < len(list(results.glob("*.npz"))) < len(keep_rates)
    for name, cache in (("resumed.csv", results.parent), ("whole.csv", tmp_path / "undisturbed")):
        monkeypatch.setenv("FPC_CACHE", str(cache))
        assert cli.main([*command, str(tmp_path / name)]) == 0
    assert (tmp_path / "resumed.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()

"""Damage to a gallery memory has no effect or is reported with the fix, and a build repairs it."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from random import Random

import numpy as np
import pytest
import torch

from fpc_core import cli
from fpc_core.data.datasets import open_dataset
from fpc_core.gallery import partial_files
from fpc_core.gallery.builder import build_memory
from fpc_core.gallery.memory import GalleryMemoryError, fingerprint, open_memory
from fpc_core.model.checkpoint import load_checkpoint
from fpc_core.model.fpc import FPC
from fpc_core.workspace import open_workspace
from tests.fuzz.hostile_text import changed
from tests.support.apptest import ROOT
from tests.support.small_workspace import CONFIG


@pytest.fixture(scope="module")
def dataset(small_places):
    return open_dataset(small_places.data)


@pytest.fixture(scope="module")
def model(small_places):
    return load_checkpoint(small_places.weights)[0]


@pytest.fixture(scope="module")
def whole(dataset, model, tmp_path_factory):
    """Return the folder of an undamaged gallery memory in several shards."""
    folder = tmp_path_factory.mktemp("whole") / "memory"
    build_memory(model, dataset.gallery, dataset.root, folder, batch_size=8, shard_images=8)
    return folder


@pytest.fixture(scope="module")
def other(dataset, whole, tmp_path_factory):
    """Return the folder of a gallery memory of other weights, whose files have the same names and sizes."""
    torch.manual_seed(3)
    folder = tmp_path_factory.mktemp("other") / "memory"
    build_memory(FPC(CONFIG).eval(), dataset.gallery, dataset.root, folder, batch_size=8, shard_images=8)
    sizes = {path.name: path.stat().st_size for path in whole.glob("*.npy")}
    assert {path.name: path.stat().st_size for path in folder.glob("*.npy")} == sizes
    return folder


@pytest.fixture
def memory(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "memory")


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def all_of(memory) -> list[np.ndarray]:
    """Return all arrays that a search reads from a gallery memory."""
    return [memory.cls, memory.features, memory.patches(np.arange(len(memory))).numpy()]


def outcome(folder, dataset, model) -> str:
    """Open and read a whole gallery memory.

    Args:
        folder: The folder of the gallery memory.
        dataset: The dataset that it must belong to.
        model: The model that it must belong to.

    Returns:
        The error message, or the digest of all arrays if there is no error.
    """
    try:
        result = open_memory(folder, expect=fingerprint(model, dataset.gallery, dataset.root))
        return hashlib.sha256(b"".join(each.tobytes() for each in all_of(result))).hexdigest()
    except GalleryMemoryError as error:
        return str(error)


@pytest.fixture(scope="module")
def right(whole, dataset, model):
    return outcome(whole, dataset, model)


def truncate(folder, name, chance):
    data = (folder / name).read_bytes()
    (folder / name).write_bytes(data[: chance.randrange(len(data))])


def flip(folder, name, chance):
    data = bytearray((folder / name).read_bytes())
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    (folder / name).write_bytes(data)


def zero(folder, name, chance):
    """Fill a block of a file with zeros, like a block that was never written to disk.

    Args:
        folder: The folder of the gallery memory.
        name: The name of the file.
        chance: The source of random numbers that selects the block.
    """
    data = bytearray((folder / name).read_bytes())
    start = chance.randrange(len(data)) // 512 * 512
    data[start : start + 512] = bytes(len(data[start : start + 512]))
    (folder / name).write_bytes(data)


def delete(folder, name, chance):
    (folder / name).unlink()


def empty(folder, name, chance):
    (folder / name).write_bytes(b"")


def lengthen(folder, name, chance):
    with (folder / name).open("ab") as file:
        file.write(chance.randbytes(chance.randint(1, 300)))


def become_a_folder(folder, name, chance):
    (folder / name).unlink()
    (folder / name).mkdir()


HARMS = (truncate, flip, flip, flip, zero, delete, empty, lengthen, become_a_folder)


@pytest.mark.parametrize("harm", dict.fromkeys(HARMS))
def test_damage_to_any_file_is_reported_or_has_no_effect(whole, memory, dataset, model, right, harm):
    chance = Random(harm.__name__)
    for name in files(whole):
        for _ in range(6 if harm in (flip, zero) else 2):
            harm(memory, name, chance)
            result = outcome(memory, dataset, model)
            assert result == right or "memory build" in result, f"{harm.__name__} in {name}: {result[:300]}"
            if harm in (delete, truncate, empty, become_a_folder):
                assert result != right, f"{name} is not needed"
            shutil.rmtree(memory)
            shutil.copytree(whole, memory)


def test_an_unreported_flip_is_in_unread_bytes(whole, memory, dataset, model, right):
    """A flipped bit at any of twelve offsets of a file is reported, except in the headers of token files."""
    chance = Random(1)
    silent = []
    for name in files(whole):
        data = (whole / name).read_bytes()
        for at in range(0, len(data), max(1, len(data) // 12)):
            harmed = bytearray(data)
            harmed[at] ^= 1 << chance.randrange(8)
            (memory / name).write_bytes(harmed)
            in_header = name.startswith("tokens") and at < 128  # A .npy header has 128 bytes.
            result = outcome(memory, dataset, model)
            if "memory build" not in result and not (in_header and result == right):
                silent.append(f"{name} at {at}")
        (memory / name).write_bytes(data)
    assert silent == []


def test_swapped_files_are_reported(whole, memory, dataset, model, right):
    names = files(whole)
    for one, two in pairwise(names):
        (memory / one).write_bytes((whole / two).read_bytes())
        (memory / two).write_bytes((whole / one).read_bytes())
        result = outcome(memory, dataset, model)
        assert "memory build" in result, f"{one} and {two}: {result[:200]}"
        shutil.rmtree(memory)
        shutil.copytree(whole, memory)


def test_swapped_rows_are_reported(whole, memory, dataset, model, right):
    """Swapping the first and the last row of any array is reported, although the file keeps its size."""
    arrays = [name for name in files(whole) if name.endswith(".npy")]
    assert len(arrays) >= 4
    for name in arrays:
        array = np.load(whole / name)
        array[[0, -1]] = array[[-1, 0]]
        np.save(memory / name, array)
        assert (memory / name).stat().st_size == (whole / name).stat().st_size
        result = outcome(memory, dataset, model)
        assert "is damaged" in result, f"{name}: {result[:200]}"
        shutil.copy2(whole / name, memory / name)


def test_a_file_of_another_memory_is_reported(whole, other, memory, dataset, model, right):
    for name in files(whole):
        if (whole / name).read_bytes() == (other / name).read_bytes():
            continue
        shutil.copy2(other / name, memory / name)
        result = outcome(memory, dataset, model)
        assert "memory build" in result, f"{name}: {result[:200]}"
        shutil.copy2(whole / name, memory / name)


@pytest.mark.parametrize("harm", dict.fromkeys(each for each in HARMS if each is not become_a_folder))
def test_a_build_repairs_any_damage(whole, memory, dataset, model, harm):
    chance = Random(7)
    for name in files(whole):
        harm(memory, name, chance)
    build_memory(model, dataset.gallery, dataset.root, memory, batch_size=8, shard_images=8)
    assert {path.name: path.read_bytes() for path in memory.iterdir()} == {
        path.name: path.read_bytes() for path in whole.iterdir()
    }


def test_a_build_deletes_only_gallery_memories(whole, memory, dataset, model):
    become_a_folder(memory, "manifest.json", Random(0))
    (memory / "manifest.json" / "thesis.txt").write_text("three years of work")
    with pytest.raises(GalleryMemoryError, match="is not empty and is not a gallery memory; choose another"):
        build_memory(model, dataset.gallery, dataset.root, memory)
    assert (memory / "manifest.json" / "thesis.txt").is_file()


def test_invalid_json_values_of_a_memory_are_reported(whole, memory, dataset, model, right):
    """Any JSON value in any field of the JSON files raises GalleryMemoryError or changes nothing."""
    chance = Random(0)
    for name in [each for each in files(whole) if each.endswith(".json")]:
        content = json.loads((whole / name).read_text())
        for _ in range(120):
            (memory / name).write_text(json.dumps(changed(chance, content)), encoding="utf-8", errors="replace")
            result = outcome(memory, dataset, model)
            assert result == right or "memory build" in result, f"{name}: {result[:300]}"
        for text in ("[" * 100_000, "", "null", '"' + "x" * 100):
            (memory / name).write_text(text)
            assert "memory build" in outcome(memory, dataset, model)
        shutil.copy2(whole / name, memory / name)


def test_the_command_line_reports_a_damaged_memory_in_one_line(small_places, memory, monkeypatch, capsys):
    (memory / "cls.npy").write_bytes((memory / "cls.npy").read_bytes()[:-1])
    places = ["--data", str(small_places.data), "--weights", str(small_places.weights), "--memory", str(memory)]
    image = next((small_places.data / "query").iterdir())
    assert cli.main(["query", str(image), *places, "--device", "cpu"]) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert "is damaged" in message
    assert "memory build" in message


def test_a_build_killed_after_its_move_leaves_no_other_files(whole, dataset, model, tmp_path, monkeypatch):
    folder, on_disk = tmp_path / "killed" / "memory", partial_files.sync_folder

    class Killed(BaseException):
        pass

    def killed(path):
        on_disk(path)
        if path == folder.parent:
            raise Killed

    monkeypatch.setattr(partial_files, "sync_folder", killed)
    with pytest.raises(Killed):
        build_memory(model, dataset.gallery, dataset.root, folder, batch_size=8, shard_images=8)
    left = {path.relative_to(tmp_path / "killed").as_posix() for path in (tmp_path / "killed").rglob("*")}
    assert left == {"memory", *(f"memory/{path.name}" for path in whole.iterdir())}


def test_killed_builds_resume_and_end_with_the_same_bytes():
    """A few builds are killed in forks of a separate process; `python -m tests.load.killing` kills a hundred."""
    command = [sys.executable, "-m", "tests.load.killing", "--kills", "6", "--images", "12", "--json"]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert process.returncode == 0, process.stderr
    result = json.loads(process.stdout)
    assert sum(result["killed"].values()) == 6
    assert result["compared"] >= 1


def test_a_search_reports_a_shard_truncated_meanwhile(small_places, memory, dataset):
    workspace = open_workspace(replace(small_places, memory=memory), "cpu")
    assert len(workspace.retriever.memory) == len(dataset.gallery)
    for shard in memory.glob("tokens*"):
        shard.write_bytes(shard.read_bytes()[:200])
    with pytest.raises(GalleryMemoryError, match="memory build"):
        workspace.retriever.memory.patches(np.arange(len(dataset.gallery)))

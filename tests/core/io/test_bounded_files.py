"""Pipes, oversized files, damage and links below a root take little time and memory, and reveal nothing."""

import io
import json
import os
import shutil
import threading
import time
import tracemalloc
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

from fpc_core.data.datasets import DatasetError, open_dataset
from fpc_core.data.ground_truth import MAX_MASK_PIXELS, RECORDS, occlusions, true_masks
from fpc_core.data.images import ImageError
from fpc_core.evaluation.engine.result_store import MAX_BYTES
from fpc_core.gallery.builder import build_memory, images_done
from fpc_core.gallery.memory import GalleryMemoryError, fingerprint_of, open_memory
from fpc_core.io.bounded_files import (
    MAX_JSON_BYTES,
    OutsideRootsError,
    UnusableFileError,
    map_array,
    open_for_writing,
    open_regular,
    read_archive,
    read_bytes,
    read_json,
)
from fpc_core.io.dataclass_json import RecipeError, read_text
from fpc_core.model.checkpoint import CheckpointError, load_checkpoint
from fpc_core.workspace import open_workspace
from fpc_core.workspace.inspect import MemoryStatus, inspect_memory, inspect_weights
from tests.support.hostile_files import flat_mask, sparse, write_rows

SOON = 5.0  # Seconds. A refusal takes milliseconds, but the machine may be busy.
pipes = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")


def in_time(action, seconds=SOON):
    """Call a function in a thread and fail if it does not end in time, for example because it waits for a pipe.

    Args:
        action: The function to call.
        seconds: The time limit in seconds.

    Returns:
        Its result; an error that it raises is raised again.
    """
    outcome = []

    def act():
        try:
            outcome.append((action(), None))
        except Exception as error:
            outcome.append((None, error))

    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    thread.join(seconds)
    assert outcome, f"the call has not ended after {seconds} s"
    result, error = outcome[0]
    if error:
        raise error
    return result


def peak_of(action):
    """Return the peak memory of Python and numpy during a call, in MB."""
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()


@pytest.fixture
def places(small_places, tmp_path):
    """Return a copy of the small world that a test may change."""
    shutil.copytree(small_places.data.parent, tmp_path / "world")
    root = tmp_path / "world"
    return replace(
        small_places,
        data=root / small_places.data.name,
        weights=root / small_places.weights.name,
        memory=root / small_places.memory.name,
    )


def instead(path, kind):
    """Replace a file by a named pipe or by an oversized file.

    Args:
        path: The file to replace.
        kind: "pipe", or anything else for an oversized file.
    """
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    else:
        sparse(path, 1_200_000_000)


def test_a_file_is_read_up_to_its_limit_only(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert read_bytes(path, 5) == b"12345"
    with pytest.raises(UnusableFileError, match="has 5 bytes, the limit is 4; restore or delete it"):
        read_bytes(path, 4)


@pipes
def test_opening_pipes_devices_and_folders_never_blocks(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UnusableFileError, match=r"pipe is not a regular file but a named pipe; restore or delete it"):
        in_time(lambda: open_regular(tmp_path / "pipe"))
    with pytest.raises(UnusableFileError, match=r"/dev/zero is not a regular file but a device"):
        in_time(lambda: open_regular(Path("/dev/zero")))
    with pytest.raises(IsADirectoryError):
        open_regular(tmp_path)
    with pytest.raises((UnusableFileError, OSError)):
        in_time(lambda: open_for_writing(tmp_path / "pipe"))


def test_a_file_for_writing_cannot_be_a_link(tmp_path):
    (tmp_path / "mine").write_text("precious")
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    with pytest.raises(OSError, match="link"):
        open_for_writing(tmp_path / "link")
    assert (tmp_path / "mine").read_text() == "precious"


def test_json_with_too_many_parts_or_too_deep_is_refused(tmp_path):
    path = tmp_path / "dataset.json"
    path.write_text("[" + "[]," * 300_000 + "[]]")
    with pytest.raises(UnusableFileError, match=r"has .* parts, the limit is 200,000"):
        read_json(path)
    path.write_text("[" * 100_000 + "]" * 100_000)
    with pytest.raises(ValueError, match="nested too deeply"):
        read_json(path)


@pytest.mark.parametrize("kind", [pytest.param("pipe", marks=pipes), "giant"])
def test_a_label_that_is_a_pipe_or_too_large_is_refused(places, kind):
    instead(places.data / "dataset.json", kind)
    words = "named pipe" if kind == "pipe" else f"the limit is {MAX_JSON_BYTES:,}"

    def opened():
        with pytest.raises(DatasetError, match=words):
            in_time(lambda: open_dataset(places.data))

    assert peak_of(opened) < 50


@pytest.mark.parametrize("kind", [pytest.param("pipe", marks=pipes), "giant"])
@pytest.mark.parametrize("name", ["manifest.json", "cls.npy", "records.json", "tokens-00000.npy"])
def test_a_memory_with_a_pipe_or_a_too_large_file_is_refused(places, name, kind):
    dataset, weights = open_dataset(places.data), inspect_weights(places)
    instead(places.memory / name, kind)

    def inspected():
        result = in_time(lambda: inspect_memory(places.memory, dataset, weights))
        assert result.status is MemoryStatus.UNUSABLE
        assert name in result.why
        with pytest.raises(GalleryMemoryError):
            in_time(lambda: open_memory(places.memory))

    assert peak_of(inspected) < 50


@pytest.mark.parametrize(
    "claim", [{"images": 10**12}, {"channels": 10**9}, {"grid": [10**6, 10**6]}, {"shard_images": 0}, {"images": "7"}]
)
def test_a_manifest_with_too_large_numbers_is_refused(places, claim):
    path = places.memory / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | claim))
    with pytest.raises(GalleryMemoryError, match=r"manifest\.json cannot be read"):
        in_time(lambda: open_memory(places.memory))


def test_a_manifest_with_too_large_files_is_refused(places):
    manifest = json.loads((places.memory / "manifest.json").read_text())
    sparse(places.memory / "cls.npy", 10**12)
    manifest["files"]["cls.npy"] = [10**12, 0]
    (places.memory / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(GalleryMemoryError, match=r"cls\.npy must have .* bytes and a header, got 1,000,000,000,000"):
        in_time(lambda: open_memory(places.memory))


def test_an_archive_instead_of_an_array_counts_as_damage(places):
    path = places.memory / "cls.npy"
    with path.open("wb") as file:
        np.savez(file, cls=np.zeros(3))
    with pytest.raises(ValueError, match="magic string"):
        map_array(path)


@pytest.mark.parametrize(
    "marker", [{"done": 10**18, "crc32": 0}, {"done": "many", "crc32": 0}, {"crc32": 0}, {"done": None, "crc32": []}]
)
def test_an_invalid_progress_marker_counts_as_nothing_done(places, tmp_path, marker):
    dataset, weights = open_dataset(places.data), inspect_weights(places)
    made_from = fingerprint_of(weights.fingerprint, weights.report.config, dataset.gallery, dataset.root)
    partial = tmp_path / "new.partial"
    partial.mkdir()
    plan = json.loads((places.memory / "manifest.json").read_text()) | {"shard_images": 4096, "batch_size": 32}
    for images in (32, 10**18, "7"):
        (partial / "plan.json").write_text(json.dumps(plan | {"images": images, "files": {}}))
        (partial / "done-00000.json").write_text(json.dumps(marker))
        assert in_time(lambda: images_done(tmp_path / "new", made_from)) == 0


@pipes
@pytest.mark.parametrize("name", [".lock", "tokens-00000.npy", "done-00000.json", ".plan.json.tmp", "plan.json"])
def test_a_build_never_waits_for_a_pipe(places, tmp_path, name):
    dataset = open_dataset(places.data)
    model, _ = load_checkpoint(places.weights)
    (tmp_path / "new.partial").mkdir()
    os.mkfifo(tmp_path / "new.partial" / name)

    def build():
        try:
            return len(build_memory(model.eval(), dataset.gallery, dataset.root, tmp_path / "new"))
        except GalleryMemoryError as error:
            return str(error)

    outcome = in_time(build, 60)
    assert outcome == len(dataset.gallery) or name in outcome


@pipes
def test_weights_recipes_and_results_never_wait_for_a_pipe(tmp_path):
    for name in ("a.safetensors", "recipe.json", "kept.npz"):
        os.mkfifo(tmp_path / name)
    with pytest.raises(CheckpointError):
        in_time(lambda: load_checkpoint(tmp_path / "a.safetensors"))
    with pytest.raises(RecipeError, match="named pipe"):
        in_time(lambda: read_text(tmp_path / "recipe.json"))
    with pytest.raises(UnusableFileError, match="named pipe"):
        in_time(lambda: read_archive(tmp_path / "kept.npz", MAX_BYTES))


def test_compressed_or_oversized_results_are_refused(tmp_path):
    np.savez_compressed(tmp_path / "packed.npz", a=np.zeros(10_000_000))
    with pytest.raises(ValueError, match="is compressed or too large"):
        read_archive(tmp_path / "packed.npz", 1 << 20)
    np.savez(tmp_path / "kept.npz", a=np.zeros(3), text=np.array("x"))
    assert read_archive(tmp_path / "kept.npz", 1 << 20)["a"].tolist() == [0, 0, 0]
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**12,)})
    with zipfile.ZipFile(tmp_path / "claims.npz", "w") as archive:
        archive.writestr("a.npy", header.getvalue())
    with pytest.raises(ValueError, match="is shorter than its header states"):
        read_archive(tmp_path / "claims.npz", 1 << 20)


def test_records_with_too_many_rows_are_refused(places):
    write_rows(places.data / RECORDS, 3_000_000)
    assert (places.data / RECORDS).stat().st_size < 200_000
    dataset = open_dataset(places.data)
    began = time.perf_counter()
    for read in (true_masks, occlusions):
        with pytest.raises(DatasetError, match=r"has 3,000,000 rows, the limit is 10,000"):
            read(dataset)
    assert time.perf_counter() - began < SOON


def test_a_mask_with_too_many_pixels_is_not_decoded(places, monkeypatch):
    dataset = open_dataset(places.data)
    write_rows(places.data / RECORDS, paths=[record.path.as_posix() for record in dataset.query], mask=flat_mask(6250))
    masks = true_masks(dataset)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda self: pytest.fail("pixels were decoded"))
    path = dataset.query[0].path
    with pytest.raises(ImageError, match=rf"the mask of {path} has 6250 x 6250 pixels, the limit is 0\.5 million"):
        masks[path]
    assert MAX_MASK_PIXELS < 1_000_000


def test_masks_are_decoded_on_demand(places):
    dataset = open_dataset(places.data)
    images = [record.path.as_posix() for record in (*dataset.query, *dataset.gallery)]
    write_rows(places.data / RECORDS, paths=images, mask=flat_mask(700))

    def read():
        masks = true_masks(dataset)
        assert len(masks) == len(images)
        assert masks[dataset.query[0].path].shape == (700, 700)
        assert Path("nobody.png") not in masks

    assert peak_of(read) < 20  # All masks together need 20 MB in one channel and 60 in three.


@pytest.mark.parametrize("column", ["path", "mask", "occluder", "visible"])
def test_a_missing_value_is_named_with_its_row(places, column):
    dataset = open_dataset(places.data)
    images = [record.path.as_posix() for record in dataset.query]
    write_rows(places.data / RECORDS, paths=images)
    table = parquet.read_table(places.data / RECORDS)
    values = table.column(column).to_pylist()
    values[2] = None
    index = table.column_names.index(column)
    parquet.write_table(table.set_column(index, column, pa.array(values)), places.data / RECORDS)
    read = true_masks if column in ("path", "mask") else occlusions
    with pytest.raises(DatasetError, match=rf"has no {column} in row 3; add the value or remove the row"):
        read(dataset)


@pytest.mark.parametrize(
    ("columns", "read"),
    [
        ({"path": pa.array([["query/a.png"]]), "mask": pa.array([b""])}, true_masks),
        ({"path": pa.array(["query/a.png"]), "mask": pa.array([[b""]])}, true_masks),
        ({"path": pa.array([7]), "mask": pa.array([b""])}, true_masks),
        ({"path": pa.array([b"\xff"]), "mask": pa.array([b""])}, true_masks),
        ({"path": pa.array(["a"]), "occluder": pa.array(["car"]), "visible": pa.array(["half"])}, occlusions),
    ],
)
def test_columns_of_another_type_are_refused_unread(places, columns, read):
    parquet.write_table(pa.table(columns), places.data / RECORDS)
    with pytest.raises(DatasetError, match="cannot be read as Parquet with columns"):
        read(open_dataset(places.data))


@pytest.mark.parametrize("visible", [float("nan"), -0.1, 2.0, float("inf")])
def test_an_invalid_visible_share_is_refused(places, visible):
    dataset = open_dataset(places.data)
    write_rows(places.data / RECORDS, paths=[dataset.query[0].path.as_posix()], visible=visible)
    with pytest.raises(DatasetError, match=r"visible share of .* must be in 0\.\.1"):
        occlusions(dataset)


def test_records_with_a_delta_encoding_are_refused(places):
    table = pa.table({"path": ["query/a.png"] * 100, "mask": [b"x" * 10_000] * 100})
    encodings = {"mask": "DELTA_BYTE_ARRAY"}
    parquet.write_table(
        table, places.data / RECORDS, use_dictionary=False, column_encoding={"path": "PLAIN", **encodings}
    )
    with pytest.raises(DatasetError, match="is encoded with DELTA_BYTE_ARRAY; use plain or dictionary encoding"):
        true_masks(open_dataset(places.data))


def test_records_that_unpack_to_too_much_are_not_unpacked(places, monkeypatch):
    monkeypatch.setattr("fpc_core.data.ground_truth.MAX_RECORDS_BYTES", 1_000_000)
    table = pa.table({"path": [f"{row}" for row in range(100)], "mask": [bytes([row]) * 50_000 for row in range(100)]})
    parquet.write_table(table, places.data / RECORDS, compression="zstd", use_dictionary=False)
    assert (places.data / RECORDS).stat().st_size < 100_000
    with pytest.raises(DatasetError, match=r"unpacks to 5,.* bytes, the limit is 1,000,000"):
        true_masks(open_dataset(places.data))


def test_a_too_long_footer_is_refused_unread(places):
    sparse(places.data / RECORDS, 20_000_000)
    with (places.data / RECORDS).open("rb+") as file:
        file.seek(-8, os.SEEK_END)
        file.write((19_000_000).to_bytes(4, "little") + b"PAR1")
    with pytest.raises(DatasetError, match=r"has a footer of 19,000,000 bytes, the limit is"):
        true_masks(open_dataset(places.data))


@pipes
@pytest.mark.parametrize("kind", ["pipe", "giant"])
def test_records_that_are_a_pipe_or_too_large_are_refused(places, kind):
    dataset = open_dataset(places.data)
    instead(places.data / RECORDS, kind)
    with pytest.raises(DatasetError, match="named pipe" if kind == "pipe" else "bytes, the limit is 256,000,000"):
        in_time(lambda: true_masks(dataset))


SECRET = "the secret of the host"


@pytest.mark.parametrize("name", ["dataset.json", "inner/dataset.json", "inner/query", "inner/records.parquet"])
def test_a_link_out_of_the_roots_is_refused_before_it_is_read(places, tmp_path, name):
    """The dataset is in a sub-folder, as in many unpacked archives, so links at both levels are checked."""
    house, outside = tmp_path / "house", tmp_path / "outside"
    (house / "set").mkdir(parents=True)
    outside.mkdir()
    places.data.rename(house / "set" / "inner")
    (outside / "dataset.json").write_text(json.dumps({"name": SECRET, "note": SECRET, "opening": SECRET}))
    (outside / "records.parquet").write_text(SECRET)
    (outside / "query").mkdir()
    Image.new("RGB", (64, 128)).save(outside / "query" / f"0001_c1_{SECRET}.png")
    link = house / "set" / name
    if link.is_dir():
        shutil.rmtree(link)
    link.unlink(missing_ok=True)
    link.symlink_to(outside / link.name)
    with pytest.raises(OutsideRootsError, match="is a link to a folder that this app may not read") as refused:
        true_masks(open_dataset(house / "set", (house,)))
    assert SECRET not in str(refused.value)


def test_an_image_that_becomes_a_link_out_of_the_roots_is_refused(places, tmp_path):
    house = places.data.parent
    dataset = open_dataset(places.data, (house,))
    record = dataset.query[0]
    assert dataset.read(record).shape == (256, 128, 3)
    outside = tmp_path / "private.png"
    (places.data / record.path).rename(outside)
    (places.data / record.path).symlink_to(outside)
    with pytest.raises(OutsideRootsError):
        dataset.read(record)


def test_a_workspace_is_opened_within_the_folders_allowed(places, tmp_path):
    house = places.data.parent
    assert open_workspace(places, "cpu", allowed=(house,)).dataset.allowed == (house,)
    (places.data / "dataset.json").rename(tmp_path / "dataset.json")
    (places.data / "dataset.json").symlink_to(tmp_path / "dataset.json")
    with pytest.raises(OutsideRootsError, match=r"dataset\.json is a link to a folder that this app may not read"):
        open_workspace(places, "cpu", allowed=(house,))
    assert open_workspace(places, "cpu").dataset.name == "Small world"

"""Builds a gallery memory (Sec. 3.2): every gallery image encoded once at keep rate 1, resumable at any batch.

Work is done in `<directory>.partial` and renamed at the end, so that a memory is either whole or not there.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fpc_core.config import ModelConfig
from fpc_core.data.datasets import NO_CAMERA, ImageRecord
from fpc_core.data.images import decode_image, resize_image, to_tensor
from fpc_core.memory import (
    ARRAYS,
    FORMAT,
    HOLISTIC,
    PARTIAL,
    Fingerprint,
    GalleryMemory,
    GalleryMemoryError,
    fingerprint,
    open_memory,
    read_json,
)
from fpc_core.model.fpc import FPC

if sys.platform != "win32":
    import fcntl

BATCH_SIZE = 32


def build_memory(
    model: FPC,
    records: Sequence[ImageRecord],
    root: Path,
    directory: Path | str,
    *,
    batch_size: int = BATCH_SIZE,
    progress: Callable[[int, int], None] | None = None,
) -> GalleryMemory:
    """`build_steps` to their end. progress: called with the images done and their total."""
    with closing(build_steps(model, records, root, directory, batch_size=batch_size)) as steps:
        while True:
            try:
                done = next(steps)
            except StopIteration as end:
                return end.value
            if progress:
                progress(done, len(records))


@torch.inference_mode()
def build_steps(
    model: FPC,
    records: Sequence[ImageRecord],
    root: Path,
    directory: Path | str,
    *,
    batch_size: int = BATCH_SIZE,
) -> Generator[int, None, GalleryMemory]:
    """Encode `records` (paths relative to `root`) at keep rate 1 into `directory`; returns the memory, opened.

    Yields the images done, at first those of an earlier build that was interrupted: it goes on after the last whole
    batch and ends with the same bytes as an uninterrupted one. A memory that is up to date is opened as it is. Cameras
    are passed to the model if every record has one.
    Raises GalleryMemoryError, also where the disk is full or may not be written to, or ImageError for an image.
    """
    directory, root = Path(directory), Path(root)
    if not records or batch_size < 1:
        raise GalleryMemoryError(
            f"a memory needs images ({len(records)}) and a batch size ({batch_size}) of at least 1"
        )
    made_from = fingerprint(model, records, root)
    if (directory / "manifest.json").is_file():
        try:
            return open_memory(directory, expect=made_from)
        except GalleryMemoryError:  # stale or damaged: it stays in place until the new one is whole
            pass
    elif directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise GalleryMemoryError(f"{directory} holds something else than a gallery memory; name another directory")
    partial = directory.with_name(directory.name + PARTIAL)
    training = model.training
    model.eval()
    try:
        partial.mkdir(parents=True, exist_ok=True)
        with _locked(partial):
            yield from _fill(partial, model, records, root, made_from, batch_size)
            _move_into_place(partial, directory)
    except OSError as error:
        raise GalleryMemoryError(
            f"cannot write the gallery memory {directory}: {error.strerror or error}; make room or choose another place"
        ) from error
    finally:
        model.train(training)
    return open_memory(directory, expect=made_from)


def images_done(directory: Path | str, made_from: Fingerprint, batch_size: int = BATCH_SIZE) -> int:
    """How many images an interrupted build of this very memory has done; 0 where there is none to go on with."""
    directory = Path(directory)
    marker = read_json(directory.with_name(directory.name + PARTIAL) / "build.json")
    return int(marker["done"]) if marker and marker.get("plan") == _plan(made_from, batch_size) else 0


def memory_bytes(config: ModelConfig, images: int) -> int:
    """Bytes on disk of the arrays of a memory of so many images."""
    return sum(int(np.prod(shape)) * np.dtype(dtype).itemsize for dtype, shape in _shapes(config, images).values())


def _shapes(config: ModelConfig, images: int) -> dict[str, tuple[Any, tuple[int, ...]]]:
    return {
        "tokens": (np.float16, (images, config.patches, config.width)),
        "cls": (np.float32, (images, config.width)),
        "features": (np.float32, (images, config.width)),
    }


def _plan(made_from: Fingerprint, batch_size: int) -> dict[str, object]:
    """The batch size belongs to it: another one may round differently, and bytes must not depend on a stop."""
    return {"fingerprint": asdict(made_from), "batch_size": batch_size}


def _fill(
    partial: Path, model: FPC, records: Sequence[ImageRecord], root: Path, made_from: Fingerprint, batch_size: int
) -> Iterator[int]:
    """Encode what is missing in `partial`; afterwards it is a whole memory but for its place."""
    config, total = model.config, len(records)
    plan = _plan(made_from, batch_size)
    marker = read_json(partial / "build.json")
    done = int(marker["done"]) if marker and marker.get("plan") == plan else 0
    if not done:
        for leftover in partial.iterdir():
            if leftover.name != ".lock":
                leftover.unlink()
    arrays = {
        name: np.lib.format.open_memmap(partial / f"{name}.npy", mode="r+") if done else _created(partial, name, *shape)
        for name, shape in _shapes(config, total).items()
    }
    device = next(model.parameters()).device
    with_cameras = all(record.camera != NO_CAMERA for record in records)
    yield done
    for start in range(done, total, batch_size):
        batch = records[start : start + batch_size]
        rows = slice(start, start + len(batch))
        images = [resize_image(decode_image(root / record.path), config.image_size) for record in batch]
        cameras = torch.tensor([record.camera for record in batch], device=device) if with_cameras else None
        tokens = model.encode(to_tensor(images, config).to(device), cameras, HOLISTIC).tokens
        arrays["cls"][rows] = tokens[:, 0].float().cpu().numpy()
        arrays["features"][rows] = model.global_feature(tokens).float().cpu().numpy()
        half = tokens[:, 1:].to(torch.float16)
        if not bool(torch.isfinite(half).all()):
            raise GalleryMemoryError(f"tokens of {batch[0].path} ... do not fit into float16; check the weights")
        arrays["tokens"][rows] = half.cpu().numpy()
        for array in arrays.values():
            array.flush()
        _write_json(partial / "build.json", {"plan": plan, "done": rows.stop})
        yield rows.stop
    listing = [[r.path.as_posix(), r.identity, r.camera, r.split] for r in records]
    _write_json(partial / "records.json", listing)
    names = [*(f"{name}.npy" for name in ARRAYS), "records.json"]
    manifest = {
        "format": FORMAT,
        "grid": list(config.grid),
        "bytes": {name: (partial / name).stat().st_size for name in names},
        "fingerprint": asdict(made_from),
    }
    _write_json(partial / "manifest.json", manifest)


def _created(partial: Path, name: str, dtype: Any, shape: tuple[int, ...]) -> np.memmap:
    """A mapped array whose room on the disk is taken from the start.

    Without it the file is one large hole, and a disk that fills up during the build kills the process by a signal
    instead of raising an error.
    """
    path = partial / f"{name}.npy"
    wanted, free = int(np.prod(shape)) * np.dtype(dtype).itemsize, shutil.disk_usage(partial).free
    if wanted > free:
        text = f"{name} take {wanted / 1e6:,.1f} MB and the disk has {free / 1e6:,.1f} MB left"
        raise OSError(errno.ENOSPC, text, str(path))
    array = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array


def _move_into_place(partial: Path, directory: Path) -> None:
    """Put the whole new memory where the old one, if any, was. Killed in between, the next build only moves."""
    old = directory.with_name(directory.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if directory.exists():
        directory.rename(old)
    partial.rename(directory)
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def _locked(partial: Path) -> Iterator[None]:
    """Keep a second process out of the same build. Raises GalleryMemoryError if one is at it."""
    if sys.platform == "win32":
        yield
        return
    lock = partial / ".lock"
    with ExitStack() as stack:
        file = stack.enter_context(lock.open("w"))
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise GalleryMemoryError(f"another process is building {partial}; wait for it or stop it") from error
        yield
        (partial.with_name(partial.name.removesuffix(PARTIAL)) / ".lock").unlink(missing_ok=True)


def _write_json(path: Path, content: object) -> None:
    """Written whole or not at all."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(content), encoding="utf-8")
    temporary.replace(path)

"""Builds a gallery memory (Sec. 3.2): every gallery image encoded once at keep rate 1, resumable at any batch.

Work is done in `<directory>.partial` and renamed at the end, so that a memory is either whole or not there. There every
shard of images has three files, which one process alone writes:

    tokens-00000.npy  as it stays
    rows-00000.npy    cls, features and the tokens' CRC-32 of every image; merged at the end
    done-00000.json   how many images of the shard are on the disk, and the CRC-32 of their rows

Batches begin anew with every shard: its bytes depend neither on the number of processes nor on where a build stopped.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import zlib
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, nullcontext
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from fpc_core.config import ModelConfig
from fpc_core.data.datasets import NO_CAMERA, ImageRecord
from fpc_core.data.images import decode_image, resize_image, to_tensor
from fpc_core.gallery.encoder import GalleryEncoder
from fpc_core.gallery.memory import (
    ARRAYS,
    MANIFEST,
    PARTIAL,
    RECORDS,
    Fingerprint,
    GalleryMemory,
    GalleryMemoryError,
    Manifest,
    fingerprint,
    open_memory,
    read_json,
    write_json,
)
from fpc_core.gallery.partial_files import (
    LOCK,
    RowWriter,
    done_file,
    locked,
    move_into_place,
    progress_of,
    remove_replaced,
    row_file,
    row_type,
)
from fpc_core.gallery.token_store import (
    BUILD_COMMAND,
    TOKEN_TYPE,
    TokenShards,
    file_checksum,
    row_checksums,
    token_file,
)
from fpc_core.io.bounded_files import UnusableFileError, map_array
from fpc_core.model.fpc import FPC
from fpc_core.runtime import distributed

BATCH_SIZE = 32
SHARD_IMAGES = 4096
MOST_SHARDS = 512  # all stay open while a memory is in use, and a process may have about a thousand files open
PLAN = "plan.json"


def build_memory(
    model: FPC,
    records: Sequence[ImageRecord],
    root: Path,
    directory: Path | str,
    *,
    batch_size: int = BATCH_SIZE,
    shard_images: int = SHARD_IMAGES,
    progress: Callable[[int, int], None] | None = None,
) -> GalleryMemory:
    """`build_steps` to their end. progress: called with the images done and their total."""
    made = build_steps(model, records, root, directory, batch_size=batch_size, shard_images=shard_images)
    with closing(made) as steps:
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
    shard_images: int = SHARD_IMAGES,
    allowed: Sequence[Path] = (),
) -> Generator[int, None, GalleryMemory]:
    """Encode `records` (paths relative to `root`) at keep rate 1 into `directory`; returns the memory, opened.

    Yields the images done, at first those of an earlier build that was interrupted: it goes on after the last whole
    batch and ends with the same bytes as an uninterrupted one. A memory that is up to date and of which every row is
    what was written is opened as it is. Cameras are passed to the model if every record has one. Under torchrun every
    process makes these calls and takes its share of the shards; on several machines `directory` is one they share.
    allowed: real folders in which every image must lie, links resolved; empty for no such bound.
    Raises GalleryMemoryError, also where the disk is full or may not be written to, or ImageError for an image.
    """
    directory, root = Path(directory), Path(root)
    if not records or batch_size < 1 or shard_images < 1:
        raise GalleryMemoryError(
            f"a memory needs images ({len(records)}), a batch size ({batch_size}) and a shard ({shard_images}) of at "
            "least 1"
        )
    if len(records) > MOST_SHARDS * shard_images:
        least = -(-len(records) // MOST_SHARDS)
        raise GalleryMemoryError(f"{len(records)} images need shards of at least {least} images, not {shard_images}")
    job = _Job(
        directory.with_name(directory.name + PARTIAL),
        model,
        tuple(records),
        root,
        Manifest(
            fingerprint(model, records, root),
            len(records),
            model.config.grid,
            model.config.width,
            shard_images,
            batch_size,
            {},
        ),
        tuple(allowed),
    )
    first, training = distributed.rank() == 0, model.training
    model.eval()
    try:
        if distributed.broadcast_from_rank0(first and not _is_up_to_date(directory, job.plan.fingerprint)):
            job.partial.mkdir(parents=True, exist_ok=True)
            with locked(job.partial) if first else nullcontext():
                shards = distributed.broadcast_from_rank0(job.begin() if first else [])
                yield job.done()
                for number in shards[distributed.rank() :: distributed.world_size()]:
                    with closing(job.fill(number)) as batches:
                        for _ in batches:
                            yield job.done()
                distributed.barrier()
                if first:
                    job.finish()
                    move_into_place(job.partial, directory)
                distributed.barrier()
        elif first:
            remove_replaced(directory)
    except UnusableFileError as error:
        raise GalleryMemoryError(str(error)) from error
    except OSError as error:
        raise GalleryMemoryError(
            f"cannot write the gallery memory {directory}: {error.strerror or error}; make room or choose another place"
        ) from error
    finally:
        model.train(training)
    return open_memory(directory, expect=job.plan.fingerprint, records=records)


def images_done(
    directory: Path | str, made_from: Fingerprint, batch_size: int = BATCH_SIZE, shard_images: int = SHARD_IMAGES
) -> int:
    """How many images an interrupted build of this very memory has done; 0 where there is none to go on with."""
    partial = Path(directory).with_name(Path(directory).name + PARTIAL)
    whole = read_json(partial / MANIFEST)  # but for its place
    told = whole or read_json(partial / PLAN) or {}
    asked = {"fingerprint": asdict(made_from), "batch_size": batch_size, "shard_images": shard_images}
    if {**told, **asked} != told:
        return 0
    images = told.get("images")
    if type(images) is not int or not 0 < images <= MOST_SHARDS * shard_images:
        return 0
    done = images if whole else sum(progress_of(partial, number)[0] for number in range(-(-images // shard_images)))
    return min(images, done)


def memory_bytes(config: ModelConfig, images: int) -> int:
    """Bytes on disk of the arrays of a memory of so many images."""
    return images * (TOKEN_TYPE.itemsize * config.patches * config.width + row_type(config.width).itemsize)


@dataclass(frozen=True, eq=False)
class _Job:
    """One build: what of what goes where. plan: the manifest but for the files."""

    partial: Path
    model: FPC
    records: tuple[ImageRecord, ...]
    root: Path
    plan: Manifest
    allowed: tuple[Path, ...] = ()

    @cached_property
    def encoder(self) -> GalleryEncoder:
        return GalleryEncoder(self.model)

    def begin(self) -> list[int]:
        """Leave what an earlier build of the same has done, delete all else; the shards that are to be filled."""
        plan = json.loads(json.dumps(self.plan.to_json()))
        found = read_json(self.partial / PLAN) or read_json(self.partial / MANIFEST) or {}
        if {**found, "files": {}} != plan:
            for leftover in self.partial.iterdir():
                if leftover.name != LOCK:
                    leftover.unlink()
            wanted, free = memory_bytes(self.model.config, len(self.records)), shutil.disk_usage(self.partial).free
            wanted += len(self.records) * row_type(self.plan.channels).itemsize  # there twice while they are merged
            if wanted > free:
                text = f"it takes {wanted / 1e6:,.1f} MB and the disk has {free / 1e6:,.1f} MB left"
                raise OSError(errno.ENOSPC, text, str(self.partial))
            write_json(self.partial / PLAN, plan)
        if (self.partial / MANIFEST).is_file():
            return []
        return [number for number in range(self.plan.shards) if not self._is_full(number)]

    def done(self) -> int:
        """Images on the disk, of all processes."""
        if (self.partial / MANIFEST).is_file():
            return len(self.records)
        return sum(progress_of(self.partial, number)[0] for number in range(self.plan.shards))

    def fill(self, number: int) -> Generator[None, None, None]:
        """Encode what is missing in one shard, batch by batch."""
        config, records, size = self.model.config, self._shard(number), self.plan.batch_size
        with_cameras = all(record.camera != NO_CAMERA for record in self.records)
        done, checksum = progress_of(self.partial, number)
        batches = [records[start : start + size] for start in range(done, len(records), size)]
        token_path, row_path = self.partial / token_file(number), self.partial / row_file(number)
        with (
            RowWriter(token_path, TOKEN_TYPE, (len(records), config.patches, config.width), done) as tokens_out,
            RowWriter(row_path, row_type(config.width), (len(records),), done) as rows_out,
            closing(self._decoded(batches)) as decoded,
        ):
            for batch, images in zip(batches, decoded, strict=True):
                cameras = torch.tensor([record.camera for record in batch]) if with_cameras else None
                try:
                    encoded = self.encoder(to_tensor(images, config), cameras)
                except ValueError as error:
                    raise GalleryMemoryError(f"tokens of {batch[0].path} ...: {error}") from error
                rows = np.empty(len(batch), row_type(config.width))
                rows["cls"], rows["features"] = encoded.cls, encoded.features
                rows["sums"] = row_checksums(encoded.patches)
                tokens_out.write(encoded.patches)
                rows_out.write(rows)
                done, checksum = done + len(batch), zlib.crc32(rows.tobytes(), checksum)
                write_json(self.partial / done_file(number), {"done": done, "crc32": checksum})
                yield

    def finish(self) -> None:
        """Merge what is small and write the manifest; afterwards it is a whole memory but for its place."""
        numbers = range(self.plan.shards)
        if not (self.partial / MANIFEST).is_file():
            for number in numbers:
                self._check(number)
            kinds = row_type(self.plan.channels)
            for name in ARRAYS:
                kind, inner = kinds[name].base, kinds[name].shape
                with RowWriter(self.partial / f"{name}.npy", kind, (len(self.records), *inner), 0) as out:
                    for number in numbers:
                        out.write(map_array(self.partial / row_file(number))[name])
            listing = [[r.path.as_posix(), r.identity, r.camera, r.split] for r in self.records]
            write_json(self.partial / RECORDS, listing)
            small = [*(f"{name}.npy" for name in ARRAYS), RECORDS]
            files: dict[str, tuple[int, int | None]] = {
                name: ((self.partial / name).stat().st_size, file_checksum(self.partial / name)) for name in small
            }
            for number in numbers:
                files[token_file(number)] = (self.partial / token_file(number)).stat().st_size, None
            told = self.plan.to_json() | {"files": files}
            write_json(self.partial / MANIFEST, told)
        for name in (*map(row_file, numbers), *map(done_file, numbers), PLAN):
            (self.partial / name).unlink(missing_ok=True)

    def _shard(self, number: int) -> tuple[ImageRecord, ...]:
        size = self.plan.shard_images
        return self.records[number * size : (number + 1) * size]

    def _is_full(self, number: int) -> bool:
        return progress_of(self.partial, number)[0] == len(self._shard(number))

    def _check(self, number: int) -> None:
        """Raises GalleryMemoryError for a shard whose files are not as they were written; it is then begun anew."""
        try:
            tokens, rows = (map_array(self.partial / name) for name in (token_file(number), row_file(number)))
            as_written = len(tokens) == len(rows) == len(self._shard(number))
            as_written &= (len(rows), zlib.crc32(rows.tobytes())) == progress_of(self.partial, number)
        except (OSError, ValueError):
            as_written = False
        if not as_written:
            (self.partial / done_file(number)).unlink(missing_ok=True)
            raise GalleryMemoryError(
                f"shard {number} of {self.partial} was damaged during the build; go on with: {BUILD_COMMAND}"
            )

    def _decoded(self, batches: Sequence[Sequence[ImageRecord]]) -> Generator[list[np.ndarray], None, None]:
        """The images of every batch at the model's size; the next one is decoded while this one is encoded."""

        def read(record: ImageRecord) -> np.ndarray:
            pixels = decode_image(self.root / record.path, allowed=self.allowed)
            return resize_image(pixels, self.model.config.image_size)

        with ThreadPoolExecutor(max(1, (os.cpu_count() or 1) // 2), thread_name_prefix="decode") as pool:
            ahead: list[Future[np.ndarray]] = []
            try:
                for batch in batches:
                    here, ahead = ahead, [pool.submit(read, record) for record in batch]
                    if here:
                        yield [future.result() for future in here]
                yield [future.result() for future in ahead]
            finally:
                pool.shutdown(wait=False, cancel_futures=True)


def _is_up_to_date(directory: Path, made_from: Fingerprint) -> bool:
    """False also for a stale or damaged memory, which stays in place until the new one is whole.

    Raises GalleryMemoryError for something else than a memory.
    """
    if (directory / MANIFEST).is_file():
        try:
            tokens = open_memory(directory, expect=made_from).tokens
            if isinstance(tokens, TokenShards):
                tokens.verify()
        except GalleryMemoryError:
            return False
        return True
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise GalleryMemoryError(f"{directory} holds something else than a gallery memory; name another directory")
    return False

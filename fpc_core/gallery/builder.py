"""Build a gallery memory (Sec. 3.2), which encodes every gallery image once at keep rate 1.

A build writes to `<directory>.partial`, which is renamed at the end, so that a gallery memory is either complete or
absent. An interrupted build resumes after its last complete batch. Every shard of images has three files in this
folder, which only one process writes:

    tokens-00000.npy  the final file of tokens
    rows-00000.npy    cls, features and the tokens' CRC-32 of every image; merged at the end
    done-00000.json   how many images of the shard are stored on disk, and the CRC-32 of their rows

No batch spans two shards, so the bytes of a shard do not depend on the number of processes, nor on where an earlier
build stopped.
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
from fpc_core.data.images import ImageError, decode_image, resize_image, to_tensor
from fpc_core.gallery.encoder import GalleryEncoder
from fpc_core.gallery.manifest import (
    ARRAYS,
    MANIFEST,
    PARTIAL,
    PLAN,
    RECORDS,
    Fingerprint,
    Manifest,
    read_json,
    write_json,
)
from fpc_core.gallery.memory import GalleryMemory, fingerprint, open_memory
from fpc_core.gallery.partial_files import (
    LOCK,
    RowWriter,
    build_lock,
    done_file,
    is_up_to_date,
    move_into_place,
    remove_replaced,
    row_file,
    row_type,
    shard_progress,
)
from fpc_core.gallery.readable import UnreadableImage, image_name
from fpc_core.gallery.token_store import (
    BUILD_COMMAND,
    TOKEN_TYPE,
    GalleryMemoryError,
    file_checksum,
    row_checksums,
    token_file,
)
from fpc_core.io.bounded_files import UnusableFileError, map_array
from fpc_core.model.fpc import FPC
from fpc_core.runtime import distributed

BATCH_SIZE = 32
SHARD_IMAGES = 4096
# Maximum number of files of tokens. All of them stay open while the gallery memory is in use, and operating systems
# commonly allow a process about a thousand open files.
MAX_NEW_SHARDS = 512


def build_memory(
    model: FPC,
    records: Sequence[ImageRecord],
    root: Path,
    directory: Path | str,
    *,
    batch_size: int = BATCH_SIZE,
    shard_images: int = SHARD_IMAGES,
    left_out: Sequence[UnreadableImage] = (),
    progress: Callable[[int, int], None] | None = None,
) -> GalleryMemory:
    """Build a gallery memory without interruption; see `build_steps`.

    Args:
        model: Model that encodes the images.
        records: Records of the gallery images.
        root: Folder that the paths of `records` are relative to.
        directory: Folder in which the gallery memory is stored.
        batch_size: Number of images that are encoded together.
        shard_images: Number of images in each file of tokens.
        left_out: Images of the dataset that are not among `records` because they cannot be read.
        progress: Function that is called with the number of images done and their total.
    """
    build = build_steps(
        model, records, root, directory, batch_size=batch_size, shard_images=shard_images, left_out=left_out
    )
    with closing(build) as steps:
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
    left_out: Sequence[UnreadableImage] = (),
) -> Generator[int, None, GalleryMemory]:
    """Encode a gallery at keep rate 1 step by step, and return the opened gallery memory.

    An interrupted build resumes after its last complete batch and gives the same bytes as an uninterrupted one. A
    gallery memory that is up to date and undamaged is not built again. Camera embeddings are used if every record has a
    camera.
    Under torchrun, every process calls this function and encodes its share of the shards; several machines must share
    `directory`.

    Args:
        model: Model that encodes the images.
        records: Records of the gallery images.
        root: Folder that the paths of `records` are relative to.
        directory: Folder in which the gallery memory is stored.
        batch_size: Number of images that are encoded together.
        shard_images: Number of images in each file of tokens.
        allowed: Real folders in which every image must be after links are resolved; empty for no restriction.
        left_out: Images of the dataset that are not among `records` because they cannot be read.

    Yields:
        Number of images done, including those of an interrupted build.

    Raises:
        GalleryMemoryError: The arguments are invalid, or the disk is full or not writable.
        ImageError: An image cannot be decoded.
    """
    directory, root = Path(directory), Path(root)
    if not records or batch_size < 1 or shard_images < 1:
        raise GalleryMemoryError(
            f"the number of images, batch_size and shard_images must be at least 1, got {len(records)}, {batch_size} "
            f"and {shard_images}"
        )
    if len(records) > MAX_NEW_SHARDS * shard_images:
        smallest = -(-len(records) // MAX_NEW_SHARDS)
        raise GalleryMemoryError(
            f"shard_images must be at least {smallest} for {len(records)} images, got {shard_images}"
        )
    build = _Build(
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
            tuple(left_out),
        ),
        tuple(allowed),
    )
    is_first, training = distributed.rank() == 0, model.training
    model.eval()
    try:
        if distributed.broadcast_from_rank0(is_first and not is_up_to_date(directory, build.plan.fingerprint)):
            build.partial.mkdir(parents=True, exist_ok=True)
            with build_lock(build.partial) if is_first else nullcontext():
                shards = distributed.broadcast_from_rank0(build.begin() if is_first else [])
                yield build.done()
                for number in shards[distributed.rank() :: distributed.world_size()]:
                    with closing(build.fill(number)) as batches:
                        for _ in batches:
                            yield build.done()
                distributed.barrier()
                if is_first:
                    build.finish()
                    move_into_place(build.partial, directory)
                distributed.barrier()
        elif is_first:
            remove_replaced(directory)
    except UnusableFileError as error:
        raise GalleryMemoryError(str(error)) from error
    except PermissionError as error:
        raise GalleryMemoryError(
            f"no permission to write {error.filename or directory}; choose another folder with --memory, or change its "
            "permissions"
        ) from error
    except OSError as error:
        raise GalleryMemoryError(
            f"cannot write the gallery memory {directory}: {error.strerror or error}; free disk space or choose "
            "another folder"
        ) from error
    finally:
        model.train(training)
    return open_memory(directory, expect=build.plan.fingerprint, records=records)


def images_done(
    directory: Path | str, provenance: Fingerprint, batch_size: int = BATCH_SIZE, shard_images: int = SHARD_IMAGES
) -> int:
    """Return how many images an interrupted build has encoded; 0 if no build can be resumed.

    Args:
        directory: Folder in which the gallery memory would be stored.
        provenance: Fingerprint of the gallery memory that would be built.
        batch_size: Number of images that are encoded together.
        shard_images: Number of images in each file of tokens.
    """
    partial = Path(directory).with_name(Path(directory).name + PARTIAL)
    complete = read_json(partial / MANIFEST)  # The manifest exists if the build is finished but not moved yet.
    stored = complete or read_json(partial / PLAN) or {}
    requested = {"fingerprint": asdict(provenance), "batch_size": batch_size, "shard_images": shard_images}
    if {**stored, **requested} != stored:
        return 0
    images = stored.get("images")
    if type(images) is not int or not 0 < images <= MAX_NEW_SHARDS * shard_images:
        return 0
    done = (
        images if complete else sum(shard_progress(partial, number)[0] for number in range(-(-images // shard_images)))
    )
    return min(images, done)


def memory_bytes(config: ModelConfig, images: int) -> int:
    """Return the size of the arrays of a gallery memory on disk, in bytes.

    Args:
        config: Architecture of the model.
        images: Number of images.
    """
    return images * (TOKEN_TYPE.itemsize * config.patches * config.width + row_type(config.width).itemsize)


@dataclass(frozen=True, eq=False)
class _Build:
    """One build of a gallery memory; `plan` is the manifest without the files."""

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
        """Return the numbers of the shards to fill.

        Files of an interrupted build with the same plan are reused; all other files are deleted.
        """
        plan = json.loads(json.dumps(self.plan.to_json()))
        stored = read_json(self.partial / PLAN) or read_json(self.partial / MANIFEST) or {}
        if {**stored, "files": {}} != plan:
            for leftover in self.partial.iterdir():
                if leftover.name != LOCK:
                    leftover.unlink()
            needed, free = memory_bytes(self.model.config, len(self.records)), shutil.disk_usage(self.partial).free
            needed += len(self.records) * row_type(self.plan.channels).itemsize  # Merging stores the rows twice.
            if needed > free:
                text = f"it needs {needed / 1e6:,.1f} MB, but the disk has only {free / 1e6:,.1f} MB free"
                raise OSError(errno.ENOSPC, text, str(self.partial))
            write_json(self.partial / PLAN, plan)
        if (self.partial / MANIFEST).is_file():
            return []
        return [number for number in range(self.plan.shards) if not self._is_full(number)]

    def done(self) -> int:
        """Return the number of images that all processes have stored."""
        if (self.partial / MANIFEST).is_file():
            return len(self.records)
        return sum(shard_progress(self.partial, number)[0] for number in range(self.plan.shards))

    def fill(self, number: int) -> Generator[None, None, None]:
        """Encode the missing images of one shard, batch by batch."""
        config, records, size = self.model.config, self._shard(number), self.plan.batch_size
        with_cameras = all(record.camera != NO_CAMERA for record in self.records)
        done, checksum = shard_progress(self.partial, number)
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
                    raise GalleryMemoryError(
                        f"cannot encode the batch that begins with {batch[0].path}: {error}"
                    ) from error
                rows = np.empty(len(batch), row_type(config.width))
                rows["cls"], rows["features"] = encoded.cls, encoded.features
                rows["sums"] = row_checksums(encoded.patches)
                tokens_out.write(encoded.patches)
                rows_out.write(rows)
                done, checksum = done + len(batch), zlib.crc32(rows.tobytes(), checksum)
                write_json(self.partial / done_file(number), {"done": done, "crc32": checksum})
                yield

    def finish(self) -> None:
        """Merge the rows, write the manifest and delete the files of the build, so that the folder can be moved."""
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
            write_json(self.partial / MANIFEST, self.plan.to_json() | {"files": files})
        for name in (*map(row_file, numbers), *map(done_file, numbers), PLAN):
            (self.partial / name).unlink(missing_ok=True)

    def _shard(self, number: int) -> tuple[ImageRecord, ...]:
        size = self.plan.shard_images
        return self.records[number * size : (number + 1) * size]

    def _is_full(self, number: int) -> bool:
        return shard_progress(self.partial, number)[0] == len(self._shard(number))

    def _check(self, number: int) -> None:
        """Raise GalleryMemoryError if the files of a shard are damaged; the next build encodes this shard again."""
        try:
            tokens, rows = (map_array(self.partial / name) for name in (token_file(number), row_file(number)))
            as_written = len(tokens) == len(rows) == len(self._shard(number))
            as_written &= (len(rows), zlib.crc32(rows.tobytes())) == shard_progress(self.partial, number)
        except (OSError, ValueError):
            as_written = False
        if not as_written:
            (self.partial / done_file(number)).unlink(missing_ok=True)
            raise GalleryMemoryError(
                f"shard {number} of {self.partial} was damaged during the build; resume with: {BUILD_COMMAND}"
            )

    def _decoded(self, batches: Sequence[Sequence[ImageRecord]]) -> Generator[list[np.ndarray], None, None]:
        """Yield the resized images of every batch; threads decode the next batch while the caller encodes this one."""

        def read(record: ImageRecord) -> np.ndarray:
            try:
                pixels = decode_image(self.root / record.path, image_name(record, self.root), allowed=self.allowed)
            except ImageError as error:
                raise ImageError(f"{error}; to leave out such images, use --skip-unreadable") from error
            return resize_image(pixels, self.model.config.image_size)

        with ThreadPoolExecutor(max(1, (os.cpu_count() or 1) // 2), thread_name_prefix="decode") as pool:
            following: list[Future[np.ndarray]] = []
            try:
                for batch in batches:
                    current, following = following, [pool.submit(read, record) for record in batch]
                    if current:
                        yield [future.result() for future in current]
                yield [future.result() for future in following]
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

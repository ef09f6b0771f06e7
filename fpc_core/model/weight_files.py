"""Read weight files as named tensors without running code from the file.

Before memory is allocated, limits are checked on the size of the file, the length of a safetensors header, the entries
of an archive and their unpacked size, the program of a pickle, and the number and size of tensors.
"""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import torch
from safetensors import safe_open
from torch import Tensor

from fpc_core.io.bounded_files import open_descriptor, open_regular
from fpc_core.model.pickle_scan import HarmfulPickleError, check_pickles

DEFAULT_MAX_GB = 8.0  # Maximum size of a file; a ViT-L FPC with its training heads takes 1.5 GB in float32.
MAX_TENSORS = 10_000  # Maximum number of tensors; a ViT-L FPC has 500.
MAX_HEADER = 4 << 20  # Maximum size of a safetensors header in bytes; that of 500 tensors has 50 kB.
MAX_PROGRAM = 16 << 20  # Maximum size of a pickle in an archive in bytes; that of 500 tensors has 80 kB.
_LEGACY_PICKLES = 5  # Number of pickles at the start of a file in torch's format before archives.
_CONTAINERS = ("state_dict", "model")
_MAX_DEPTH = 4  # Maximum depth of nested containers; a container in a pickle can contain itself.
_PREFIXES = ("module.", "model.", "state_dict.")
_ARCHIVE = b"PK\x03\x04"


class CheckpointError(ValueError):
    """A checkpoint cannot be used; the message names the file, the problem and the fix."""


def max_weight_bytes() -> int:
    """Return the maximum size of weight files in bytes: FPC_MAX_WEIGHTS_GB, by default 8 GB.

    Raises:
        CheckpointError: FPC_MAX_WEIGHTS_GB is not a valid size.
    """
    text = os.environ.get("FPC_MAX_WEIGHTS_GB") or str(DEFAULT_MAX_GB)
    try:
        size = float(text)
    except ValueError:
        size = 0.0
    if not 0 < size <= 10_000:
        raise CheckpointError(f"FPC_MAX_WEIGHTS_GB must be a number of gigabytes such as 8, got {text[:40]!r}")
    return int(size * 1e9)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors of a file by name, without wrappers and common prefixes, and the metadata of safetensors.

    Raises:
        CheckpointError: The file is missing, too large, not a weight file, or contains more than plain tensors.
    """
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint at {path}; pass the path of a .safetensors or .pth file")
    max_bytes = max_weight_bytes()
    too_large = f"more than {max_bytes / 1e9:g} GB, too large for an FPC; use another file, or raise FPC_MAX_WEIGHTS_GB"
    if path.stat().st_size > max_bytes:
        raise CheckpointError(f"{path} has {too_large}")
    try:
        content, metadata = _read_safetensors(path) if _is_safetensors(path) else (_read_torch(path, max_bytes), {})
    except CheckpointError:
        raise
    except Exception as error:  # Invalid bytes can make the readers raise any exception.
        raise CheckpointError(
            f"{path} is not a checkpoint, is truncated, or contains Python objects besides tensors (never executed). "
            "Download it again, or save it as torch.save(model.state_dict(), path)"
        ) from error
    for _ in range(_MAX_DEPTH):
        inner = next((content[name] for name in _CONTAINERS if isinstance(content.get(name), Mapping)), content)
        content = inner
    not_tensors = [
        str(name) for name, value in content.items() if not (isinstance(name, str) and torch.is_tensor(value))
    ]
    if not_tensors or not content:
        raise CheckpointError(
            f"{path} does not contain a dictionary of tensors ({', '.join(not_tensors[:5])[:200] or 'it is empty'}); "
            "save it as torch.save(model.state_dict(), path)"
        )
    _check_count(len(content), path)
    if unsupported := [name for name, tensor in content.items() if not _is_plain(tensor)]:
        raise CheckpointError(
            f"{path} contains tensors that are sparse, quantized, complex, without data or larger than their data, "
            f"such as {unsupported[0][:80]}; save plain tensors"
        )
    if sum(tensor.numel() * tensor.element_size() for tensor in content.values()) > max_bytes:
        raise CheckpointError(f"the tensors of {path} have {too_large}")
    while prefix := next((p for p in _PREFIXES if all(name.startswith(p) for name in content)), None):
        content = {name.removeprefix(prefix): tensor for name, tensor in content.items()}
    return dict(content), metadata


def _is_plain(tensor: Tensor) -> bool:
    """Return whether a tensor has real numbers in RAM, as many as its shape requires."""
    plain = tensor.layout is torch.strided and not tensor.is_quantized and not tensor.is_complex()
    if not plain or tensor.device.type != "cpu" or tensor.is_nested:
        return False
    return tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()


def _check_count(count: int, path: Path) -> None:
    if count > MAX_TENSORS:
        raise CheckpointError(f"{path} contains {count:,} tensors, the limit is {MAX_TENSORS:,}; use an FPC checkpoint")


def _is_safetensors(path: Path) -> bool:
    """Recognise safetensors by suffix or content, which starts with 8 bytes of header length and a JSON object."""
    with open_regular(path) as file:
        return path.suffix == ".safetensors" or file.read(9)[8:] == b"{"


def _read_safetensors(path: Path) -> tuple[Mapping[str, Any], dict[str, str]]:
    with open_regular(path) as file:
        header = int.from_bytes(file.read(8), "little")
    if MAX_HEADER < header < path.stat().st_size:  # The reader reports a header that is longer than the file.
        raise CheckpointError(
            f"{path} has a header of {header:,} bytes, the limit is {MAX_HEADER:,}; use an FPC checkpoint"
        )
    with safe_open(path, framework="pt") as file:
        names = file.keys()
        _check_count(len(names), path)
        return {name: file.get_tensor(name) for name in names}, file.metadata() or {}


class _BoundedReader(io.BufferedReader):
    """File that limits reads to its size, because a pickle may claim a 4 GB text, which would then be allocated."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(open_descriptor(path)))
        self._size = path.stat().st_size

    def read(self, size: int | None = -1) -> bytes:
        return super().read(size if size is None or size < 0 else min(size, max(0, self._size - self.tell())))


def _check_programs(file: IO[bytes], pickles: int, path: Path) -> None:
    try:
        check_pickles(file, pickles)
    except HarmfulPickleError as error:
        raise CheckpointError(f"{path} {error}; use an FPC checkpoint") from error


def _read_torch(path: Path, max_bytes: int) -> Mapping[str, Any]:
    with open_regular(path) as file:
        is_archive = file.read(4) == _ARCHIVE
    if is_archive or zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:  # This raises an error if only torch would accept the archive.
            entries = archive.infolist()
            programs = [entry for entry in entries if entry.filename.endswith(".pkl")]
            _check_count(len(entries), path)
            if sum(entry.file_size for entry in entries) > max_bytes:
                raise CheckpointError(f"{path} unpacks to more than {max_bytes / 1e9:g} GB; use another file")
            if any(entry.file_size > MAX_PROGRAM for entry in programs):
                raise CheckpointError(
                    f"{path} contains a pickle of more than {MAX_PROGRAM >> 20} MiB; use an FPC checkpoint"
                )
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
                raise CheckpointError(f"{path} is a compressed archive, which torch never writes; use torch.save")
            for entry in programs:
                with archive.open(entry) as program:
                    _check_programs(program, 1, path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    else:
        with _BoundedReader(path) as file:
            _check_programs(file, _LEGACY_PICKLES, path)
            file.seek(0)
            content = torch.load(file, map_location="cpu", weights_only=True)
    if not isinstance(content, Mapping):
        raise CheckpointError(
            f"{path} contains a {type(content).__name__}, not a dictionary of tensors; "
            "save it as torch.save(model.state_dict(), path)"
        )
    return content

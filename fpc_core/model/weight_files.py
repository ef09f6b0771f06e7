"""Weight files as named tensors, within bounds: nothing in a file is run, and none of its claims is believed unseen.

What a file claims is held against bounds before memory is taken for it: its size, the length of a safetensors header,
the entries of an archive and what they unpack to, the program of a pickle, the number and the size of tensors.
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

DEFAULT_GB = 8.0  # a ViT-L FPC with its training heads takes 1.5 GB in float32
MAX_TENSORS = 10_000  # a ViT-L FPC has 500
MAX_HEADER = 4 << 20  # bytes of a safetensors header; one of 500 tensors has 50 kB
MAX_PROGRAM = 16 << 20  # bytes of the pickle in an archive, which Python reads step by step; 500 tensors have 80 kB
_LEGACY = 5  # pickles before the numbers in a file of the format before archives
_CONTAINERS = ("state_dict", "model")
_DEPTH = 4  # containers in each other at most: a pickle can hold one that holds itself
_PREFIXES = ("module.", "model.", "state_dict.")
_ARCHIVE = b"PK\x03\x04"


class CheckpointError(ValueError):
    """A checkpoint cannot be used; the message names the file, what is wrong with it and the remedy."""


def most_bytes() -> int:
    """How large a weight file may be: FPC_MAX_WEIGHTS_GB, else 8 GB. Raises CheckpointError for what is no size."""
    text = os.environ.get("FPC_MAX_WEIGHTS_GB") or str(DEFAULT_GB)
    try:
        size = float(text)
    except ValueError:
        size = 0.0
    if not 0 < size <= 10_000:
        raise CheckpointError(f"FPC_MAX_WEIGHTS_GB is {text[:40]!r}; set it to a number of gigabytes, such as 8")
    return int(size * 1e9)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors by name without wrappers and prefixes, on the CPU, and the metadata of safetensors.

    Raises CheckpointError for a file that is missing, too large, no weights, or that holds anything but plain tensors.
    """
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint at {path}; give the path of a .safetensors or .pth file")
    most = most_bytes()
    too_large = f"more than {most / 1e9:g} GB, so no FPC; give another file, or raise FPC_MAX_WEIGHTS_GB"
    if path.stat().st_size > most:
        raise CheckpointError(f"{path} has {too_large}")
    try:
        content, metadata = _read_safetensors(path) if _is_safetensors(path) else (_read_torch(path, most), {})
    except CheckpointError:
        raise
    except Exception as error:  # the readers raise whatever the bytes lead them to
        raise CheckpointError(
            f"{path} is no checkpoint, is cut off, or holds Python objects besides tensors (never run here). "
            "Download it again, or save it as torch.save(model.state_dict(), path)"
        ) from error
    for _ in range(_DEPTH):
        inner = next((content[name] for name in _CONTAINERS if isinstance(content.get(name), Mapping)), content)
        content = inner
    strangers = [str(name) for name, value in content.items() if not (isinstance(name, str) and torch.is_tensor(value))]
    if strangers or not content:
        raise CheckpointError(
            f"{path} holds no dictionary of tensors ({', '.join(strangers[:5])[:200] or 'it is empty'}); "
            "save it as torch.save(model.state_dict(), path)"
        )
    _check_count(len(content), path)
    if odd := [name for name, tensor in content.items() if not _is_plain(tensor)]:
        raise CheckpointError(
            f"{path} holds tensors that are sparse, quantized, complex, empty shells or claim more numbers than they "
            f"have, such as {odd[0][:80]}; save plain ones"
        )
    if sum(tensor.numel() * tensor.element_size() for tensor in content.values()) > most:
        raise CheckpointError(f"the tensors of {path} claim {too_large}")
    while prefix := next((p for p in _PREFIXES if all(name.startswith(p) for name in content)), None):
        content = {name.removeprefix(prefix): tensor for name, tensor in content.items()}
    return dict(content), metadata


def _is_plain(tensor: Tensor) -> bool:
    """Real numbers in the memory of this machine, and as many as the shape says."""
    plain = tensor.layout is torch.strided and not tensor.is_quantized and not tensor.is_complex()
    if not plain or tensor.device.type != "cpu" or tensor.is_nested:
        return False
    return tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()


def _check_count(count: int, path: Path) -> None:
    if count > MAX_TENSORS:
        raise CheckpointError(f"{path} holds {count:,} tensors, the limit is {MAX_TENSORS:,}; so it is no FPC")


def _is_safetensors(path: Path) -> bool:
    """By content: eight bytes of header length, then the header, a JSON object."""
    with open_regular(path) as file:
        return path.suffix == ".safetensors" or file.read(9)[8:] == b"{"


def _read_safetensors(path: Path) -> tuple[Mapping[str, Any], dict[str, str]]:
    with open_regular(path) as file:
        header = int.from_bytes(file.read(8), "little")
    if MAX_HEADER < header < path.stat().st_size:  # a longer one is damage, which the reader tells
        raise CheckpointError(f"{path} has a header of {header:,} bytes, the limit is {MAX_HEADER:,}; so it is no FPC")
    with safe_open(path, framework="pt") as file:
        names = file.keys()
        _check_count(len(names), path)
        return {name: file.get_tensor(name) for name in names}, file.metadata() or {}


class _Bounded(io.BufferedReader):
    """A file asked for no more than it has: a pickle may claim a text of 4 GB, and room is made at once."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(open_descriptor(path)))
        self._size = path.stat().st_size

    def read(self, size: int | None = -1) -> bytes:
        return super().read(size if size is None or size < 0 else min(size, max(0, self._size - self.tell())))


def _check_programs(file: IO[bytes], pickles: int, path: Path) -> None:
    try:
        check_pickles(file, pickles)
    except HarmfulPickleError as error:
        raise CheckpointError(f"{path} {error}; so it is no FPC") from error


def _read_torch(path: Path, most: int) -> Mapping[str, Any]:
    with open_regular(path) as file:
        looks_packed = file.read(4) == _ARCHIVE
    if looks_packed or zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:  # raises where it looks packed to torch alone
            entries = archive.infolist()
            programs = [entry for entry in entries if entry.filename.endswith(".pkl")]
            _check_count(len(entries), path)
            if sum(entry.file_size for entry in entries) > most:
                raise CheckpointError(f"{path} unpacks to more than {most / 1e9:g} GB; give another file")
            if any(entry.file_size > MAX_PROGRAM for entry in programs):
                raise CheckpointError(f"{path} holds a pickle of more than {MAX_PROGRAM >> 20} MiB; so it is no FPC")
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
                raise CheckpointError(f"{path} is a packed archive, as torch writes none; save it by torch.save")
            for entry in programs:
                with archive.open(entry) as program:
                    _check_programs(program, 1, path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    else:
        with _Bounded(path) as file:
            _check_programs(file, _LEGACY, path)
            file.seek(0)
            content = torch.load(file, map_location="cpu", weights_only=True)
    if not isinstance(content, Mapping):
        raise CheckpointError(
            f"{path} holds a {type(content).__name__}, no dictionary of tensors; "
            "save it as torch.save(model.state_dict(), path)"
        )
    return content

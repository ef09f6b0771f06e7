"""Read weight files as named tensors without running code from the file.

Objects beside the tensors that are settings or logs (`pickle_scan.PASSED_OVER`) are replaced by empty stand-ins; none
of their classes is imported. Any other object is refused by name.

Before memory is allocated, limits are checked on the size of the file, the length of a safetensors header, the entries
of an archive and their unpacked size, the program of a pickle, and the number and size of tensors.
"""

from __future__ import annotations

import io
import os
import threading
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch
from safetensors import safe_open
from torch import Tensor

from fpc_core.io.bounded_files import escape_name, open_descriptor, open_regular
from fpc_core.model.pickle_scan import HarmfulPickleError, Use, check_pickles, is_passed_over

DEFAULT_MAX_GB = 8.0  # Maximum size of a file; a ViT-L FPC with its training heads takes 1.5 GB in float32.
MAX_TENSORS = 10_000  # Maximum number of tensors; a ViT-L FPC has 500.
MAX_HEADER = 4 << 20  # Maximum size of a safetensors header in bytes; that of 500 tensors has 50 kB.
MAX_PROGRAM = 16 << 20  # Maximum size of a pickle in an archive in bytes; that of 500 tensors has 80 kB.
_LEGACY_PICKLES = 5  # Number of pickles at the start of a file in torch's format before archives.
# Names under which training code stores the tensors of a model, the most common ones first.
CONTAINERS = (
    *("state_dict", "model", "model_state_dict", "model_state", "state", "net", "network", "weights", "params"),
    *("module", "backbone", "encoder", "generator", "teacher", "model_ema", "state_dict_ema", "ema"),
)
_MAX_DEPTH = 4  # Maximum depth of nested containers; a container in a pickle can contain itself.
_MAX_LABEL = 120  # Maximum number of characters of a path in a message.
_ARCHIVE = b"PK\x03\x04"


_stand_in_lock = threading.Lock()  # torch registers stand-ins for the whole process, so one file is read at a time.


class CheckpointError(ValueError):
    """A checkpoint cannot be used; the message names the file, the problem and the fix."""


@dataclass(frozen=True)
class WeightFile:
    """Content of a weight file.

    Attributes:
        tensors: Tensors by name, as in the innermost container.
        metadata: Metadata of a safetensors file.
        others: Names of entries beside the tensors that are not read, such as "optimizer" or "epoch".
        passed_over: Names of the classes whose objects are passed over, such as "argparse.Namespace".
    """

    tensors: dict[str, Tensor]
    metadata: dict[str, str]
    others: tuple[str, ...] = ()
    passed_over: tuple[str, ...] = ()


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


def label(path: Path) -> str:
    """Return a path for use in messages. Long paths are cut at the start, so that the cause remains readable."""
    text = str(path)
    return text if len(text) <= _MAX_LABEL else f"…{text[-_MAX_LABEL:]}"


def read_tensors(path: Path) -> WeightFile:
    """Return the tensors of a file without their containers.

    Raises:
        CheckpointError: The file is missing, too large, not a weight file, or contains objects that are refused.
    """
    try:
        return _read_file(path)
    except PermissionError as error:
        raise CheckpointError(
            f"no permission to read {label(path)}; change the permissions of the file and its folders"
        ) from error


def _read_file(path: Path) -> WeightFile:
    name = label(path)
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint at {name}; pass the path of a .safetensors or .pth file")
    max_bytes = max_weight_bytes()
    too_large = f"more than {max_bytes / 1e9:g} GB, too large for an FPC; use another file, or raise FPC_MAX_WEIGHTS_GB"
    if path.stat().st_size > max_bytes:
        raise CheckpointError(f"{name} has {too_large}")
    metadata: dict[str, str] = {}
    passed_over: tuple[str, ...] = ()
    content: Mapping[str, Any]
    try:
        if _is_safetensors(path):
            content, metadata = _read_safetensors(path)
        else:
            content, passed_over = _read_torch(path, max_bytes)
    except (CheckpointError, PermissionError):
        raise
    except Exception as error:  # Invalid bytes can make the readers raise any exception.
        raise CheckpointError(
            f"{name} is not a checkpoint, is truncated, or contains Python objects besides tensors (never executed). "
            "Download it again, or save it as torch.save(model.state_dict(), path)"
        ) from error
    content, others = _open_containers(content)
    tensors = {key: value for key, value in content.items() if isinstance(key, str) and torch.is_tensor(value)}
    not_tensors = [str(key)[:80] for key in content if key not in tensors]
    if not tensors:
        raise CheckpointError(
            f"{name} does not contain a dictionary of tensors ({', '.join(not_tensors[:5])[:200] or 'it is empty'}); "
            "save it as torch.save(model.state_dict(), path)"
        )
    _check_count(len(content), path)
    if unsupported := [key for key, tensor in tensors.items() if not _is_plain(tensor)]:
        raise CheckpointError(
            f"{name} contains tensors that are sparse, quantized, complex, nested, without data or larger than their "
            f"storage, such as {unsupported[0][:80]}; save dense tensors on the CPU"
        )
    if sum(tensor.numel() * tensor.element_size() for tensor in tensors.values()) > max_bytes:
        raise CheckpointError(f"the tensors of {name} have {too_large}")
    return WeightFile(tensors, metadata, (*others, *not_tensors), passed_over)


def _open_containers(content: Mapping[Any, Any]) -> tuple[Mapping[Any, Any], tuple[str, ...]]:
    """Return the mapping that contains the model's tensors, and the names of the entries beside it."""
    others: list[str] = []
    for _ in range(_MAX_DEPTH):
        mappings = [name for name, value in content.items() if isinstance(value, Mapping) and _has_tensors(value)]
        known = [name for name in CONTAINERS if name in mappings]
        if any(torch.is_tensor(value) for value in content.values()) and not known:
            break
        if not known and len(mappings) != 1:
            break
        chosen = known[0] if known else mappings[0]
        others += [str(name)[:80] for name in content if name != chosen]
        content = content[chosen]
    return content, tuple(others)


def _has_tensors(content: Mapping[Any, Any]) -> bool:
    """Return whether a mapping or one nested in it contains a tensor; mappings may contain each other."""
    level, seen = [content], {id(content)}
    for _ in range(_MAX_DEPTH):
        values = [value for mapping in level for value in mapping.values()]
        if any(torch.is_tensor(value) for value in values):
            return True
        inner = {id(value): value for value in values if isinstance(value, Mapping) and id(value) not in seen}
        level, seen = list(inner.values()), seen | set(inner)
    return False


def _is_plain(tensor: Tensor) -> bool:
    """Return whether a tensor is dense, real and on the CPU, and its storage is large enough for its shape."""
    plain = tensor.layout is torch.strided and not tensor.is_quantized and not tensor.is_complex()
    if not plain or tensor.device.type != "cpu" or tensor.is_nested:
        return False
    return tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()


def _check_count(count: int, path: Path) -> None:
    if count > MAX_TENSORS:
        raise CheckpointError(
            f"{label(path)} contains {count:,} tensors, the limit is {MAX_TENSORS:,}; use an FPC checkpoint"
        )


def _is_safetensors(path: Path) -> bool:
    """Recognise safetensors by suffix or content, which starts with 8 bytes of header length and a JSON object."""
    with open_regular(path) as file:
        return path.suffix == ".safetensors" or file.read(9)[8:] == b"{"


def _read_safetensors(path: Path) -> tuple[Mapping[str, Any], dict[str, str]]:
    with open_regular(path) as file:
        header = int.from_bytes(file.read(8), "little")
    if MAX_HEADER < header < path.stat().st_size:  # The reader reports a header that is longer than the file.
        raise CheckpointError(
            f"{label(path)} has a header of {header:,} bytes, the limit is {MAX_HEADER:,}; use an FPC checkpoint"
        )
    with safe_open(path, framework="pt") as file:
        names = file.keys()
        _check_count(len(names), path)
        return {name: file.get_tensor(name) for name in names}, file.metadata() or {}


class _BoundedReader(io.BufferedReader):
    """File that never reads more than its size, because a pickle may announce 4 GB of text that it does not contain."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(open_descriptor(path)))
        self._size = path.stat().st_size

    def read(self, size: int | None = -1) -> bytes:
        return super().read(size if size is None or size < 0 else min(size, max(0, self._size - self.tell())))


class _StandIn:
    """Replaces an object that is passed over; it accepts and ignores all arguments and any state."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def __new__(cls, *_: object, **__: object) -> Any:
        return super().__new__(cls)

    def __setstate__(self, state: object) -> None:
        pass


class _MappingStandIn:
    """Replaces an object whose items the pickle sets; torch sets items only of dictionaries that it knows."""

    def __new__(cls, *_: object, **__: object) -> Any:
        return OrderedDict()


class _ListStandIn:
    """Replaces an object to which the pickle appends items; torch appends only to lists."""

    def __new__(cls, *_: object, **__: object) -> Any:
        return []


_STAND_INS: dict[Use, type] = {Use.OBJECT: _StandIn, Use.MAPPING: _MappingStandIn, Use.LIST: _ListStandIn}


def _check_programs(file: IO[bytes], pickles: int, path: Path) -> dict[str, Use]:
    """Scan consecutive pickles of a file before they are loaded.

    Args:
        file: File at the start of the first pickle.
        pickles: Number of pickles.
        path: Path of the file, for messages.

    Returns:
        How the file uses the objects of each ignored class, by class name.

    Raises:
        CheckpointError: A pickle is harmful, or uses an object that is refused.
    """
    unknown: dict[str, Use] = {}
    for _ in range(pickles):
        try:
            unknown |= check_pickles(file)
        except HarmfulPickleError as error:
            raise CheckpointError(f"{label(path)} {error}; use an FPC checkpoint") from error
        if refused := [name for name in unknown if not is_passed_over(name)]:
            whole = any(name.startswith("torch.nn.modules.") for name in unknown)
            what = "a whole model instead of its tensors" if whole else "Python objects besides tensors"
            names = ", ".join(escape_name(name)[:60] for name in refused[:3])
            raise CheckpointError(
                f"{label(path)} contains {what} (never executed): {names}{' and others' if len(refused) > 3 else ''}. "
                "Save the weights with the code that wrote the file: torch.save(model.state_dict(), path)"
            )
    return unknown


def _read_torch(path: Path, max_bytes: int) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    name = label(path)
    used: dict[str, Use] = {}
    with open_regular(path) as file:
        is_archive = file.read(4) == _ARCHIVE
    if is_archive or zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:  # Fails for archives that torch would accept but that cannot be checked.
            entries = archive.infolist()
            programs = [entry for entry in entries if entry.filename.endswith(".pkl")]
            _check_count(len(entries), path)
            if sum(entry.file_size for entry in entries) > max_bytes:
                raise CheckpointError(f"{name} unpacks to more than {max_bytes / 1e9:g} GB; use another file")
            if any(entry.file_size > MAX_PROGRAM for entry in programs):
                raise CheckpointError(
                    f"{name} contains a pickle of more than {MAX_PROGRAM >> 20} MiB; use an FPC checkpoint"
                )
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
                raise CheckpointError(f"{name} is a compressed archive, which torch never writes; use torch.save")
            if any(entry.filename.endswith("/constants.pkl") for entry in entries):
                raise CheckpointError(
                    f"{name} is a TorchScript archive, which contains code; "
                    "save the weights with torch.save(model.state_dict(), path)"
                )
            for entry in programs:
                with archive.open(entry) as program:
                    used |= _check_programs(program, 1, path)
        content = _load(path, used)
    else:
        with _BoundedReader(path) as file:
            used = _check_programs(file, _LEGACY_PICKLES, path)
            file.seek(0)
            content = _load(file, used)
    if not isinstance(content, Mapping):
        raise CheckpointError(
            f"{name} contains a {type(content).__name__}, not a dictionary of tensors; "
            "save it as torch.save(model.state_dict(), path)"
        )
    return content, tuple(sorted(used))


def _load(file: Path | IO[bytes], used: Mapping[str, Use]) -> Any:
    """Load a file with torch.

    Args:
        file: Path, or an open file at its start.
        used: Use of every class or function that is not loaded, by its name in the pickle; a stand-in replaces it.
    """
    stand_ins: Any = [(_STAND_INS[use], name) for name, use in used.items()]
    with _stand_in_lock, torch.serialization.safe_globals(stand_ins):
        return torch.load(file, map_location="cpu", weights_only=True)

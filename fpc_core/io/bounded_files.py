"""Open files that somebody else may have put there: regular files only, within bounds, inside the allowed folders.

Every file that is read below a root (`fpc_core.workspace.allowed_roots`) is opened here. A named pipe is never waited
for, a file that is
too large is refused before it is read, and a link that leads out of the allowed folders is refused before it is opened.
"""

from __future__ import annotations

import errno
import io
import json
import os
import re
import stat
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

MAX_JSON_BYTES = 1 << 20  # of dataset.json, manifest.json and their like; ours have at most 40 kB
MAX_JSON_PARTS = 200_000  # objects, lists and values that such a file may hold: each takes up to 100 bytes of memory
MAX_ARRAYS = 1_000  # in one archive
_READ = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOCTTY", 0)
_NO_WAIT = getattr(os, "O_NONBLOCK", 0)  # else opening a pipe waits until somebody writes to it
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_SURROGATE = re.compile("[\ud800-\udfff]")
_BYTE_RANGE = range(0xDC80, 0xDD00)  # what Python makes of the bytes of a file name that are not UTF-8


class UnusableFileError(ValueError):
    """A file cannot be used; the message names the file, what is wrong with it and the remedy."""


class OutsideRootsError(ValueError):
    """A place is not below any root. The message is the same whether or not there is anything in that place."""


def is_text(name: str) -> bool:
    """Return whether a file name can be shown and sent: valid Unicode, that is without lone surrogates."""
    return _SURROGATE.search(name) is None


def escape_name(name: str) -> str:
    """Return the name with what is not valid text written as escapes: `\\xff` for a byte, `\\ud800` for a surrogate."""
    return _SURROGATE.sub(_escape, name)


def _escape(match: re.Match[str]) -> str:
    code = ord(match.group())
    return f"\\x{code - 0xDC00:02x}" if code in _BYTE_RANGE else f"\\u{code:04x}"


def check_inside(path: Path, allowed: Sequence[Path], description: str) -> Path:
    """Return the real path, every link resolved, after checking that it lies in an allowed folder.

    Args:
        path: What is about to be opened or listed.
        allowed: Real folders; empty where every place is allowed.
        description: What messages call the path.

    Raises:
        OutsideRootsError: For a path that leads out of the allowed folders, or in a circle.
    """
    if not allowed:
        return path
    try:
        real = path.resolve()
        inside = any(folder == real or folder in real.parents for folder in allowed)
    except (OSError, RuntimeError):  # a loop of links
        inside = False
    if not inside:
        raise OutsideRootsError(
            f"{escape_name(description)} is a link to a place that this app may not read; put the files there "
            "themselves"
        )
    return real


def open_regular(
    path: Path,
    *,
    max_bytes: int | None = None,
    allowed: Sequence[Path] = (),
    description: str = "",
    remedy: str = "restore or delete it",
) -> io.BufferedReader:
    """Open a file for reading without ever waiting for it.

    Kind and size are read from the open file, not from its name, which may stand for another file by then.

    Args:
        path: The file.
        max_bytes: How large it may be; None for any size.
        allowed: Real folders in which it must lie, links resolved; empty where every place is allowed.
        description: What messages call the file; its path if empty.
        remedy: What messages advise.

    Returns:
        The file, opened for reading bytes. Whoever calls closes it.

    Raises:
        OutsideRootsError: For a link out of the allowed folders.
        UnusableFileError: For a pipe or device, and for a file that is too large.
        OSError: For a folder, and for a file that is missing or not readable.
    """
    descriptor = open_descriptor(path, allowed=allowed, description=description, remedy=remedy)
    file = os.fdopen(descriptor, "rb")
    size = os.fstat(descriptor).st_size
    if max_bytes is not None and size > max_bytes:
        file.close()
        name = escape_name(description or str(path))
        raise UnusableFileError(f"{name} is larger than {max_bytes:,} bytes, it has {size:,}; {remedy}")
    return file


def open_descriptor(
    path: Path, *, allowed: Sequence[Path] = (), description: str = "", remedy: str = "restore or delete it"
) -> int:
    """Open a regular file of any size as a file descriptor, for `os.preadv` and its like; see `open_regular`."""
    real = check_inside(path, allowed, description or path.name)
    descriptor = os.open(real, _READ | _NO_WAIT | (_NO_LINK if allowed else 0))
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        name = escape_name(description or str(path))
        raise UnusableFileError(f"{name} is no regular file but {_kind(mode)}; {remedy}")
    return descriptor


def read_bytes(
    path: Path,
    max_bytes: int,
    *,
    allowed: Sequence[Path] = (),
    description: str = "",
    remedy: str = "restore or delete it",
) -> bytes:
    """Return the bytes of a file; also one that grows while it is read gives no more than allowed.

    Raises:
        OutsideRootsError, UnusableFileError, OSError: As `open_regular`.
    """
    with open_regular(path, max_bytes=max_bytes, allowed=allowed, description=description, remedy=remedy) as file:
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise UnusableFileError(f"{escape_name(description or str(path))} is larger than {max_bytes:,} bytes; {remedy}")
    return data


def read_json(path: Path, *, allowed: Sequence[Path] = (), max_bytes: int = MAX_JSON_BYTES) -> Any:
    """Return what a JSON file holds.

    Raises:
        OutsideRootsError, UnusableFileError, OSError: As `open_regular`.
        ValueError: For what is not JSON in UTF-8, is nested too deeply or has too many parts.
    """
    text = read_bytes(path, max_bytes, allowed=allowed).decode("utf-8")
    parts = text.count(",") + text.count("[") + text.count("{")  # more than there are: commas in texts count too
    if max_bytes <= MAX_JSON_BYTES and parts > MAX_JSON_PARTS:
        raise UnusableFileError(
            f"{escape_name(str(path))} has {parts:,} parts, the limit is {MAX_JSON_PARTS:,}; restore or delete it"
        )
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def map_array(path: Path, *, allowed: Sequence[Path] = ()) -> np.ndarray:
    """Return the array of an .npy file, mapped read-only; nothing but its header is read.

    Raises:
        OutsideRootsError, UnusableFileError, OSError: As `open_regular`.
        ValueError: For what is not an .npy file, holds Python objects, or is shorter than its header says.
    """
    with open_regular(path, allowed=allowed) as file:
        shape, fortran, kind = _array_header(file)
        return np.memmap(cast(Any, file), kind, "r", offset=file.tell(), shape=shape, order="F" if fortran else "C")


def read_archive(path: Path, max_bytes: int) -> dict[str, np.ndarray]:
    """Return the arrays of an .npz file, as `numpy.savez` writes it: stored, not packed.

    What the headers claim is compared with what is there before memory is taken for it, and every checksum is checked.

    Args:
        path: The file.
        max_bytes: How large it may be.

    Raises:
        UnusableFileError, OSError: As `open_regular`.
        ValueError, KeyError, EOFError, zipfile.BadZipFile, struct.error: For what is damaged.
    """
    with open_regular(path, max_bytes=max_bytes) as file, zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        if len(entries) > MAX_ARRAYS:
            raise ValueError(f"it holds {len(entries):,} arrays, the limit is {MAX_ARRAYS:,}")
        for entry in entries:
            if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > max_bytes:
                raise ValueError(f"{entry.filename[:80]!r} in it is packed or too large")
            with archive.open(entry) as inner:
                shape, _, kind = _array_header(inner)
            if kind.itemsize * int(np.prod(shape, dtype=object)) > entry.file_size:
                raise ValueError(f"{entry.filename[:80]!r} in it claims more than it has")
        file.seek(0)
        with np.load(file, allow_pickle=False) as arrays:
            found = cast(Mapping[str, np.ndarray], arrays)
            return {name: found[name] for name in arrays.files}


def open_for_writing(path: Path, *, keep: bool = False) -> IO[bytes]:
    """Open a file for writing that may lie where others can write: never a link, a pipe or a device.

    Args:
        path: The file; created where there is none.
        keep: Leave what it holds, to be read and written over.

    Raises:
        UnusableFileError: For something other than a regular file.
        OSError: For a link, a pipe that nobody reads, and a place that cannot be written to.
    """
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0) | _NO_WAIT | _NO_LINK
    descriptor = os.open(path, flags, 0o666)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise UnusableFileError(f"{escape_name(str(path))} is no regular file; delete it")
        if not keep:
            os.ftruncate(descriptor, 0)
        return os.fdopen(descriptor, "rb+")
    except BaseException:
        os.close(descriptor)
        raise


def _array_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"it is an .npy file of version {version}, use 1.0 or 2.0")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, kind = read(file)
    if kind.hasobject:
        raise ValueError("it holds Python objects")
    return shape, fortran, kind


def _kind(mode: int) -> str:
    kinds = {"a named pipe": stat.S_ISFIFO, "a socket": stat.S_ISSOCK}
    return next((kind for kind, is_kind in kinds.items() if is_kind(mode)), "a device")

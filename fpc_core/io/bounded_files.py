"""Open untrusted files: regular files only, within size limits and inside the allowed folders.

All files below a root (`fpc_core.workspace.allowed_roots`) are opened by this module. Opening never waits for a named
pipe, files that are too large are refused before they are read, and links that lead out of the allowed folders are
refused before they are opened.
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

MAX_JSON_BYTES = 1 << 20  # Maximum size of dataset.json, manifest.json and similar files; ours have at most 40 kB.
MAX_JSON_PARTS = 200_000  # Maximum number of objects, lists and values in such a file; each takes up to 100 bytes.
MAX_ARRAYS = 1_000  # Maximum number of arrays in one archive.
_READ = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOCTTY", 0)
_NO_WAIT = getattr(os, "O_NONBLOCK", 0)  # Without this flag, opening a pipe waits for a writer.
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_SURROGATE = re.compile("[\ud800-\udfff]")
_BYTE_RANGE = range(0xDC80, 0xDD00)  # Surrogates by which Python represents bytes of a file name that are not UTF-8.


class UnusableFileError(ValueError):
    """A file cannot be used; the message names the file, the problem and the fix."""


class OutsideRootsError(ValueError):
    """A path is not below any root; the message does not reveal whether the path exists."""


def is_text(name: str) -> bool:
    """Return whether a file name is valid Unicode without lone surrogates, so that it can be shown and sent."""
    return _SURROGATE.search(name) is None


def escape_name(name: str) -> str:
    r"""Return a name in which escapes replace invalid text, such as `\\xff` for a byte or `\\ud800` for a surrogate."""
    return _SURROGATE.sub(_escape, name)


def _escape(match: re.Match[str]) -> str:
    code = ord(match.group())
    return f"\\x{code - 0xDC00:02x}" if code in _BYTE_RANGE else f"\\u{code:04x}"


def check_inside(path: Path, allowed: Sequence[Path], description: str) -> Path:
    """Check that a path is in an allowed folder, and return it with all links resolved.

    Args:
        path: Path that will be opened or listed.
        allowed: Real folders in which the path must be; empty for no restriction.
        description: Name of the path in messages.

    Raises:
        OutsideRootsError: The path leads out of the allowed folders, or is a loop of links.
    """
    if not allowed:
        return path
    try:
        real = path.resolve()
        inside = any(folder == real or folder in real.parents for folder in allowed)
    except (OSError, RuntimeError):  # The path is a loop of links.
        inside = False
    if not inside:
        raise OutsideRootsError(
            f"{escape_name(description)} is a link to a folder that this app may not read; replace it by the files "
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
    """Open a file for reading bytes without ever blocking; the caller must close it.

    Type and size are checked on the open file, because another file may have taken its name before it was opened.

    Args:
        path: Path of the file.
        max_bytes: Maximum size in bytes; None for any size.
        allowed: Real folders in which the file must be after links are resolved; empty for no restriction.
        description: Name of the file in messages; by default its path.
        remedy: Fix that messages suggest.

    Raises:
        OutsideRootsError: The file is a link that leads out of the allowed folders.
        UnusableFileError: The file is a pipe or a device, or is too large.
        OSError: The file is a folder, missing or not readable.
    """
    descriptor = open_descriptor(path, allowed=allowed, description=description, remedy=remedy)
    file = os.fdopen(descriptor, "rb")
    size = os.fstat(descriptor).st_size
    if max_bytes is not None and size > max_bytes:
        file.close()
        name = escape_name(description or str(path))
        raise UnusableFileError(f"{name} has {size:,} bytes, the limit is {max_bytes:,}; {remedy}")
    return file


def open_descriptor(
    path: Path, *, allowed: Sequence[Path] = (), description: str = "", remedy: str = "restore or delete it"
) -> int:
    """Open a regular file of any size as a file descriptor, for functions such as `os.preadv`.

    Args:
        path: Path of the file.
        allowed: Real folders in which the file must be after links are resolved; empty for no restriction.
        description: Name of the file in messages; by default its path.
        remedy: Fix that messages suggest.

    Raises:
        OutsideRootsError: The file is a link that leads out of the allowed folders.
        UnusableFileError: The file is a pipe or a device.
        OSError: The file is a folder, missing or not readable.
    """
    real = check_inside(path, allowed, description or path.name)
    descriptor = os.open(real, _READ | _NO_WAIT | (_NO_LINK if allowed else 0))
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        name = escape_name(description or str(path))
        raise UnusableFileError(f"{name} is not a regular file but {_kind(mode)}; {remedy}")
    return descriptor


def read_bytes(
    path: Path,
    max_bytes: int,
    *,
    allowed: Sequence[Path] = (),
    description: str = "",
    remedy: str = "restore or delete it",
) -> bytes:
    """Return the bytes of a file; the limit also applies to a file that grows while it is read.

    Args:
        path: Path of the file.
        max_bytes: Maximum size in bytes.
        allowed: Real folders in which the file must be after links are resolved; empty for no restriction.
        description: Name of the file in messages; by default its path.
        remedy: Fix that messages suggest.

    Raises:
        OutsideRootsError, UnusableFileError, OSError: The file cannot be opened (see `open_regular`).
    """
    with open_regular(path, max_bytes=max_bytes, allowed=allowed, description=description, remedy=remedy) as file:
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise UnusableFileError(
            f"{escape_name(description or str(path))} has more than {max_bytes:,} bytes, the limit; {remedy}"
        )
    return data


def read_json(path: Path, *, allowed: Sequence[Path] = (), max_bytes: int = MAX_JSON_BYTES) -> Any:
    """Return the content of a JSON file.

    Args:
        path: Path of the file.
        allowed: Real folders in which the file must be after links are resolved; empty for no restriction.
        max_bytes: Maximum size in bytes.

    Raises:
        OutsideRootsError, UnusableFileError, OSError: The file cannot be opened (see `open_regular`).
        ValueError: The file is not JSON in UTF-8, is nested too deeply or has too many parts.
    """
    text = read_bytes(path, max_bytes, allowed=allowed).decode("utf-8")
    parts = text.count(",") + text.count("[") + text.count("{")  # An upper bound, because commas in texts count, too.
    if max_bytes <= MAX_JSON_BYTES and parts > MAX_JSON_PARTS:
        raise UnusableFileError(
            f"{escape_name(str(path))} has {parts:,} parts, the limit is {MAX_JSON_PARTS:,}; restore or delete it"
        )
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("the JSON is nested too deeply") from error


def map_array(path: Path, *, allowed: Sequence[Path] = ()) -> np.ndarray:
    """Return a read-only memory map of the array in an .npy file, after reading only its header.

    Args:
        path: Path of the file.
        allowed: Real folders in which the file must be after links are resolved; empty for no restriction.

    Raises:
        OutsideRootsError, UnusableFileError, OSError: The file cannot be opened (see `open_regular`).
        ValueError: The file is not an .npy file, contains Python objects, or is shorter than its header states.
    """
    with open_regular(path, allowed=allowed) as file:
        shape, fortran, kind = _array_header(file)
        return np.memmap(cast(Any, file), kind, "r", offset=file.tell(), shape=shape, order="F" if fortran else "C")


def read_archive(path: Path, max_bytes: int) -> dict[str, np.ndarray]:
    """Return the arrays in an uncompressed .npz file that `numpy.savez` wrote.

    The sizes in its headers are compared with the file before memory is allocated, and all checksums are verified.

    Args:
        path: Path of the file.
        max_bytes: Maximum size in bytes.

    Raises:
        UnusableFileError, OSError: The file cannot be opened (see `open_regular`).
        ValueError, KeyError, EOFError, zipfile.BadZipFile, struct.error: The file is damaged.
    """
    with open_regular(path, max_bytes=max_bytes) as file, zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        if len(entries) > MAX_ARRAYS:
            raise ValueError(f"the archive contains {len(entries):,} arrays, the limit is {MAX_ARRAYS:,}")
        for entry in entries:
            if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > max_bytes:
                raise ValueError(f"{entry.filename[:80]!r} in the archive is compressed or too large")
            with archive.open(entry) as inner:
                shape, _, kind = _array_header(inner)
            if kind.itemsize * int(np.prod(shape, dtype=object)) > entry.file_size:
                raise ValueError(f"{entry.filename[:80]!r} in the archive is shorter than its header states")
        file.seek(0)
        with np.load(file, allow_pickle=False) as arrays:
            by_name = cast(Mapping[str, np.ndarray], arrays)
            return {name: by_name[name] for name in arrays.files}


def open_for_writing(path: Path, *, keep: bool = False) -> IO[bytes]:
    """Open a regular file for writing, but never a link, a pipe or a device that others may have put there.

    Args:
        path: Path of the file, which is created if it does not exist.
        keep: Whether to keep the content, which can then be read and overwritten; otherwise the file is emptied.

    Raises:
        UnusableFileError: The file is not a regular file.
        OSError: The file is a link or a pipe without a reader, or cannot be written.
    """
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0) | _NO_WAIT | _NO_LINK
    descriptor = os.open(path, flags, 0o666)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise UnusableFileError(f"{escape_name(str(path))} is not a regular file; delete it")
        if not keep:
            os.ftruncate(descriptor, 0)
        return os.fdopen(descriptor, "rb+")
    except BaseException:
        os.close(descriptor)
        raise


def _array_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"the version of the .npy file must be 1.0 or 2.0, got {version}")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, kind = read(file)
    if kind.hasobject:
        raise ValueError("the array contains Python objects")
    return shape, fortran, kind


def _kind(mode: int) -> str:
    kinds = {"a named pipe": stat.S_ISFIFO, "a socket": stat.S_ISSOCK}
    return next((kind for kind, is_kind in kinds.items() if is_kind(mode)), "a device")

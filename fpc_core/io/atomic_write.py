"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def atomic_write(path: Path, *, exclusive: bool = False) -> Iterator[Path]:
    """A place beside `path` to write a file to; at the end it takes that name.

    It is on the disk before, for power may fail at any time. Where the writing fails, nothing is left of it and `path`
    is as it was.

    exclusive: no other process writes this file. The temporary file then has a fixed name, so that what a killed
    process left is overwritten.
    """
    own = "tmp" if exclusive else f"{os.getpid()}-{threading.get_ident()}"
    temporary = path.with_name(f".{path.name}.{own}")
    temporary.unlink(missing_ok=True)  # a pipe of that name would be waited for, a link would be followed
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        with suppress(OSError):  # it is gone, or never was
            temporary.unlink()

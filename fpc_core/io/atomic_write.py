"""Write files atomically: a file is either complete or unchanged."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def atomic_write(path: Path, *, exclusive: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `path` to write to; at the end it replaces `path`.

    The content is flushed to disk before the replacement, in case of a power failure. If writing fails, the temporary
    file is deleted and `path` stays unchanged.

    Args:
        path: The file.
        exclusive: Whether no other process writes this file. The temporary file then has a fixed name, so that
            leftovers of a killed process are overwritten.
    """
    suffix = "tmp" if exclusive else f"{os.getpid()}-{threading.get_ident()}"
    temporary = path.with_name(f".{path.name}.{suffix}")
    temporary.unlink(missing_ok=True)  # Opening a pipe of that name would block, and a link would be followed.
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        with suppress(OSError):  # It was moved, or never created.
            temporary.unlink()

"""Write files atomically, so that a file is either completely written or unchanged."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def atomic_write(path: Path, *, exclusive: bool = False) -> Iterator[Path]:
    """Yield the path of a temporary file that replaces `path` at the end of the context.

    The content is flushed to disk before the replacement, to survive a power failure. If writing fails, the temporary
    file is deleted and `path` stays unchanged.

    Args:
        path: Path of the file to write.
        exclusive: Whether this is the only process that writes the file. The temporary file then has a fixed name, so
            that one left by a killed process is overwritten.
    """
    suffix = "tmp" if exclusive else f"{os.getpid()}-{threading.get_ident()}"
    temporary = path.with_name(f".{path.name}.{suffix}")
    temporary.unlink(missing_ok=True)  # Writing to an existing pipe would block, and a link would be followed.
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        with suppress(OSError):  # The temporary file was moved or never created.
            temporary.unlink()

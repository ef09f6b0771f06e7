"""The app as its visitors meet it: a server of its own, as `make app` starts it, on a free port."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parent.parent


@contextmanager
def server(log: IO[bytes] | None = None, settings: Mapping[str, str] | None = None) -> Iterator[tuple[str, float, int]]:
    """The app on a free port; yields its address, when it was started, and its process.

    log: takes what it says.  settings: environment variables of its own.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "streamlit_app.py", "--server.port", str(port)]
    began = time.perf_counter()
    says = subprocess.DEVNULL if log is None else log
    process = subprocess.Popen(
        [*command, "--server.address", "127.0.0.1"], cwd=ROOT, stdout=says, stderr=says,
        env={**os.environ, "MALLOC_ARENA_MAX": "2", **(settings or {})},
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    try:
        while True:
            try:
                with urllib.request.urlopen(f"{address}/_stcore/health", timeout=5):
                    break
            except (urllib.error.URLError, OSError):
                time.sleep(0.02)
        yield address, began, process.pid
    finally:
        process.terminate()
        process.wait(20)


def resident(process: int) -> float:
    """MB of memory that a process holds."""
    status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024


def busy_seconds(process: int) -> float:
    """Seconds of processor time that a process has used, all threads together."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

"""Start the app in a separate server process, as `make app` does, and start a browser for it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Playwright

ROOT = Path(__file__).resolve().parents[2]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
START_TIMEOUT = 120  # Maximum number of seconds until a server answers.


@contextmanager
def server(
    log: IO[bytes] | None = None,
    settings: Mapping[str, str] | None = None,
    folder: Path = ROOT,
    script: Path = Path("streamlit_app.py"),
) -> Iterator[tuple[str, float, int]]:
    """Start the app on a free port, and yield its address, start time and process id.

    Args:
        log: File that receives the output; None to discard it.
        settings: Environment variables.
        folder: Folder in which the process runs.
        script: Main script of the app, relative to the folder.

    Raises:
        RuntimeError: The server ends or does not answer in time.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", str(script), "--server.port", str(port)]
    began = time.perf_counter()
    output = subprocess.DEVNULL if log is None else log
    process = subprocess.Popen(
        [*command, "--server.address", "127.0.0.1"],
        cwd=folder,
        stdout=output,
        stderr=output,
        env={**os.environ, "MALLOC_ARENA_MAX": "2", **(settings or {})},
    )
    address = f"http://127.0.0.1:{port}"
    try:
        while True:
            if process.poll() is not None:
                raise RuntimeError(f"the server ended with {process.returncode} before it answered")
            if time.perf_counter() - began > START_TIMEOUT:
                raise RuntimeError(f"the server did not answer within {START_TIMEOUT} s")
            try:
                with urllib.request.urlopen(f"{address}/_stcore/health", timeout=5):
                    break
            except (urllib.error.URLError, OSError):
                time.sleep(0.02)
        yield address, began, process.pid
    finally:
        process.terminate()
        process.wait(20)


def chromium(playwright: Playwright, *options: str) -> Browser:
    """Start a headless Chromium from the PATH or, without one, Playwright's own.

    Args:
        playwright: Playwright's API.
        options: Command-line options of Chromium.

    Raises:
        FileNotFoundError: There is no Chromium.
    """
    executable = next((path for name in BROWSERS if (path := shutil.which(name))), playwright.chromium.executable_path)
    if not Path(executable).is_file():
        raise FileNotFoundError(
            f"no Chromium: the PATH has none of {', '.join(BROWSERS)}, and Playwright has installed none; run "
            "`playwright install chromium`"
        )
    # Chromium does not start in a sandbox as root.
    sandbox = [] if os.name == "nt" or os.getuid() else ["--no-sandbox"]
    return playwright.chromium.launch(executable_path=executable, args=[*sandbox, *options])


def resident(process: int) -> float:
    """Return the resident memory of a process in MB."""
    status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024


def busy_seconds(process: int) -> float:
    """Return the CPU time of all threads of a process in seconds."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

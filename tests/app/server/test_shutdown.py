"""A stopped server exits within ten seconds, even during a computation without an end."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.load.visit import ConnectionLostError, visit
from tests.support.server import ROOT

MAX_SECONDS = 10.0  # Time until the exit that SECURITY.md states.
SCRIPT = """
import sys
from pathlib import Path

import numba
import numpy as np
import streamlit as st

from app.server.shutdown import exit_soon_after_stop

exit_soon_after_stop()


@numba.njit(nogil=True)
def forever(cell):
    while cell[0] == 0:
        cell[1] += 1


cell = np.zeros(2, np.int64)
Path("begun").write_text("")
{work}
"""
SOLVE = "sinkhorn_rows(*(np.full(shape, 0.1, np.float32) for shape in ((4, 9, 9), (4, 9), (4, 9))), 0.05, -1.0, 10**18)"
WORK = {
    "the solver without an end": f"from fpc_core.matching.sinkhorn import sinkhorn_rows\n{SOLVE}",
    "a thread of a pool": "from concurrent.futures import ThreadPoolExecutor\n"
    "ThreadPoolExecutor(1).submit(forever, cell)",
    "a thread": "import threading\nthreading.Thread(target=forever, args=(cell,), daemon=False).start()",
}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows ends a process without a signal")
@pytest.mark.parametrize("work", list(WORK))
def test_the_process_exits_soon_after_the_server_stops(tmp_path, work):
    (tmp_path / "page.py").write_text(SCRIPT.format(work=WORK[work]), encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--server.port", str(port), "--server.address", "127.0.0.1", "--server.headless", "true"]
    process = subprocess.Popen(
        [sys.executable, "-m", "streamlit", "run", "page.py", *options, "--server.fileWatcherType", "none"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    async def visit_and_stop():
        for _ in range(600):
            try:
                async with visit(f"http://127.0.0.1:{port}", {}):
                    while not (tmp_path / "begun").exists():
                        await asyncio.sleep(0.1)
                    await asyncio.sleep(3.0)  # By then the function is compiled and runs.
                    process.send_signal(signal.SIGTERM)
                    began = time.monotonic()
                    await asyncio.to_thread(process.wait, 60)
                    return time.monotonic() - began
            except (OSError, ConnectionLostError):
                await asyncio.sleep(0.1)
        raise TimeoutError

    try:
        with ThreadPoolExecutor(1) as thread:  # This thread may already have the event loop of Playwright.
            assert thread.submit(asyncio.run, visit_and_stop()).result(120) < MAX_SECONDS
    finally:
        process.kill()
        process.wait()

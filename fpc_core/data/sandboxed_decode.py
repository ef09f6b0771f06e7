"""Decodes the images of strangers in a process of their own, which can be ended.

Decoders are large C programs, and no thread that runs in one can be stopped. Here a file that takes too long, or too
much memory, or brings its decoder down, costs one short-lived process: no page waits for it and nothing else is lost.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np

from fpc_core.data import images
from fpc_core.data.images import MAX_BYTES, NAMELESS, ImageError

MAX_CPU_SECONDS = 6  # of processor time; 40 million pixels take one or two
MAX_WAIT_SECONDS = 30  # seconds by the clock, on a busy machine
MAX_ADDRESS_BYTES = 2 << 30  # bytes of address space; 40 million pixels with transparency take 0.6 GB
MAX_PROCESSES = 2  # such processes
_LOG = logging.getLogger("fpc.apart")
_process_slots = threading.BoundedSemaphore(MAX_PROCESSES)


def decode_in_subprocess(
    data: bytes, name: str, size: tuple[int, int], *, seconds: int = MAX_CPU_SECONDS, patience: float = MAX_WAIT_SECONDS
) -> np.ndarray:
    """`resize_image(decode_image(data, name), size)`: uint8 (height, width, 3), with bounds on time and memory.

    seconds: of processor time, which Windows does not bound.  patience: seconds by the clock, with those spent waiting
    for a free process. Raises ImageError as `decode_image`, and where a bound is met.
    """
    if len(data) > MAX_BYTES:  # not even sent there
        raise ImageError(f"{name} has {len(data) / 1e6:.1f} MB, the limit is {MAX_BYTES / 1e6:.0f} MB; save it smaller")
    until = time.monotonic() + patience
    if not _process_slots.acquire(timeout=patience):
        raise ImageError(f"{name} has to wait: others' images are being decoded; try again in a minute")
    try:
        done = _run(data, size, seconds, until - time.monotonic())
    except subprocess.TimeoutExpired as error:
        raise ImageError(_too_long(name)) from error
    finally:
        _process_slots.release()
    height, width = size
    kind, body = done.stdout[:1], done.stdout[1:]
    if kind == b"E":
        raise ImageError(body.decode("utf-8", "replace").replace(NAMELESS, name))
    if kind == b"P" and len(body) == height * width * 3:
        return np.frombuffer(body, np.uint8).reshape(height, width, 3).copy()
    if sys.platform != "win32" and done.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        raise ImageError(_too_long(name))
    last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
    _LOG.warning("the decoder ended with %s: %s", done.returncode, *(last or ["no word"]))
    raise ImageError(f"{name} cannot be decoded: its decoder failed or ran out of memory; save it again from an editor")


def _run(data: bytes, size: tuple[int, int], seconds: int, patience: float) -> subprocess.CompletedProcess[bytes]:
    command = [
        sys.executable,
        "-P",
        str(Path(images.__file__).resolve()),
        str(seconds),
        str(MAX_ADDRESS_BYTES),
        *map(str, size),
    ]
    # -P: what lies beside that file is no module of the program. One thread: pools would take address space in vain.
    bounds = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    return subprocess.run(
        command, input=data, capture_output=True, timeout=patience, check=False, env={**os.environ, **bounds}
    )


def _too_long(name: str) -> str:
    return f"{name} takes too long to decode; save it again from an editor, or smaller"

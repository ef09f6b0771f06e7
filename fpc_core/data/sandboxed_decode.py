"""Decode untrusted images in a separate process that can be stopped.

Decoders are large C libraries, and a thread that runs one cannot be stopped. A file that takes too much time or memory,
or crashes its decoder, ends only the short-lived process that decodes it.
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

MAX_CPU_SECONDS = 6  # Maximum processor time in seconds; an image of 40 million pixels takes one or two.
MAX_WAIT_SECONDS = 30  # Maximum wall-clock time in seconds; it is longer because the machine may be busy.
MAX_ADDRESS_BYTES = 2 << 30  # Maximum address space in bytes; 40 million pixels with transparency take 0.6 GB.
MAX_PROCESSES = 2  # Maximum number of processes that decode at the same time.
_LOG = logging.getLogger("fpc.apart")
_process_slots = threading.BoundedSemaphore(MAX_PROCESSES)


def decode_in_subprocess(
    data: bytes, name: str, size: tuple[int, int], *, seconds: int = MAX_CPU_SECONDS, timeout: float = MAX_WAIT_SECONDS
) -> np.ndarray:
    """Decode and resize an image in a separate process with limits on time and memory.

    Args:
        data: Bytes of the image file.
        name: Name of the image in messages.
        size: Height and width of the result in pixels.
        seconds: Maximum processor time in seconds; not enforced on Windows.
        timeout: Maximum wall-clock time in seconds, including the wait for a free process.

    Returns:
        (height, width, 3) uint8 image.

    Raises:
        ImageError: `decode_image` cannot decode the file, or a limit is reached.
    """
    if len(data) > MAX_BYTES:  # Data that is too large need not be sent to the process.
        raise ImageError(f"{name} has {len(data) / 1e6:.1f} MB, the limit is {MAX_BYTES / 1e6:.0f} MB; shrink it")
    deadline = time.monotonic() + timeout
    if not _process_slots.acquire(timeout=timeout):
        raise ImageError(f"{name} cannot be decoded now: the server is busy with other images; try again in a minute")
    try:
        done = _run(data, size, seconds, deadline - time.monotonic())
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
    _LOG.warning("the decoder exited with status %s: %s", done.returncode, *(last or ["no message"]))
    raise ImageError(f"{name} cannot be decoded: its decoder failed or ran out of memory; save it again from an editor")


def _run(data: bytes, size: tuple[int, int], seconds: int, timeout: float) -> subprocess.CompletedProcess[bytes]:
    command = [
        sys.executable,
        "-P",
        str(Path(images.__file__).resolve()),
        str(seconds),
        str(MAX_ADDRESS_BYTES),
        *map(str, size),
    ]
    # -P keeps the folder of that file off the module path. Thread pools would use up the address space.
    variables = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    return subprocess.run(
        command, input=data, capture_output=True, timeout=timeout, check=False, env={**os.environ, **variables}
    )


def _too_long(name: str) -> str:
    return f"{name} takes too long to decode; save it again from an editor, or shrink it"

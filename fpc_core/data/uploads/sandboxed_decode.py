"""Decode untrusted images in a separate process that can be stopped.

Decoders are large C libraries, and a thread that runs one cannot be stopped. Only the separate process ends if a file
takes too much time or memory, or crashes its decoder.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fpc_core.data import images
from fpc_core.data.images import MAX_BYTES, NAMELESS, ImageError, preview_size
from fpc_core.data.uploads.crops import CropBox, Size

MAX_CPU_SECONDS = 6  # Maximum processor time in seconds; an image of 40 million pixels takes one or two.
MAX_WAIT_SECONDS = 30  # Maximum wall-clock time in seconds; it is longer because the machine may be busy.
MAX_ADDRESS_BYTES = 2 << 30  # Maximum address space in bytes; 40 million pixels with transparency take 0.6 GB.
MAX_PROCESSES = 2  # Maximum number of processes that decode at the same time.
_LOG = logging.getLogger("fpc.apart")
_process_slots = threading.BoundedSemaphore(MAX_PROCESSES)


@dataclass(frozen=True, eq=False)
class DecodedPhoto:
    """An upright upload in two sizes.

    Attributes:
        size: Height and width of the upload in pixels.
        resized: (H, W, 3) uint8, the whole image at the model's input size.
        preview: (h, w, 3) uint8, the whole image without distortion, shrunk to at most the requested side.
    """

    size: Size
    resized: np.ndarray
    preview: np.ndarray


def decode_in_subprocess(
    data: bytes, name: str, size: Size, *, seconds: int = MAX_CPU_SECONDS, timeout: float = MAX_WAIT_SECONDS
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
    return _images(_output(data, name, size, seconds, timeout), 1, size, name)[0]


def preview_in_subprocess(data: bytes, name: str, size: Size, side: int) -> DecodedPhoto:
    """Decode an image as `decode_in_subprocess` does, and return its size and a preview too.

    Args:
        data: Bytes of the image file.
        name: Name of the image in messages.
        size: Height and width of the model's input in pixels.
        side: Maximum height and width of the preview in pixels.

    Raises:
        ImageError: `decode_image` cannot decode the file, or a limit is reached.
    """
    body = _output(data, name, (*size, side), MAX_CPU_SECONDS, MAX_WAIT_SECONDS)
    header, resized = 8, size[0] * size[1] * 3
    if len(body) < header + resized:
        raise _failed(name)
    height, width = map(int, np.frombuffer(body[:header], "<u4"))
    (image,) = _images(body[header : header + resized], 1, size, name)
    (preview,) = _images(body[header + resized :], 1, preview_size(height, width, side), name)
    return DecodedPhoto((height, width), image, preview)


def crop_in_subprocess(data: bytes, name: str, boxes: Sequence[CropBox], size: Size) -> list[np.ndarray]:
    """Decode an image as `decode_in_subprocess` does, cut out boxes at full resolution, and resize each of them.

    Args:
        data: Bytes of the image file.
        name: Name of the image in messages.
        boxes: Boxes inside the upright image.
        size: Height and width of every result in pixels.

    Returns:
        One (height, width, 3) uint8 image per box.

    Raises:
        ImageError: `decode_image` cannot decode the file, or a limit is reached.
    """
    if not boxes:
        return []
    edges = [edge for box in boxes for edge in (box.left, box.top, box.width, box.height)]
    body = _output(data, name, (*size, *edges), MAX_CPU_SECONDS, MAX_WAIT_SECONDS)
    return _images(body, len(boxes), size, name)


def _output(data: bytes, name: str, arguments: Sequence[int], seconds: int, timeout: float) -> bytes:
    """Run the program in `images.py`, and return the bytes of the pixels that it writes.

    Args:
        data: Bytes of the image file.
        name: Name of the image in messages.
        arguments: Arguments of the program after the limits.
        seconds: Maximum processor time in seconds.
        timeout: Maximum wall-clock time in seconds, including the wait for a free process.

    Raises:
        ImageError: The program refuses the image, fails or reaches a limit.
    """
    if len(data) > MAX_BYTES:  # Data that is too large need not be sent to the process.
        raise ImageError(f"{name} has {len(data) / 1e6:.1f} MB, the limit is {MAX_BYTES / 1e6:.0f} MB; shrink it")
    deadline = time.monotonic() + timeout
    if not _process_slots.acquire(timeout=timeout):
        raise ImageError(f"{name} cannot be decoded now: the server is busy with other images; try again in a minute")
    try:
        done = _run(data, arguments, seconds, deadline - time.monotonic())
    except subprocess.TimeoutExpired as error:
        raise ImageError(_too_long(name)) from error
    finally:
        _process_slots.release()
    kind, body = done.stdout[:1], done.stdout[1:]
    if kind == b"E":
        raise ImageError(body.decode("utf-8", "replace").replace(NAMELESS, name))
    if kind == b"P" and not done.returncode:
        return body
    if sys.platform != "win32" and done.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        raise ImageError(_too_long(name))
    last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
    _LOG.warning("the decoder exited with status %s: %s", done.returncode, *(last or ["no message"]))
    raise _failed(name)


def _images(body: bytes, count: int, size: Size, name: str) -> list[np.ndarray]:
    """Return the images in the output of the program.

    Args:
        body: Pixels of all images.
        count: Number of images that the output must contain.
        size: Height and width of each image in pixels.
        name: Name of the upload in messages.

    Raises:
        ImageError: The output has another length.
    """
    height, width = size
    if len(body) != count * height * width * 3:
        raise _failed(name)
    return list(np.frombuffer(body, np.uint8).reshape(count, height, width, 3).copy())


def _run(data: bytes, arguments: Sequence[int], seconds: int, timeout: float) -> subprocess.CompletedProcess[bytes]:
    command = [
        sys.executable,
        "-P",
        str(Path(images.__file__).resolve()),
        str(seconds),
        str(MAX_ADDRESS_BYTES),
        *map(str, arguments),
    ]
    # -P keeps the folder of that file off the module path. Thread pools would use up the address space.
    variables = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    return subprocess.run(
        command, input=data, capture_output=True, timeout=timeout, check=False, env={**os.environ, **variables}
    )


def _too_long(name: str) -> str:
    return f"{name} takes too long to decode; save it again from an editor, or shrink it"


def _failed(name: str) -> ImageError:
    return ImageError(
        f"{name} cannot be decoded: its decoder failed or ran out of memory; save it again from an editor"
    )

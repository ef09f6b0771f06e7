"""Measure the CPU time of decoding uploads, including malicious files, in a separate process and in the same process.

python -m benchmarks.uploads
"""

from __future__ import annotations

import io
import os
import statistics
from collections.abc import Callable

import numpy as np
from PIL import Image

from fpc_core.data import images
from fpc_core.data.images import ImageError, decode_image, resize_image
from fpc_core.data.uploads.sandboxed_decode import decode_in_subprocess

SIZE = (256, 128)
MORE_SCANS = 50


def encoded(image: Image.Image, file_format: str, **options: object) -> bytes:
    """Return the bytes of an image in a file format, with `options` of Pillow's encoder."""
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def spent() -> float:
    """Return the CPU seconds that this process and its finished children have used."""
    return sum(os.times()[:4])


def seconds(work: Callable[[], object], runs: int) -> float:
    """Return the median CPU time of several runs in seconds, after one unmeasured run."""
    taken = []
    for _ in range(runs + 1):
        start = spent()
        work()
        taken.append(spent() - start)
    return statistics.median(taken[1:])


def main() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (256, 128, 3), dtype=np.uint8)
    flat = Image.new("RGB", (5000, 8000), (90, 120, 150))
    for name, data in {
        "crop of 128 x 256, JPEG": encoded(Image.fromarray(noise), "JPEG"),
        "40 million pixels, progressive JPEG": encoded(flat, "JPEG", progressive=True),
        "40 million pixels, PNG": encoded(flat, "PNG", compress_level=1),
    }.items():
        runs = 9 if len(data) < 100_000 and "crop" in name else 3
        home = seconds(lambda: resize_image(decode_image(data), SIZE), runs)
        apart = seconds(lambda: decode_in_subprocess(data, "it", SIZE), runs)
        print(f"{name}, {len(data) / 1000:,.0f} kB: same process {home:.3f} s, subprocess {apart:.3f} s", flush=True)

    data = encoded(Image.new("RGB", (6000, 6000), (90, 120, 150)), "JPEG", progressive=True)
    last = data[data.rfind(b"\xff\xda") : -2]
    slow, least = data[:-2] + last * MORE_SCANS + data[-2:], seconds(lambda: decode_image(data), 1)
    images.MAX_SCANS = 1000
    each = (seconds(lambda: decode_image(slow), 1) - least) / MORE_SCANS
    print(f"36 million pixels: {1000 * each:.0f} ms for each additional scan of {len(last)} bytes", flush=True)

    small = encoded(Image.new("RGB", (64, 64)), "JPEG")
    segments = small[:2] + b"\xff\xe5\x00\x02" * 4_900_000 + small[2:]
    home = seconds(lambda: decode_image(segments), 1)
    start = spent()
    try:
        decode_in_subprocess(segments, "it", SIZE)
    except ImageError as error:
        print(f"4.9 million segments: same process {home:.1f} s, subprocess {spent() - start:.1f} s: {error}")


if __name__ == "__main__":
    main()

"""The one place where bytes become pixels, and pixels become the tensor that the model takes.

Everything an image file can do wrong is dealt with here: size is checked against the header before anything is
decoded, every colour mode ends as 8-bit RGB, and what cannot be shown faithfully is refused with an `ImageError`
that names the file and the remedy. Uploads go through `sandboxed_decode.decode_in_subprocess`, which runs this file as
a program of its own: that is why torch is imported only where it is needed.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from torch import Tensor

    from fpc_core.config import ModelConfig

MAX_BYTES = 20_000_000
MAX_PIXELS = 40_000_000
MIN_SIDE = 16  # pixels: one patch
MAX_SCANS = 100  # of a JPEG: cameras and editors write 1 to 20, and each goes over all pixels
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"})
NAMELESS = "\x1a"
BACKGROUND = (128, 128, 128)  # neutral grey: near 0 after normalisation, so it adds neither light nor dark

_BAND = 1 << 20  # pixels that are converted at once
_EXIF_ORIENTATION = 0x0112
_UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {  # (H, W, 3) to the view that is upright
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: np.rot90,
}


class ImageError(ValueError):
    """An image file cannot be used; the message names the file and the remedy."""


def decode_image(
    source: Path | bytes,
    name: str | None = None,
    *,
    max_bytes: int = MAX_BYTES,
    max_pixels: int = MAX_PIXELS,
    allowed: Sequence[Path] = (),
) -> np.ndarray:
    """Decode a file, or the bytes of one, into upright RGB: uint8 (H, W, 3).

    The EXIF rotation is applied; an animation gives its first frame; 16-bit grey keeps its upper 8 bits (scaled, not
    clipped); CMYK and palettes become RGB; transparency is composited on neutral grey (128).

    `name` is what messages call the image (default: the file name). `allowed` are real folders in which a file must
    lie, links resolved; empty where every place is allowed. Raises OutsideRootsError for one elsewhere, and ImageError
    for a file that is missing, no regular file, empty, larger than `max_bytes`, not an image, truncated, smaller than
    16 pixels on a side, larger than `max_pixels`, or a JPEG of more than 100 scans; the latter three are told before
    any pixel is decoded.
    """
    name = name or (source.name if isinstance(source, Path) else "the image")
    data = _read(source, name, max_bytes, allowed)
    with _silent_pillow:
        image = _open(data, name, max_pixels)
        try:
            image.load()
            upright = _UPRIGHT.get(image.getexif().get(_EXIF_ORIENTATION, 1))
            pixels = _to_rgb(image, name)
        except ImageError:
            raise
        except Exception as error:  # decoders fail on damaged input with nearly every exception type
            raise ImageError(f"{name} is damaged or truncated ({error}); export or download it again") from error
    return pixels if upright is None else np.ascontiguousarray(upright(pixels))


def content_hash(data: bytes) -> str:
    """Short name of an upload: the first 16 hex digits of the SHA-256 of its bytes."""
    return hashlib.sha256(data).hexdigest()[:16]


def resize_image(image: np.ndarray, size: tuple[int, int] = (256, 128)) -> np.ndarray:
    """Resize uint8 (H, W, 3) to `size` = (height, width), bicubic with antialiasing, as TransReID does."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"resize_image takes uint8 (H, W, 3), not {image.dtype} {image.shape}")
    height, width = size
    return np.array(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))


def to_tensor(images: Sequence[np.ndarray], config: ModelConfig) -> Tensor:
    """Stack B images, uint8 (H, W, 3) of `config.image_size`, into float32 (B, 3, H, W), normalised by mean and std.

    Raises ValueError for an empty sequence or an image of another shape or type.
    """
    import torch

    expected = (*config.image_size, 3)
    if not images:
        raise ValueError("to_tensor needs at least one image")
    for image in images:
        if image.shape != expected or image.dtype != np.uint8:
            raise ValueError(f"expected uint8 {expected}, not {image.dtype} {image.shape}; call resize_image first")
    return normalise(torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2), config)


def normalise(pixels: Tensor, config: ModelConfig) -> Tensor:
    """(..., 3, H, W) uint8 -> the same as contiguous float32, normalised by mean and std as the model takes it."""
    import torch

    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (config.mean, config.std))
    return pixels.to(torch.float32, memory_format=torch.contiguous_format).div_(255.0).sub_(mean).div_(std)


def _read(source: Path | bytes, name: str, max_bytes: int, allowed: Sequence[Path]) -> bytes:
    try:
        if isinstance(source, bytes):
            size, data = len(source), source
        else:
            size, data = _file(source, name, max_bytes, allowed)
    except OSError as error:
        raise ImageError(f"{name} cannot be read ({error.strerror or error}); check the path and its rights") from error
    if size > max_bytes:
        raise ImageError(
            f"{name} has {size / 1e6:.1f} MB, the limit is {max_bytes / 1e6:.0f} MB; save it smaller or as JPEG"
        )
    if not data:
        raise ImageError(f"{name} is empty; export or download it again")
    return data


def _file(path: Path, name: str, max_bytes: int, allowed: Sequence[Path]) -> tuple[int, bytes]:
    """Size and bytes of a file; no bytes where there are too many."""
    from fpc_core.io.bounded_files import UnusableFileError, open_regular  # not there for the program of `apart`

    try:
        with open_regular(path, allowed=allowed, description=name, remedy="put the image itself there") as file:
            size = file.seek(0, io.SEEK_END)
            file.seek(0)
            data = b"" if size > max_bytes else file.read(max_bytes + 1)
    except UnusableFileError as error:
        raise ImageError(str(error)) from error
    return max(size, len(data)), data


def _open(data: bytes, name: str, max_pixels: int) -> Image.Image:
    """Read the header and refuse what is too large or too small to decode."""
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        width, height = image.size
    except Image.DecompressionBombError as error:
        raise ImageError(_too_large(name, "far more", max_pixels)) from error
    except Image.UnidentifiedImageError as error:
        raise ImageError(f"{name} is not an image that can be read; use {', '.join(FORMATS)}") from error
    except Exception as error:  # a header can be damaged in as many ways as the rest
        raise ImageError(f"the header of {name} is damaged ({error}); export or download it again") from error
    if width * height > max_pixels:
        raise ImageError(_too_large(name, f"{width} x {height}", max_pixels))
    if min(width, height) < MIN_SIDE:
        raise ImageError(
            f"{name} is {width} x {height} pixels, at least {MIN_SIDE} x {MIN_SIDE} are needed; use a larger crop"
        )
    if image.format in ("JPEG", "MPO") and (scans := data.count(b"\xff\xda")) > MAX_SCANS:
        raise ImageError(f"{name} is a JPEG of {scans} scans, the limit is {MAX_SCANS}; save it again from an editor")
    return image


def _too_large(name: str, size: str, max_pixels: int) -> str:
    return f"{name} has {size} pixels, the limit is {max_pixels / 1e6:g} million; crop it to the person or shrink it"


def _to_rgb(image: Image.Image, name: str) -> np.ndarray:
    """uint8 (H, W, 3), a band at a time: whole copies on the way would take a gigabyte for the largest images."""
    width, height = image.size
    pixels = np.empty((height, width, 3), np.uint8)
    rows = max(1, _BAND // width)
    for top in range(0, height, rows):
        band = image.crop((0, top, width, min(top + rows, height)))
        pixels[top : top + rows] = np.asarray(_band_to_rgb(band, name))
    return pixels


def _band_to_rgb(image: Image.Image, name: str) -> Image.Image:
    if image.mode.startswith("I"):
        return Image.fromarray(_upper_bits(image, name)).convert("RGB")
    if image.mode == "F":
        raise ImageError(f"{name} has floating-point pixels, whose range is unknown; save it with 8 or 16 bits")
    if image.has_transparency_data:
        opaque = Image.new("RGBA", image.size, (*BACKGROUND, 255))
        return Image.alpha_composite(opaque, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def _upper_bits(image: Image.Image, name: str) -> np.ndarray:
    """16-bit grey (modes I;16 and I) to uint8, keeping the upper 8 bits as Pillow does for 16-bit colour."""
    grey = np.asarray(image)
    if grey.min() < 0 or grey.max() > 0xFFFF:
        raise ImageError(f"{name} has 32-bit pixels outside 0..65535; save it with 8 or 16 bits")
    return (grey >> 8).astype(np.uint8)


class _Silence:
    """Keep Pillow's warnings (size, odd metadata) off the console: whatever matters is raised as ImageError.

    The filters belong to the whole process: the first thread to come swaps them, the last to go puts them back.
    """

    def __init__(self) -> None:
        self._turn, self._inside, self._before = threading.Lock(), 0, contextlib.ExitStack()

    def __enter__(self) -> None:
        with self._turn:
            self._inside += 1
            if self._inside == 1:
                self._before.enter_context(warnings.catch_warnings())
                warnings.simplefilter("ignore")

    def __exit__(self, *_: object) -> None:
        with self._turn:
            self._inside -= 1
            if not self._inside:
                self._before.close()


_silent_pillow = _Silence()


def _main() -> None:
    """Decode the image on stdin and write its pixels, or what is wrong with it, to stdout.

    `sandboxed_decode.decode_in_subprocess` starts this as a program.

    Arguments: seconds of processor time, bytes of address space, height and width to resize to. What the visitor calls
    the image stays out of here: messages have NAMELESS for it.
    """
    seconds, room, height, width = map(int, sys.argv[1:])
    _confine(seconds, room)
    try:
        image = resize_image(decode_image(sys.stdin.buffer.read(), NAMELESS), (height, width))
        sys.stdout.buffer.write(b"P" + image.tobytes())
    except ImageError as error:
        sys.stdout.buffer.write(b"E" + str(error).encode("utf-8", "replace"))


def _confine(seconds: int, room: int) -> None:
    """Bound this process where the system can: its time, its memory; and it writes no file."""
    if sys.platform == "win32":
        return
    import resource

    bounds = {resource.RLIMIT_CPU: seconds, resource.RLIMIT_AS: room, resource.RLIMIT_FSIZE: 0, resource.RLIMIT_CORE: 0}
    for what, most in bounds.items():
        with contextlib.suppress(ValueError, OSError):  # a lower bound of the system's own holds as well
            resource.setrlimit(what, (most, most))


if __name__ == "__main__":
    _main()

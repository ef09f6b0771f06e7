"""Decode image files, and convert their pixels to the model's input; no other module decodes image files.

The size in the header is checked before anything is decoded. Every colour mode is converted to 8-bit RGB, and files for
which that is impossible are refused with an `ImageError` that names the file and the fix. Uploads are decoded by
`uploads.sandboxed_decode`, which runs this file as a separate program. Torch is imported only inside functions, so that
this program starts fast.
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
from typing import IO, TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from torch import Tensor

    from fpc_core.config import ModelConfig

MAX_BYTES = 20_000_000
MAX_PIXELS = 40_000_000
MIN_SIDE = 8  # Minimum height and width in pixels; detectors return crops this small for distant people.
MAX_SCANS = 100  # Maximum number of scans in a JPEG, each of which visits all pixels; normal files have 1 to 20.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
UPLOAD_FORMATS = (*FORMATS, "HEIC")
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"})
NAMELESS = "\x1a"  # Placeholder for the name of an upload in messages of the subprocess.
BACKGROUND = (128, 128, 128)  # Neutral grey, which is near 0 after normalisation.

_BAND = 1 << 20  # Number of pixels that are converted at a time.
_EXIF_ORIENTATION = 0x0112
# Functions that return an upright view of (H, W, 3) pixels, by EXIF orientation.
_UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: np.rot90,
}


class ImageError(ValueError):
    """An image file cannot be used; the message names the file and how to fix it."""


def decode_image(
    source: Path | bytes,
    name: str | None = None,
    *,
    max_bytes: int = MAX_BYTES,
    max_pixels: int = MAX_PIXELS,
    allowed: Sequence[Path] = (),
    heic: bool = False,
) -> np.ndarray:
    """Decode an image file into upright RGB: uint8 (H, W, 3).

    The rotation by EXIF, or of a HEIC file, is applied. The first frame of an animation is used. 16-bit grey keeps its
    upper 8 bits. CMYK and palettes are converted to RGB. Transparent images are composited on neutral grey (128).

    Args:
        source: Path of the file, or its bytes.
        name: Name of the image in messages; the file name by default.
        max_bytes: Maximum file size in bytes.
        max_pixels: Maximum number of pixels.
        allowed: Real folders in which a file must be after links are resolved; empty for no restriction.
        heic: Whether to accept HEIC, whose decoder is used only for uploads, in a separate process.

    Raises:
        ImageError: The file is missing, not a regular file, empty, larger than `max_bytes`, not an image, truncated,
            smaller than 8 pixels on a side, larger than `max_pixels`, or a JPEG of more than 100 scans. The last three
            are detected before any pixel is decoded.
        OutsideRootsError: The file is not in any of the folders in `allowed`.
    """
    name = name or (source.name if isinstance(source, Path) else "the image")
    data = _read(source, name, max_bytes, allowed)
    with _pillow_warnings_ignored:
        image = _open(io.BytesIO(data), name, max_pixels, heic)
        if image.format in ("JPEG", "MPO") and (scans := data.count(b"\xff\xda")) > MAX_SCANS:
            raise ImageError(
                f"{name} is a JPEG of {scans} scans, the limit is {MAX_SCANS}; save it again from an editor"
            )
        try:
            image.load()
            _check_pixels(image.size, name, max_pixels)  # The decoded size of a HEIC file can differ from its header.
            upright = _UPRIGHT.get(image.getexif().get(_EXIF_ORIENTATION, 1))
            pixels = _to_rgb(image, name)
        except ImageError:
            raise
        except Exception as error:  # Decoders raise almost any exception type on damaged input.
            raise ImageError(f"{name} is damaged or truncated ({error}); export or download it again") from error
    return pixels if upright is None else np.ascontiguousarray(upright(pixels))


def check_header(source: Path, name: str, *, allowed: Sequence[Path] = ()) -> None:
    """Check that a file can be opened and has the header of an image of suitable size, without decoding its pixels.

    Args:
        source: Path of the file.
        name: Name of the image in messages.
        allowed: Real folders in which the file must be after links are resolved; empty for no restriction.

    Raises:
        ImageError: The file is missing, not readable, not a regular file, empty, too large or not an image, or its
            image is too small or too large.
        OutsideRootsError: The file is not in any of the folders in `allowed`.
    """
    # The import is local because the program that `sandboxed_decode` runs cannot import the package.
    from fpc_core.io.bounded_files import UnusableFileError, open_regular

    try:
        with open_regular(source, allowed=allowed, description=name, remedy="replace it by an image file") as file:
            _check_size(file.seek(0, io.SEEK_END), name, MAX_BYTES)
            file.seek(0)
            with _pillow_warnings_ignored:
                _open(file, name, MAX_PIXELS)
    except UnusableFileError as error:
        raise ImageError(str(error)) from error
    except OSError as error:
        raise _not_readable(name, error) from error


def content_hash(data: bytes) -> str:
    """Return a short name for an uploaded file: the first 16 hex digits of the SHA-256 of its bytes."""
    return hashlib.sha256(data).hexdigest()[:16]


def resize_image(image: np.ndarray, size: tuple[int, int] = (256, 128)) -> np.ndarray:
    """Resize an image by bicubic interpolation with antialiasing, as TransReID does.

    Args:
        image: (H, W, 3) uint8 image.
        size: Height and width of the result in pixels.

    Raises:
        ValueError: The image has another shape or type.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"the image must be uint8 (H, W, 3), got {image.dtype} {image.shape}")
    height, width = size
    return np.array(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))


def to_tensor(images: Sequence[np.ndarray], config: ModelConfig) -> Tensor:
    """Stack B images into the model's input, normalised by mean and std.

    Args:
        images: B images of size `config.image_size`, (H, W, 3) uint8.
        config: Architecture of the model.

    Returns:
        (B, 3, H, W) float32 tensor.

    Raises:
        ValueError: The sequence is empty, or an image has another shape or type.
    """
    import torch

    expected = (*config.image_size, 3)
    if not images:
        raise ValueError("to_tensor needs at least one image")
    for image in images:
        if image.shape != expected or image.dtype != np.uint8:
            raise ValueError(
                f"images must be uint8 {expected}, got {image.dtype} {image.shape}; call resize_image first"
            )
    return normalise(torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2), config)


def normalise(pixels: Tensor, config: ModelConfig) -> Tensor:
    """Scale pixels to [0, 1], and normalise them by the model's mean and std.

    Args:
        pixels: (..., 3, H, W) uint8 pixels.
        config: Architecture of the model.

    Returns:
        Contiguous float32 tensor of the same shape.
    """
    import torch

    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (config.mean, config.std))
    return pixels.to(torch.float32, memory_format=torch.contiguous_format).div_(255.0).sub_(mean).div_(std)


def _read(source: Path | bytes, name: str, max_bytes: int, allowed: Sequence[Path]) -> bytes:
    try:
        if isinstance(source, bytes):
            size, data = len(source), source
        else:
            size, data = _read_file(source, name, max_bytes, allowed)
    except OSError as error:
        raise _not_readable(name, error) from error
    _check_size(size, name, max_bytes)
    return data


def _check_size(size: int, name: str, max_bytes: int) -> None:
    if size > max_bytes:
        raise ImageError(
            f"{name} has {size / 1e6:.1f} MB, the limit is {max_bytes / 1e6:.0f} MB; shrink it or save it as JPEG"
        )
    if not size:
        raise ImageError(f"{name} is empty; export or download it again")


def _not_readable(name: str, error: OSError) -> ImageError:
    return ImageError(f"{name} cannot be read ({error.strerror or error}); check the path and its permissions")


def _read_file(path: Path, name: str, max_bytes: int, allowed: Sequence[Path]) -> tuple[int, bytes]:
    """Return the size and the bytes of a file; the bytes are empty if the file is too large."""
    # The import is local because the program that `sandboxed_decode` runs cannot import the package.
    from fpc_core.io.bounded_files import UnusableFileError, open_regular

    try:
        with open_regular(path, allowed=allowed, description=name, remedy="replace it by an image file") as file:
            size = file.seek(0, io.SEEK_END)
            file.seek(0)
            data = b"" if size > max_bytes else file.read(max_bytes + 1)
    except UnusableFileError as error:
        raise ImageError(str(error)) from error
    return max(size, len(data)), data


def _open(file: IO[bytes], name: str, max_pixels: int, heic: bool = False) -> Image.Image:
    """Read the header of an image file, and check the size of the image.

    Args:
        file: File at its start.
        name: Name of the image in messages.
        max_pixels: Maximum number of pixels.
        heic: Whether to accept HEIC.

    Raises:
        ImageError: The file is not an image in a supported format, or the image is too large or too small.
    """
    try:
        is_heic = heic and file.read(8)[4:] == b"ftyp"
        file.seek(0)
        image = Image.open(file, formats=(*FORMATS, _register_heic()) if is_heic else FORMATS)
    except Image.DecompressionBombError as error:
        raise ImageError(_too_large(name, "too many", max_pixels)) from error
    except Image.UnidentifiedImageError as error:
        raise ImageError(
            f"{name} is not an image in a supported format; use {', '.join(UPLOAD_FORMATS if heic else FORMATS)}"
        ) from error
    except Exception as error:  # Damaged headers raise almost any exception type.
        raise ImageError(f"the header of {name} is damaged ({error}); export or download it again") from error
    _check_pixels(image.size, name, max_pixels)
    return image


def _register_heic() -> str:
    """Register a decoder of HEIC files with Pillow, and return Pillow's name for the format."""
    import pillow_heif  # The import is local so that the app itself never loads this decoder.

    pillow_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False, decode_threads=1)
    return "HEIF"


def _check_pixels(size: tuple[int, int], name: str, max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise ImageError(_too_large(name, f"{width} x {height}", max_pixels))
    if min(width, height) < MIN_SIDE:
        raise ImageError(
            f"{name} must have at least {MIN_SIDE} x {MIN_SIDE} pixels, got {width} x {height}; use a larger crop"
        )


def _too_large(name: str, size: str, max_pixels: int) -> str:
    return f"{name} has {size} pixels, the limit is {max_pixels / 1e6:g} million; crop it to the person or shrink it"


def _to_rgb(image: Image.Image, name: str) -> np.ndarray:
    """Convert to uint8 (H, W, 3) in bands, because whole copies of the largest images would take a gigabyte."""
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
        raise ImageError(f"{name} has floating-point pixels of unknown range; save it with 8 or 16 bits")
    if image.has_transparency_data:
        opaque = Image.new("RGBA", image.size, (*BACKGROUND, 255))
        return Image.alpha_composite(opaque, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def _upper_bits(image: Image.Image, name: str) -> np.ndarray:
    """Convert 16-bit grey (modes I;16 and I) to uint8, keeping the upper 8 bits as Pillow does for 16-bit colour."""
    grey = np.asarray(image)
    if grey.min() < 0 or grey.max() > 0xFFFF:
        raise ImageError(f"{name} has 32-bit pixels outside 0..65535; save it with 8 or 16 bits")
    return (grey >> 8).astype(np.uint8)


class _IgnoreWarnings:
    """Context that hides Pillow's warnings about size and metadata; serious problems raise ImageError anyway.

    Warning filters are global to the process, so the first thread that enters replaces them and the last thread that
    leaves restores them.
    """

    def __init__(self) -> None:
        self._lock, self._threads, self._restore = threading.Lock(), 0, contextlib.ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            self._threads += 1
            if self._threads == 1:
                self._restore.enter_context(warnings.catch_warnings())
                warnings.simplefilter("ignore")

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._threads -= 1
            if not self._threads:
                self._restore.close()


_pillow_warnings_ignored = _IgnoreWarnings()


def preview_size(height: int, width: int, side: int) -> tuple[int, int]:
    """Return the height and width of the preview of an image, which keeps its proportions.

    Args:
        height: Height of the image in pixels.
        width: Width of the image in pixels.
        side: Maximum height and width of the preview in pixels; a smaller image is not enlarged.
    """
    scale = min(1.0, side / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def _main() -> None:
    """Decode the image on stdin, and write its pixels or an error message to stdout.

    `uploads.sandboxed_decode` starts this as a program. Its arguments are the limits of processor time in seconds and
    of address space in bytes, the height and width of the result and, optionally, the longer side of a preview, or any
    number of boxes, each as left, top, width and height. With boxes, the result is one resized crop per box. Otherwise
    it is the whole image, resized. For a preview, height and width of the image as uint32 come first, and the preview
    comes last. The program does not receive the upload's name; messages contain NAMELESS instead.
    """
    seconds, address_bytes, height, width, *others = map(int, sys.argv[1:])
    _limit_resources(seconds, address_bytes)
    try:
        pixels = decode_image(sys.stdin.buffer.read(), NAMELESS, heic=True)
        boxes = [others[start : start + 4] for start in range(0, len(others), 4)] if len(others) > 1 else []
        crops = [pixels[top : top + rows, left : left + columns] for left, top, columns, rows in boxes] or [pixels]
        parts = [resize_image(crop, (height, width)).tobytes() for crop in crops]
        if len(others) == 1:
            preview = resize_image(pixels, preview_size(pixels.shape[0], pixels.shape[1], others[0]))
            parts = [np.array(pixels.shape[:2], "<u4").tobytes(), *parts, preview.tobytes()]
        sys.stdout.buffer.write(b"".join((b"P", *parts)))
    except ImageError as error:
        sys.stdout.buffer.write(b"E" + str(error).encode("utf-8", "replace"))


def _limit_resources(seconds: int, address_bytes: int) -> None:
    """Limit processor time and memory of this process and forbid writing files, except on Windows."""
    if sys.platform == "win32":
        return
    import resource

    limits = {
        resource.RLIMIT_CPU: seconds,
        resource.RLIMIT_AS: address_bytes,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
    }
    for resource_id, limit in limits.items():
        with contextlib.suppress(ValueError, OSError):  # The system may already enforce a lower limit.
            resource.setrlimit(resource_id, (limit, limit))


if __name__ == "__main__":
    _main()

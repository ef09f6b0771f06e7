"""Images: how they are decoded, and how invalid files are refused."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import struct
import threading
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fpc_core.config import ModelConfig
from fpc_core.data import images
from fpc_core.data.images import ImageError, content_hash, decode_image, resize_image, to_tensor

CONFIG = ModelConfig(image_size=(64, 32), stride=16)


def encoded(image: Image.Image, file_format: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def picture(height: int = 48, width: int = 24) -> np.ndarray:
    """Return a smooth RGB image whose top left corner differs from every other corner."""
    rows, columns = np.mgrid[0:height, 0:width]
    return np.stack([rows * 255 // height, columns * 255 // width, (rows + columns) % 256], -1).astype(np.uint8)


def png_header(width: int, height: int) -> bytes:
    """Return a PNG that declares this size, for which a decoder allocates memory, but contains one row of pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(bytes(width * 3 + 1)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + body + chunk(b"IEND", b"")


@pytest.mark.parametrize("file_format", ["PNG", "BMP", "TIFF"])
def test_lossless_formats_return_their_pixels(file_format: str) -> None:
    np.testing.assert_array_equal(decode_image(encoded(Image.fromarray(picture()), file_format)), picture())


@pytest.mark.parametrize("file_format", ["JPEG", "WEBP", "GIF"])
def test_lossy_formats_return_similar_pixels(file_format: str) -> None:
    decoded = decode_image(encoded(Image.fromarray(picture()), file_format))
    assert decoded.shape == (48, 24, 3)
    assert np.abs(decoded.astype(int) - picture()).mean() < 12


def test_a_path_is_read_and_named_by_its_file(tmp_path: Path) -> None:
    path = tmp_path / "0001_c2_f0046182.png"
    path.write_bytes(encoded(Image.fromarray(picture())))
    np.testing.assert_array_equal(decode_image(path), picture())
    path.write_bytes(b"no image")
    with pytest.raises(ImageError, match=r"^0001_c2_f0046182\.png is not an image"):
        decode_image(path)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied(orientation: int) -> None:
    stored = {  # How cameras store an upright image in each orientation of EXIF 2.3, tag 0x0112.
        1: picture(),
        2: picture()[:, ::-1],
        3: picture()[::-1, ::-1],
        4: picture()[::-1],
        5: picture().transpose(1, 0, 2),
        6: np.rot90(picture()),
        7: picture()[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(picture(), -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    np.testing.assert_array_equal(decode_image(encoded(Image.fromarray(stored.copy()), exif=exif)), picture())


def test_cmyk_keeps_its_colours() -> None:
    ink = Image.new("CMYK", (32, 32), (0, 255, 255, 0))  # Magenta and yellow give red.
    for file_format in ("JPEG", "TIFF"):
        red, green, blue = decode_image(encoded(ink, file_format)).reshape(-1, 3).mean(0)
        assert red > 220
        assert max(green, blue) < 40


@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
def test_sixteen_bit_grey_is_scaled_and_not_clipped(file_format: str) -> None:
    ramp = np.linspace(0, 65535, 32 * 32).astype(np.uint16).reshape(32, 32)
    decoded = decode_image(encoded(Image.fromarray(ramp), file_format))
    np.testing.assert_array_equal(decoded, np.repeat((ramp >> 8).astype(np.uint8)[..., None], 3, axis=2))
    assert decoded.min() == 0
    assert decoded.max() == 255


def test_thirty_two_bit_pixels_are_read_as_sixteen_or_refused() -> None:
    ramp = np.linspace(0, 65535, 32 * 32).astype(np.int32).reshape(32, 32)
    np.testing.assert_array_equal(decode_image(encoded(Image.fromarray(ramp), "TIFF"))[..., 0], ramp >> 8)
    for outside in (ramp - 1, ramp + 1):
        with pytest.raises(ImageError, match=r"scan\.tif has 32-bit pixels .*save it with 8 or 16 bits"):
            decode_image(encoded(Image.fromarray(outside), "TIFF"), "scan.tif")


def test_floating_point_pixels_are_refused() -> None:
    with pytest.raises(ImageError, match="floating-point pixels"):
        decode_image(encoded(Image.new("F", (32, 32), 0.5), "TIFF"))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_transparency_is_composited_on_neutral_grey(mode: str) -> None:
    pixels = np.zeros((32, 32, 4), np.uint8)
    pixels[:16] = (255, 255, 255, 255)
    image = Image.fromarray(pixels).convert("LA")
    image = image.convert("RGBA") if mode == "RGBA" else image
    if mode == "PA":
        mode, image = "P", Image.fromarray(pixels).quantize(8)
    assert image.mode == mode
    decoded = decode_image(encoded(image))
    assert (decoded[:16] == 255).all()
    assert (decoded[16:] == 128).all()


def test_half_transparency_mixes_with_the_grey() -> None:
    decoded = decode_image(encoded(Image.new("RGBA", (32, 32), (255, 0, 128, 128))))
    np.testing.assert_allclose(decoded.reshape(-1, 3).mean(0), [192, 64, 128], atol=1)


def test_a_transparent_palette_colour_is_composited() -> None:
    image = Image.new("P", (32, 32), 1)
    image.putpalette([255, 0, 0, 0, 255, 0])
    assert (decode_image(encoded(image, transparency=1)) == 128).all()
    assert (decode_image(encoded(image, transparency=0)) == (0, 255, 0)).all()


@pytest.mark.parametrize("mode", ["1", "L", "P", "YCbCr"])
def test_other_modes_become_rgb(mode: str) -> None:
    image = Image.fromarray(picture()).convert(mode)
    file_format = "JPEG" if mode == "YCbCr" else "PNG"
    assert decode_image(encoded(image, file_format)).shape == (48, 24, 3)


@pytest.mark.parametrize("file_format", ["GIF", "WEBP", "PNG"])
def test_an_animation_returns_its_first_frame(file_format: str) -> None:
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "blue", "green")]
    options = {"lossless": True} if file_format == "WEBP" else {}
    data = encoded(frames[0], file_format, save_all=True, append_images=frames[1:], **options)
    assert (decode_image(data) == (255, 0, 0)).all()


@pytest.mark.parametrize(("width", "height"), [(20_000, 20_000), (10_000, 9_500), (40_001, 1_000)])
def test_too_many_pixels_are_refused_before_decoding(width: int, height: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(self: Image.Image) -> None:
        raise AssertionError("pixels were decoded")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", never)
    with pytest.raises(ImageError, match=r"huge\.png has .* pixels, the limit is 40 million; crop it"):
        decode_image(png_header(width, height), "huge.png")


@pytest.mark.parametrize("size", [(1, 1), (7, 64), (64, 7)])
def test_an_image_smaller_than_8_pixels_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ImageError, match=rf"dot\.png must have at least 8 x 8 pixels, got {size[0]} x {size[1]}"):
        decode_image(encoded(Image.new("RGB", size)), "dot.png")


def test_the_smallest_allowed_image_is_read() -> None:
    assert decode_image(encoded(Image.new("RGB", (8, 8)))).shape == (8, 8, 3)


def test_too_many_bytes_are_refused_without_reading_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "long.jpg"
    with path.open("wb") as file:
        file.truncate(20_000_001)
    monkeypatch.setattr(io, "BytesIO", lambda data: pytest.fail("the file was read"))
    with pytest.raises(ImageError, match=r"long\.jpg has 20\.0 MB, the limit is 20 MB"):
        decode_image(path)
    with pytest.raises(ImageError, match="the limit is 1 MB"):
        decode_image(bytes(1_000_001), max_bytes=1_000_000)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_pipes_and_devices_are_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    for name in ("pipe.png", "zero.png"):
        with pytest.raises(ImageError, match=rf"{name} is not a regular file"):
            decode_image(tmp_path / name)


def test_a_file_that_grows_while_it_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "grown.png"
    path.write_bytes(encoded(Image.fromarray(picture())))
    seen = os.stat_result((stat.S_IFREG | 0o644, *[0] * 9))  # The size was 0 before the file grew.
    monkeypatch.setattr(os, "fstat", lambda descriptor: seen)
    with pytest.raises(ImageError, match=r"grown\.png has .* MB, the limit is"):
        decode_image(path, max_bytes=100)


def test_a_jpeg_of_many_scans_is_refused_before_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(Image.fromarray(picture()), "JPEG", progressive=True)
    assert decode_image(data).shape == (48, 24, 3)
    last = data[data.rfind(b"\xff\xda") : -2]
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda self: pytest.fail("pixels were decoded"))
    with pytest.raises(ImageError, match=r"slow\.jpg is a JPEG of \d+ scans, the limit is 100"):
        decode_image(data[:-2] + last * 100 + data[-2:], "slow.jpg")


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_a_truncated_file_is_refused(file_format: str, part: float) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (96, 48, 3), dtype=np.uint8)
    data = encoded(Image.fromarray(noise), file_format)
    with pytest.raises(ImageError, match=r"cut\.img .*(again|use JPEG)"):
        decode_image(data[: int(len(data) * part)], "cut.img")


def test_a_file_that_is_not_an_image_is_refused(tmp_path: Path) -> None:
    for data in (b"<html></html>", b"%PDF-1.7", bytes(1000)):
        with pytest.raises(ImageError, match=r"page\.jpg is not an image in a supported format; use JPEG, PNG"):
            decode_image(data, "page.jpg")
    with pytest.raises(ImageError, match=r"page\.jpg is empty"):
        decode_image(b"", "page.jpg")
    with pytest.raises(ImageError, match=r"gone\.jpg cannot be read \(No such file"):
        decode_image(tmp_path / "gone.jpg")
    with pytest.raises(ImageError, match="cannot be read"):
        decode_image(tmp_path)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"]), st.data())
def test_damaged_bytes_return_pixels_or_raise_an_image_error(file_format: str, data: st.DataObject) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    options = {"exif": exif} if file_format in ("JPEG", "PNG", "WEBP", "TIFF") else {}
    damaged = bytearray(encoded(Image.fromarray(picture()), file_format, **options))
    for _ in range(data.draw(st.integers(1, 8))):
        index = data.draw(st.one_of(st.integers(0, 100), st.integers(0, len(damaged) - 1)))
        damaged[index] = data.draw(st.integers(0, 255))
    try:
        decoded = decode_image(bytes(damaged))
    except ImageError:
        return
    assert decoded.dtype == np.uint8
    assert decoded.shape[2] == 3
    assert min(decoded.shape[:2]) >= 16


def test_parallel_decoding_restores_the_warning_filters(monkeypatch) -> None:
    both, before, real = threading.Barrier(2), list(warnings.filters), images._to_rgb

    def together(*given: object) -> np.ndarray:
        both.wait(10)  # The barrier breaks if only one image is decoded at a time.
        return real(*given)

    monkeypatch.setattr(images, "_to_rgb", together)
    with ThreadPoolExecutor(2) as pool:
        for result in pool.map(decode_image, [encoded(Image.fromarray(picture()))] * 2):
            np.testing.assert_array_equal(result, picture())
    assert warnings.filters == before


def test_uploads_are_named_by_a_content_hash() -> None:
    assert content_hash(b"abc") == hashlib.sha256(b"abc").hexdigest()[:16]
    assert content_hash(b"abc") != content_hash(b"abd")


def test_resizing_is_pillows_bicubic() -> None:
    expected = Image.fromarray(picture()).resize((32, 64), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(resize_image(picture(), (64, 32)), np.asarray(expected))
    assert resize_image(picture()).shape == (256, 128, 3)


@pytest.mark.parametrize("wrong", [np.zeros((48, 24), np.uint8), np.zeros((48, 24, 3), np.float32)])
def test_only_rgb_bytes_are_resized(wrong: np.ndarray) -> None:
    with pytest.raises(ValueError, match="must be uint8"):
        resize_image(wrong)


def test_a_tensor_is_normalised_by_the_models_mean_and_std() -> None:
    config = ModelConfig(image_size=(64, 32), stride=16, mean=(0.5, 0.4, 0.3), std=(0.5, 0.25, 0.2))
    images = [np.full((64, 32, 3), value, np.uint8) for value in (0, 255)]
    tensor = to_tensor(images, config)
    assert tensor.shape == (2, 3, 64, 32)
    assert tensor.dtype == torch.float32
    assert tensor.is_contiguous()
    expected = torch.tensor([[-1.0, -1.6, -1.5], [1.0, 2.4, 3.5]])
    torch.testing.assert_close(tensor[:, :, 0, 0], expected)
    torch.testing.assert_close(tensor[:, :, -1, -1], expected)


def test_a_tensor_needs_images_of_the_models_size() -> None:
    with pytest.raises(ValueError, match="at least one image"):
        to_tensor([], CONFIG)
    with pytest.raises(
        ValueError, match=r"images must be uint8 \(64, 32, 3\), got uint8 \(48, 24, 3\); call resize_image"
    ):
        to_tensor([picture()], CONFIG)

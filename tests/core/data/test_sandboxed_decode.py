"""Untrusted images are decoded in a separate process, which is stopped when it takes too long."""

import io
import struct
import subprocess
import sys
import threading
import zlib
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from fpc_core.data import images
from fpc_core.data.images import ImageError, decode_image, resize_image
from fpc_core.data.uploads import sandboxed_decode
from fpc_core.data.uploads.sandboxed_decode import decode_in_subprocess
from tests.core.data.test_images import encoded, picture, png_header

SIZE = (64, 32)


def scans(count, side=64):
    """Return a progressive JPEG of `side` x `side` pixels that repeats its last scan of a dozen bytes `count` times."""
    data = encoded(Image.new("L", (side, side), 128), "JPEG", progressive=True, quality=90)
    last = data[data.rfind(b"\xff\xda") : -2]
    return data[:-2] + last * count + b"\xff\xd9"


def segments(count):
    """Return a JPEG with `count` empty application segments, each of which costs time to read."""
    data = encoded(Image.new("RGB", (64, 64)), "JPEG")
    return data[:2] + b"\xff\xe5\x00\x02" * count + data[2:]


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_the_subprocess_returns_the_same_pixels(file_format):
    data = encoded(Image.fromarray(picture()), file_format)
    result = decode_in_subprocess(data, "me.png", SIZE)
    np.testing.assert_array_equal(result, resize_image(decode_image(data), SIZE))
    result[0, 0] = 0  # Writing must not raise an error.


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"<b>\.png is empty"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", r"<b>\.png is not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n(%pipe%id) (w) file\n", r"<b>\.png is not an image"),
        (png_header(20_000, 20_000), r"<b>\.png has 20000 x 20000|too many"),
        (encoded(Image.fromarray(picture(640, 320)), "PNG")[:2000], r"<b>\.png is damaged or truncated"),
        (scans(200), r"<b>\.png is a JPEG of 2\d\d scans, the limit is 100"),
    ],
    ids=["empty", "svg", "eps", "pixels", "cut", "scans"],
)
def test_the_subprocess_refuses_with_the_same_messages(data, message):
    with pytest.raises(ImageError, match=message) as subprocess_error:
        decode_in_subprocess(data, "<b>.png", SIZE)
    with pytest.raises(ImageError) as direct_error:
        decode_image(data, "<b>.png", heic=True)
    assert str(subprocess_error.value) == str(direct_error.value)


def heic(image, orientation=1):
    """Return a HEIC file like those of phones, with the rotation in both EXIF and the container."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    pillow_heif.from_pillow(image).save(buffer, exif=exif.tobytes(), quality=95)
    return buffer.getvalue()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_heic_file_is_decoded_upright_like_a_jpeg(orientation):
    image = Image.fromarray(np.repeat(np.repeat(np.arange(8, dtype=np.uint8).reshape(4, 2) * 32, 16, 0), 16, 1))
    exif = Image.Exif()
    exif[0x0112] = orientation
    jpeg = encoded(image.convert("RGB"), "JPEG", exif=exif, quality=95)
    expected = decode_in_subprocess(jpeg, "me.jpg", SIZE)
    result = decode_in_subprocess(heic(image.convert("RGB"), orientation), "IMG_1.HEIC", SIZE)
    np.testing.assert_allclose(result.astype(int), expected.astype(int), atol=24)


def test_heic_is_decoded_in_the_subprocess_only():
    data = heic(Image.fromarray(picture()))
    assert decode_in_subprocess(data, "me.heic", SIZE).shape == (*SIZE, 3)
    with pytest.raises(ImageError, match=r"me\.heic is not an image in a supported format; use JPEG, .*GIF$"):
        decode_image(data, "me.heic")
    program = "import sys, app.session.uploads, fpc_core.data.images; sys.exit('pillow_heif' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_truncated_or_tiny_heic_file_is_refused():
    data = heic(Image.fromarray(picture(640, 320)))
    for part in (0.2, 0.6, 0.95):
        with pytest.raises(ImageError, match=r"me\.heic|header of me\.heic"):
            decode_in_subprocess(data[: int(len(data) * part)], "me.heic", SIZE)
    with pytest.raises(ImageError, match=r"me\.heic must have at least 8 x 8 pixels, got 4 x 4"):
        decode_in_subprocess(heic(Image.new("RGB", (4, 4))), "me.heic", SIZE)


def test_too_many_bytes_are_not_sent_to_the_subprocess(monkeypatch):
    monkeypatch.setattr(subprocess, "run", lambda *args, **kwargs: pytest.fail("a process was started"))
    with pytest.raises(ImageError, match=r"long\.png has 20\.0 MB, the limit is 20 MB"):
        decode_in_subprocess(bytes(20_000_001), "long.png", SIZE)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot limit processor time")
def test_slow_decoding_is_stopped_and_the_next_image_is_decoded():
    with pytest.raises(ImageError, match=r"slow\.jpg takes too long to decode"):
        decode_in_subprocess(segments(4_900_000), "slow.jpg", SIZE, seconds=1)
    assert decode_in_subprocess(encoded(Image.fromarray(picture())), "me.png", SIZE).shape == (*SIZE, 3)


def test_a_hanging_process_is_stopped_by_the_timeout():
    with pytest.raises(ImageError, match=r"me\.png takes too long to decode"):
        decode_in_subprocess(encoded(Image.fromarray(picture())), "me.png", SIZE, timeout=0.01)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot limit memory")
def test_a_file_that_takes_too_much_memory_is_refused(monkeypatch):
    monkeypatch.setattr(sandboxed_decode, "MAX_ADDRESS_BYTES", 300 << 20)
    data = encoded(Image.new("1", (6300, 6300)), "PNG")
    with pytest.raises(ImageError, match=r"wide\.png (cannot be decoded|is damaged or truncated)"):
        decode_in_subprocess(data, "wide.png", SIZE)


def test_a_crashed_decoder_affects_nothing_else(monkeypatch, tmp_path, caplog):
    program = tmp_path / "crash.py"
    program.write_text("import os, sys; print('out of luck', file=sys.stderr, flush=True); os.abort()")
    monkeypatch.setattr(images, "__file__", str(program))
    with pytest.raises(ImageError, match=r"me\.png cannot be decoded: its decoder failed"):
        decode_in_subprocess(encoded(Image.fromarray(picture())), "me.png", SIZE)
    assert "out of luck" in caplog.text  # The log must state the cause.


def test_the_subprocess_cannot_write_files(monkeypatch, tmp_path):
    program = tmp_path / "write.py"
    home = Path(images.__file__).parent
    program.write_text(
        f"import sys; sys.path.insert(0, {str(home)!r}); import images; images._limit_resources(5, 2 << 30)\n"
        "try:\n"
        f"    with open({str(tmp_path / 'left')!r}, 'w') as file: file.write('x')\n"
        "except OSError as error: sys.stdout.write(f'E{error.strerror}')\n"
    )
    monkeypatch.setattr(images, "__file__", str(program))
    with pytest.raises(ImageError, match="File too large"):
        decode_in_subprocess(b"x", "me.png", SIZE)
    assert (tmp_path / "left").stat().st_size == 0


def test_decoding_is_refused_while_all_processes_are_busy(monkeypatch):
    monkeypatch.setattr(sandboxed_decode, "_process_slots", threading.BoundedSemaphore(1))
    with sandboxed_decode._process_slots, pytest.raises(ImageError, match=r"me\.png cannot be decoded now"):
        decode_in_subprocess(b"x", "me.png", SIZE, timeout=0.01)


def test_the_timeout_includes_waiting_for_a_process(monkeypatch):
    left, seats = [], threading.BoundedSemaphore(1)
    monkeypatch.setattr(sandboxed_decode, "_process_slots", seats)
    monkeypatch.setattr(sandboxed_decode, "_run", lambda *given: left.append(given[-1]) or pytest.fail("enough"))
    seats.acquire()
    threading.Timer(0.2, seats.release).start()
    with pytest.raises(pytest.fail.Exception, match="enough"):
        decode_in_subprocess(b"x", "me.png", SIZE, timeout=5)
    assert 0 < left[0] < 4.9


def test_the_command_line_contains_no_user_input(monkeypatch):
    seen = []
    run = subprocess.run
    monkeypatch.setattr(subprocess, "run", lambda command, **kwargs: seen.append(command) or run(command, **kwargs))
    name = "--x; rm \0 \udcff" + "n" * 200_000
    with pytest.raises(ImageError, match="is not an image"):
        decode_in_subprocess(b"nothing", name, SIZE)
    (command,) = seen
    assert all(part.isdecimal() for part in command[3:])


def test_a_polyglot_image_becomes_pixels_only():
    page = b"<html><script>alert(1)</script></html>"
    data = encoded(Image.fromarray(picture())) + page
    result = decode_in_subprocess(data, "both.png", (48, 24))
    np.testing.assert_array_equal(result, picture())


def test_compressed_text_of_gigabytes_is_refused():
    body = b"k\0\0" + zlib.compress(bytes(50_000_000), 9)
    chunk = struct.pack(">I", len(body)) + b"zTXt" + body + struct.pack(">I", zlib.crc32(b"zTXt" + body))
    data = encoded(Image.fromarray(picture()))
    with pytest.raises(ImageError, match=r"me\.png"):
        decode_in_subprocess(data[:33] + chunk + data[33:], "me.png", SIZE)


def test_an_animation_returns_its_first_frame():
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "blue")]
    buffer = io.BytesIO()
    frames[0].save(buffer, "PNG", save_all=True, append_images=frames[1:])
    assert (decode_in_subprocess(buffer.getvalue(), "two.png", (32, 32)) == (255, 0, 0)).all()

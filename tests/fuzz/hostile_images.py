"""Hostile image files: valid files of every supported format, with random or format-specific damage.

Random damage rarely passes a checksum or changes a size. Format-specific damage writes impossible sizes into headers,
with correct checksums, and adds data that decompresses to a thousand times its size.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from functools import cache
from random import Random

import numpy as np
from PIL import Image

from tests.fuzz.damage import BLIND, ODD_NUMBERS, cut, doubled, flipped, overwritten, put

_CHUNKS = (b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"zTXt", b"iTXt", b"iCCP", b"eXIf", b"acTL", b"fcTL", b"fdAT")
_LARGEST = (6324, 6324)  # Slightly fewer than the 40 million pixels that are accepted.
_TIFF_TAGS = (256, 257, 258, 259, 262, 273, 277, 278, 279, 317, 320, 322, 323, 324, 325, 338, 339)


def image_file(chance: Random) -> bytes:
    """Return the bytes of a file. One in twelve is valid, and the others are damaged once or several times."""
    if chance.random() < 0.001:
        return chance.choice(list(largest_files().values()))
    kind = chance.choice(list(whole_files()))
    data = whole_files()[kind]
    for _ in range(chance.choice((0, 1, 1, 1, 1, 1, 2, 2, 2, 3, 4, 8))):
        how = chance.choice((*BLIND, _spliced, *[_ON_PURPOSE[kind.split()[0]]] * 6))
        data = how(chance, data)
    return data


@cache
def whole_files() -> dict[str, bytes]:
    """Return small files of every format and variant, by name."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (40, 24, 3), dtype=np.uint8)
    pixels[8:30, 4:20] = (90, 60, 200)
    rgb = Image.fromarray(pixels)
    grey16 = Image.fromarray(rng.integers(0, 1 << 16, (40, 24), dtype=np.uint16))
    clear = rgb.convert("RGBA")
    clear.putalpha(128)
    frames = {"save_all": True, "append_images": [rgb.rotate(180)] * 2}
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a picture"
    colours = rgb.quantize(16)
    variants: list[tuple[str, Image.Image, dict[str, object]]] = [
        ("JPEG plain", rgb, {"quality": 60}),
        ("JPEG progressive", rgb, {"progressive": True, "exif": exif}),
        ("JPEG grey", rgb.convert("L"), {}),
        ("JPEG cmyk", rgb.convert("CMYK"), {"icc_profile": bytes(3000)}),
        ("PNG plain", rgb, {"exif": exif}),
        ("PNG clear", clear, {}),
        ("PNG sixteen", grey16, {}),
        ("PNG palette", colours, {"transparency": 3}),
        ("PNG one", rgb.convert("1"), {}),
        ("PNG moving", rgb, frames),
        ("GIF plain", rgb, {"transparency": 5}),
        ("GIF moving", rgb, frames),
        ("BMP plain", rgb, {}),
        ("BMP palette", colours, {}),
        ("BMP one", rgb.convert("1"), {}),
        ("WEBP lossy", rgb, {"exif": exif}),
        ("WEBP clear", clear, {"lossless": True}),
        ("WEBP moving", rgb, frames),
        ("TIFF plain", rgb, {"exif": exif}),
        ("TIFF sixteen", grey16, {"compression": "tiff_lzw"}),
        ("TIFF float", rgb.convert("F"), {}),
        ("TIFF deflate", clear, {"compression": "tiff_adobe_deflate"}),
        ("TIFF jpeg", rgb, {"compression": "jpeg"}),
        ("TIFF packed", colours, {"compression": "packbits"}),
        ("TIFF one", rgb.convert("1"), {"compression": "group4"}),
        ("TIFF pages", rgb, frames),
        ("TIFF cmyk", rgb.convert("CMYK"), {}),
        ("TIFF big", rgb, {"big_tiff": True}),
    ]
    return {kind: encoded(image, kind.split()[0], **options) for kind, image, options in variants}


@cache
def largest_files() -> dict[str, bytes]:
    """Return plain images of nearly the largest accepted size, in the modes that are most expensive to convert."""
    clear = Image.new("RGBA", _LARGEST, (9, 9, 9, 9))
    return {
        "PNG clear": encoded(clear, "PNG", compress_level=1),
        "PNG palette": encoded(Image.new("P", _LARGEST, 1), "PNG", transparency=1),
        "TIFF sixteen": encoded(Image.new("I;16", _LARGEST, 9), "TIFF", compression="tiff_lzw"),
        "JPEG cmyk": encoded(Image.new("CMYK", _LARGEST), "JPEG", quality=20),
        "WEBP clear": encoded(clear, "WEBP", quality=0),
        "GIF plain": encoded(Image.new("P", _LARGEST, 1), "GIF"),
    }


def encoded(image: Image.Image, file_format: str, **options: object) -> bytes:
    """Return the bytes of an image file.

    Args:
        image: The image.
        file_format: Format of Pillow.
        options: Options of the format.
    """
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def _spliced(chance: Random, data: bytes) -> bytes:
    """Return the beginning of one file and the end of another."""
    other = chance.choice(list(whole_files().values()))
    return data[: chance.randint(0, len(data))] + other[chance.randint(0, len(other)) :]


def _odd_png(chance: Random, data: bytes) -> bytes:
    """Change, repeat, move or add a PNG chunk, with correct checksums."""
    chunks = list(_chunks(data))
    if not chunks:
        return data
    at = chance.randint(0, len(chunks) - 1)
    name, content = chunks[at]
    match chance.choice(("size", "size", "content", "double", "move", "bomb", "add")):
        case "size":
            header = bytearray(chunks[0][1].ljust(13, b"\0"))
            sizes = [chance.choice(ODD_NUMBERS) for _ in range(2)]
            struct.pack_into(">II", header, 0, *sizes)
            header[8:13] = bytes(chance.choice((header[place], 0, 1, 3, 6, 8, 16)) for place in range(8, 13))
            chunks[0] = (b"IHDR", bytes(header))
        case "content":
            chunks[at] = (name, chance.choice((flipped, overwritten, cut, doubled))(chance, content))
        case "double":
            chunks.insert(chance.randint(0, len(chunks)), (name, content))
        case "move":
            chunks.insert(chance.randint(0, len(chunks) - 1), chunks.pop(at))
        case "bomb":
            kind = chance.choice((b"zTXt", b"iTXt", b"iCCP", b"IDAT"))
            head = {b"zTXt": b"Comment\0\0", b"iTXt": b"Comment\0\1\0\0\0", b"iCCP": b"ICC\0\0", b"IDAT": b""}[kind]
            chunks.insert(at, (kind, head + _packed(chance.choice((100, 1 << 20, 80 << 20)))))
        case "add":
            chunks.insert(at, (chance.choice(_CHUNKS), chance.randbytes(chance.randint(0, 40))))
    body = (struct.pack(">I", len(each)) + kind + each + _sum(kind + each) for kind, each in chunks)
    return data[:8] + b"".join(body)


@cache
def _packed(count: int) -> bytes:
    """Return this number of zeros, compressed to about a thousandth."""
    return zlib.compress(bytes(count), 6)


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 8
    while at + 12 <= len(data):
        size = struct.unpack_from(">I", data, at)[0]
        if at + 12 + size > len(data):
            return
        yield data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
        at += 12 + size


def _sum(data: bytes) -> bytes:
    return struct.pack(">I", zlib.crc32(data))


def _odd_jpeg(chance: Random, data: bytes) -> bytes:
    """Change the size in the frame header, or the length of a segment, of a JPEG."""
    kinds = (0xC0, 0xC1, 0xC2, 0xC4, 0xDA, 0xDB, 0xE1)
    starts = [at for at in range(len(data) - 9) if data[at] == 0xFF and data[at + 1] in kinds]
    if not starts:
        return data
    at, (high, wide) = chance.choice(starts), (chance.choice(ODD_NUMBERS) & 0xFFFF for _ in range(2))
    if 0xC0 <= data[at + 1] <= 0xC2:
        return put(put(data, at + 5, ">H", high), at + 7, ">H", wide)
    return put(data, at + 2, ">H", high)


def _odd_gif(chance: Random, data: bytes) -> bytes:
    """Change the size of a GIF's screen or of a frame, or move a frame off the screen."""
    frames = [at for at in range(len(data)) if data[at : at + 1] == b","]
    at = chance.choice((6, *(frame + shift for frame in frames[:20] for shift in (1, 5))))
    for place in (at, at + 2):
        data = put(data, place, "<H", chance.choice(ODD_NUMBERS))
    return data


def _odd_bmp(chance: Random, data: bytes) -> bytes:
    """Change size, depth, compression, palette or offset of a BMP."""
    at, form = chance.choice(((18, "<I"), (22, "<I"), (28, "<H"), (30, "<I"), (46, "<I"), (10, "<I"), (14, "<I")))
    return put(data, at, form, chance.choice((*ODD_NUMBERS, 24, 32, 40, 56, 108, 124)))


def _odd_webp(chance: Random, data: bytes) -> bytes:
    """Change the length of a WebP file or of a part, the canvas, or the flags."""
    at = chance.choice((4, 16, 20, 24, 26, 27, 29, 40, 44, 48))
    return put(data, at, "<I", chance.choice(ODD_NUMBERS))


def _odd_tiff(chance: Random, data: bytes) -> bytes:
    """Change tag, type, count or value of an entry of a TIFF's first directory."""
    if len(data) < 16:
        return data
    order = "<" if data[:2] == b"II" else ">"
    first = struct.unpack_from(f"{order}I", data, 4)[0]
    if first + 2 > len(data):
        return data
    count = struct.unpack_from(f"{order}H", data, first)[0]
    entry = first + 2 + 12 * chance.randint(0, max(0, min(count, 40) - 1))
    shift, form = chance.choice(((0, "H"), (2, "H"), (4, "I"), (8, "I"), (8, "H")))
    numbers = _TIFF_TAGS if shift == 0 else range(14) if shift == 2 else (*ODD_NUMBERS, 5, 6, 7, 32773, 32946)
    return put(data, entry + shift, order + form, chance.choice(tuple(numbers)))


_ON_PURPOSE = {
    "PNG": _odd_png,
    "JPEG": _odd_jpeg,
    "GIF": _odd_gif,
    "BMP": _odd_bmp,
    "WEBP": _odd_webp,
    "TIFF": _odd_tiff,
}

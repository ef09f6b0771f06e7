"""Random damage to the bytes of a file of any format, such as by a bad disk or a broken transfer.

Every function gets a random generator and the bytes, and returns the damaged bytes.
"""

from __future__ import annotations

import struct
from random import Random

ODD_NUMBERS = (0, 1, 2, 3, 4, 8, 15, 16, 255, 4096, 6324, 32767, 65535, 1 << 20, (1 << 31) - 1, (1 << 32) - 1)


def flipped(chance: Random, data: bytes) -> bytes:
    """Flip one bit."""
    at = _position(chance, data)
    return data if at == len(data) else data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]


def overwritten(chance: Random, data: bytes) -> bytes:
    """Overwrite 1 to 8 bytes with random ones."""
    at, written = _position(chance, data), chance.randbytes(chance.randint(1, 8))
    return data[:at] + written + data[at + len(written) :]


def numbered(chance: Random, data: bytes) -> bytes:
    """Overwrite a random position with an unusual number."""
    return put(data, _position(chance, data), chance.choice(("<H", ">H", "<I", ">I", "<Q")), chance.choice(ODD_NUMBERS))


def cut(chance: Random, data: bytes) -> bytes:
    """Remove the end."""
    return data[: chance.randint(0, len(data))]


def doubled(chance: Random, data: bytes) -> bytes:
    """Repeat a part once or a few times."""
    start, end = sorted((_position(chance, data), _position(chance, data)))
    return data[:end] + data[start:end] * chance.randint(1, 3) + data[end:]


def shortened(chance: Random, data: bytes) -> bytes:
    """Remove a part."""
    start, end = sorted((chance.randint(0, len(data)), chance.randint(0, len(data))))
    return data[:start] + data[end:]


def put(data: bytes, at: int, form: str, number: int) -> bytes:
    """Overwrite bytes with a number.

    Args:
        data: Bytes of a file.
        at: Position of the first byte that is overwritten.
        form: Format of `struct`.
        number: Number; only its lowest bits are written if the format is too short.
    """
    packed = struct.pack(form, number & ((1 << 8 * struct.calcsize(form)) - 1))
    return data[:at] + packed + data[at + len(packed) :]


BLIND = (flipped, overwritten, numbered, cut, doubled, shortened)


def _position(chance: Random, data: bytes) -> int:
    """Return a random position; half of them are near the beginning, where headers are."""
    return chance.randint(0, min(100, len(data)) if chance.random() < 0.5 else len(data))

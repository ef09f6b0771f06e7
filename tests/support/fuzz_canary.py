"""`tests.fuzz.fuzzing` with a target that goes wrong in every way that must be found.

Run by tests/fuzz/test_fuzzing.py.
"""

import os
import sys
from itertools import count
from types import SimpleNamespace

from tests.fuzz import fuzzing

MEMORY = 64 << 20  # bytes, a bound that is passed in a moment


def feed(number, folder):
    """Fail on 2, hang on 4, exit on 6, allocate on 8, refuse 10."""
    if number == 2:
        raise KeyError(number)
    while number == 4:
        pass
    if number == 6:
        os.abort()
    if number == 8:
        assert len(bytearray(b"x") * (2 * MEMORY))
    if number == 10:
        raise ValueError(number)


if __name__ == "__main__":
    numbers = count(int(sys.argv[4]) - 1)  # one is made before the first, to warm up
    planted = SimpleNamespace(make=lambda chance: next(numbers), feed=feed, refuses=(ValueError,))
    sys.modules["tests.fuzz.targets"] = SimpleNamespace(TARGETS={"planted": planted})  # the real ones load torch
    sys.exit(fuzzing.run())

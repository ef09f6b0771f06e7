"""Run `tests.fuzz.fuzzing` with a target that fails in every way that the fuzzer must detect.

tests/fuzz/test_fuzzing.py runs this module.
"""

import os
import sys
from itertools import count
from types import SimpleNamespace

from tests.fuzz import fuzzing

MEMORY = 64 << 20  # Memory limit in bytes, which an input can exceed quickly.


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
    numbers = count(int(sys.argv[4]) - 1)  # The fuzzer makes one input before the first, to warm up.
    planted = SimpleNamespace(make=lambda chance: next(numbers), feed=feed, refuses=(ValueError,))
    sys.modules["tests.fuzz.targets"] = SimpleNamespace(TARGETS={"planted": planted})  # The real targets import torch.
    sys.exit(fuzzing.run())

"""What a pickle would be if it were written out, told without running it.

A pickle may name a part again instead of holding it twice, so that 300 bytes stand for 2^40 tuples in each other. They
take no memory, and still no reader ends that prints or compares them; torch's prints what it refuses.
"""

from __future__ import annotations

import pickletools
from collections.abc import Iterator
from typing import IO

_GET = {"GET", "BINGET", "LONG_BINGET"}
_PUT = {"PUT", "BINPUT", "LONG_BINPUT"}
_GROWS = {"APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS", "BUILD"}


class _Part:
    __slots__ = ("size",)

    def __init__(self, size: int) -> None:
        self.size = size


def parts_written_out(file: IO[bytes], most: int, pickles: int = 1) -> int:
    """Parts of the largest object that the next `pickles` pickles of a file make, each counted as often as it is named.

    Counts on to `most` and no further, and ends where the program makes no sense: that is for its reader to say. What
    is put into a list after the list was named counts once.
    """
    largest = 0
    for _ in range(pickles):
        try:
            for size in _sizes(file):
                largest = max(largest, size)
                if largest > most:
                    return largest
        except (ValueError, IndexError, KeyError, OverflowError, MemoryError):
            break
    return largest


def _sizes(file: IO[bytes]) -> Iterator[int]:
    """The size of what every step of one pickle leaves on top of the stack."""
    stack: list[_Part | None] = []  # None: a mark
    memo: dict[object, _Part | None] = {}
    for step, argument, _ in pickletools.genops(file):
        if step.name in _GET:
            stack.append(memo[argument])
        elif step.name in _PUT or step.name == "MEMOIZE":
            memo[len(memo) if step.name == "MEMOIZE" else argument] = stack[-1]
        elif step.name == "MARK":
            stack.append(None)
        else:
            _apply(step, stack)
        if stack and (top := stack[-1]) is not None:
            yield top.size


def _apply(step: pickletools.OpcodeInfo, stack: list[_Part | None]) -> None:
    """Take from the stack what the step takes, and leave what it leaves."""
    taken: list[_Part | None] = []
    below = len(step.stack_before)
    if pickletools.markobject in step.stack_before:
        below = step.stack_before.index(pickletools.markobject)
        while (part := stack.pop()) is not None:
            taken.append(part)
    for _ in range(below):
        taken.append(stack.pop())
    size = sum(part.size for part in taken if part is not None)
    first = taken[-1] if taken else None
    if step.name in _GROWS and first is not None:
        first.size = size
        stack.append(first)
    else:
        stack.extend(_Part(1 + size) for _ in step.stack_after)

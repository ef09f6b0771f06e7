"""What a pickle would make, told without running it, so that no reader is given what it never ends with.

A pickle may name a part again instead of holding it twice, so that 300 bytes stand for 2^40 tuples in each other. They
take no memory, and still no reader ends that prints or compares them. torch's prints what it refuses to call or to
import, and looks through the text with a pattern that takes the square of the longest word.
"""

from __future__ import annotations

import pickletools
from typing import IO, Any

MAX_WRITTEN = 10_000_000  # characters of all that a pickle makes, if it were written out; 500 tensors have 200,000
MAX_NAME = 200  # characters of what a pickle imports
_GET = {"GET", "BINGET", "LONG_BINGET"}
_PUT = {"PUT", "BINPUT", "LONG_BINPUT"}
_GROWS = {"APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS", "BUILD"}
_IMPORTS = {"GLOBAL", "STACK_GLOBAL"}
_CALLS = {"REDUCE", "NEWOBJ"}  # the others are not read by torch


class HarmfulPickleError(ValueError):
    """What a pickle makes is more than any reader should look at; the message says what, to follow a file's name."""


class _Part:
    """size: characters, if it were written out.  imported: it is what a name stands for."""

    __slots__ = ("imported", "size")

    def __init__(self, size: int, imported: bool = False) -> None:
        self.size, self.imported = size, imported


def check_pickles(file: IO[bytes], pickles: int = 1, most: int = MAX_WRITTEN) -> None:
    """Look through the next `pickles` pickles of a file.

    What is put into a list after the list was named counts once. Raises HarmfulPickleError where an object would take
    more than `most` characters and where the name of an import is long; ValueError where something is called that was
    not imported, and it, IndexError, KeyError, OverflowError or MemoryError where a program makes no sense.
    """
    for _ in range(pickles):
        _check_pickle(file, most)


def _check_pickle(file: IO[bytes], most: int) -> None:
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
            _apply(step, argument, stack)
        if stack and (top := stack[-1]) is not None and top.size > most:
            raise HarmfulPickleError(
                f"holds parts in each other, more than {most:,} characters if they were written out"
            )


def _apply(step: pickletools.OpcodeInfo, argument: Any, stack: list[_Part | None]) -> None:
    """Take from the stack what the step takes, and leave what it leaves."""
    taken: list[_Part | None] = []
    below = len(step.stack_before)
    if pickletools.markobject in step.stack_before:
        below = step.stack_before.index(pickletools.markobject)
        while (part := stack.pop()) is not None:
            taken.append(part)
    for _ in range(below):
        taken.append(stack.pop())
    first = taken[-1] if taken else None
    if step.name in _CALLS and not (first and first.imported):
        raise ValueError("a call of what was not imported")
    if step.name == "GLOBAL" and len(argument) > MAX_NAME:
        raise HarmfulPickleError(f"imports a name of {len(argument):,} characters")
    size = sum(part.size for part in taken if part is not None)
    if step.name in _GROWS and first is not None:
        first.size = size
        stack.append(first)
    else:
        stack.extend(_Part(1 + size + _characters(argument), step.name in _IMPORTS) for _ in step.stack_after)


def _characters(argument: Any) -> int:
    """Of a text or a whole number as it is printed; anything else is short."""
    if isinstance(argument, (str, bytes, bytearray)):
        return len(argument)
    return argument.bit_length() // 3 if isinstance(argument, int) else 0

"""Estimate, without running a pickle, how large its objects would be when printed, and refuse harmful pickles.

A pickle can refer to an object repeatedly, so that 300 bytes can describe 2^40 nested tuples. They need little memory,
but printing or comparing them would never finish. Torch prints objects that it refuses to call or to import, and
searches the text with a pattern whose time is quadratic in the longest word.
"""

from __future__ import annotations

import pickletools
from typing import IO, Any

MAX_WRITTEN = 10_000_000  # Maximum number of characters of an object when printed; 500 tensors have 200,000.
MAX_NAME = 200  # Maximum number of characters in a name that a pickle imports.
_GET = {"GET", "BINGET", "LONG_BINGET"}
_PUT = {"PUT", "BINPUT", "LONG_BINPUT"}
_GROWS = {"APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS", "BUILD"}
_IMPORTS = {"GLOBAL", "STACK_GLOBAL"}
_CALLS = {"REDUCE", "NEWOBJ"}  # Torch does not support other opcodes that call something.


class HarmfulPickleError(ValueError):
    """A pickle would create objects that are too large; the message must be preceded by the file's name."""


class _Part:
    """An object on the stack.

    Attributes:
        size: Number of characters when printed.
        imported: Whether the object was imported by name.
    """

    __slots__ = ("imported", "size")

    def __init__(self, size: int, imported: bool = False) -> None:
        self.size, self.imported = size, imported


def check_pickles(file: IO[bytes], pickles: int = 1, max_size: int = MAX_WRITTEN) -> None:
    """Scan the next pickles in a file.

    Args:
        file: File whose position is at the first pickle.
        pickles: Number of pickles.
        max_size: Maximum number of characters of one object when printed.

    Raises:
        HarmfulPickleError: An object is larger than `max_size`, or the name of an import is too long.
        ValueError: The pickle calls something that it did not import. Invalid pickles may also raise IndexError,
            KeyError, OverflowError or MemoryError.
    """
    for _ in range(pickles):
        _check_pickle(file, max_size)


def _check_pickle(file: IO[bytes], max_size: int) -> None:
    stack: list[_Part | None] = []  # None represents a mark.
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
        if stack and (top := stack[-1]) is not None and top.size > max_size:
            raise HarmfulPickleError(f"contains nested objects that would expand to more than {max_size:,} characters")


def _apply(step: pickletools.OpcodeInfo, argument: Any, stack: list[_Part | None]) -> None:
    """Pop the arguments of an opcode from the stack, and push its results."""
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
        raise ValueError("calls something that was not imported")
    if step.name == "GLOBAL" and len(argument) > MAX_NAME:
        raise HarmfulPickleError(f"imports a name of {len(argument):,} characters")
    size = sum(part.size for part in taken if part is not None)
    if step.name in _GROWS and first is not None:
        first.size = size
        stack.append(first)
    else:
        stack.extend(_Part(1 + size + _characters(argument), step.name in _IMPORTS) for _ in step.stack_after)


def _characters(argument: Any) -> int:
    """Return the printed length of a text or an integer; other arguments are short and count as 0."""
    if isinstance(argument, (str, bytes, bytearray)):
        return len(argument)
    return argument.bit_length() // 3 if isinstance(argument, int) else 0

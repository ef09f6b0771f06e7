"""Scan a pickle without running it: which names it imports, and how large its objects would be when printed.

Checkpoints often contain other objects besides tensors, such as numpy scalars and config nodes. The scan lists those
that may be passed over (`PASSED_OVER`); the reader replaces them by empty stand-ins instead of importing them. Any
other name that torch does not import by itself is refused.

A pickle can refer to an object repeatedly, so 300 bytes can describe 2^40 nested tuples. They need little memory, but
printing or comparing them would never finish. Torch prints objects that it refuses to call or to import, and searches
the printed text with a pattern whose run time is quadratic in the length of the longest word.
"""

from __future__ import annotations

import pickletools
import re
from collections.abc import Container
from enum import StrEnum
from typing import IO, Any

MAX_WRITTEN = 10_000_000  # Maximum number of characters of an object when printed; 500 tensors have 200,000.
MAX_NAME = 200  # Maximum number of characters in a name that a pickle imports.
_GET = {"GET", "BINGET", "LONG_BINGET"}
_PUT = {"PUT", "BINPUT", "LONG_BINPUT"}
_GROWS = {"APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS", "BUILD"}
_CALLS = {"REDUCE", "NEWOBJ"}  # Torch does not support other opcodes that call something.
# Names of Python 2, which pickles still use and torch translates.
_MODULES = {"__builtin__": "builtins", "copy_reg": "copyreg"}
_BUILTINS = {"long": "int", "xrange": "range", "unicode": "str"}
# Names that `torch.load(weights_only=True)` imports by itself.
_TORCH = re.compile(
    r"torch\.(\w+\.)*\w*(Storage|Tensor)|torch\._(utils|tensor)\._rebuild_\w+|torch\.(Size|device|nn\.parameter\.Parameter)"
    r"|torch\.serialization\._get_layout|torch\.(b?float|complex|double|half|u?int|long|short|bool|q\w+|per_)\w*"
    r"|collections\.(OrderedDict|Counter)|_codecs\.encode|builtins\.(bytearray|set|complex)"
)
# Names whose objects carry settings or logs, never weights, by the library that defines them.
PASSED_OVER = {
    "numpy scalars and arrays": r"numpy\.(_?core\.(multiarray|numeric|_internal)\.\w+|dtypes\.\w+|dtype|ndarray|\w+_)"
    r"|numpy\.(float|u?int|complex|str|bytes|datetime|timedelta)\d+",
    "namespaces": r"argparse\.Namespace|types\.SimpleNamespace",
    "paths": r"pathlib(\._local)?\.(Pure)?(Posix|Windows)?Path",
    "yacs and its descendants": r"(\w+\.)*config(\.\w+)*\.(CfgNode|Config|ConfigDict|ConfigNode)",
    "OmegaConf": r"omegaconf(\.\w+)+",
    "EasyDict and similar": r"(easydict|addict|munch|box|attrdict|attridict|dotmap|ml_collections)(\.\w+)+",
    "mmengine and mmcv": r"(mmengine|mmcv)(\.\w+)+",
    "Lightning": r"(pytorch_lightning|lightning|lightning_fabric|lightning_utilities)(\.\w+)+",
    "Python's containers and numbers": r"collections\.(defaultdict|deque)|decimal\.Decimal|fractions\.Fraction"
    r"|uuid\.UUID"
    r"|datetime\.(datetime|date|time|timedelta|timezone)|enum\.\w+|typing\.\w+|_?operator\.getitem|copyreg\._reconstructor"
    r"|builtins\.(int|float|str|bool|bytes|list|tuple|dict|frozenset|slice|range|object)|torch\.torch_version\.TorchVersion",
}
_PASSED_OVER = re.compile("|".join(PASSED_OVER.values()))


class Use(StrEnum):
    """How a pickle uses the objects of an imported name, which determines what their stand-in must support."""

    OBJECT = "object"  # An object is created, and its state is set.
    MAPPING = "mapping"  # An object is created, and its items are set.
    LIST = "list"  # An object is created, and items are appended.


class HarmfulPickleError(ValueError):
    """A pickle would create objects that are too large; the message must be preceded by the file's name."""


class _Part:
    """An object on the stack.

    Attributes:
        size: Number of characters when printed.
        name: Name by which the object was imported, or empty.
        made_by: Name of the import that created the object, or empty.
        text: The object itself if it is a short text, otherwise empty.
    """

    __slots__ = ("made_by", "name", "size", "text")

    def __init__(self, size: int, name: str = "", made_by: str = "", text: str = "") -> None:
        self.size, self.name, self.made_by, self.text = size, name, made_by, text

    def is_refused(self, unknown: Container[str]) -> bool:
        """Return whether the object comes from an import that is refused anyway, so that calling it is not an error."""
        return self.made_by in unknown and not is_passed_over(self.made_by)


def check_pickles(file: IO[bytes], pickles: int = 1, max_size: int = MAX_WRITTEN) -> dict[str, Use]:
    """Scan the next pickles in a file.

    Args:
        file: File whose position is at the first pickle.
        pickles: Number of pickles.
        max_size: Maximum number of characters of one object when printed.

    Returns:
        How the objects of each imported name are used, for names that torch does not import by itself. The caller must
        refuse names for which `is_passed_over` is false.

    Raises:
        HarmfulPickleError: An object is larger than `max_size`, or the name of an import is too long.
        ValueError: The pickle calls something that it did not import. Invalid pickles may also raise IndexError,
            KeyError, OverflowError or MemoryError.
    """
    unknown: dict[str, Use] = {}
    for _ in range(pickles):
        _check_pickle(file, max_size, unknown)
    return unknown


def is_passed_over(name: str) -> bool:
    """Return whether objects of this name may be replaced by stand-ins, because they are settings or logs."""
    return _PASSED_OVER.fullmatch(name) is not None


def _check_pickle(file: IO[bytes], max_size: int, unknown: dict[str, Use]) -> None:
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
            _apply(step, argument, stack, unknown)
        if stack and (top := stack[-1]) is not None and top.size > max_size:
            raise HarmfulPickleError(f"contains nested objects that would expand to more than {max_size:,} characters")


def _apply(step: pickletools.OpcodeInfo, argument: Any, stack: list[_Part | None], unknown: dict[str, Use]) -> None:
    """Pop the arguments of an opcode from the stack, and push its results.

    Args:
        step: The opcode.
        argument: Argument of the opcode in the file.
        stack: Stack of the pickle, which is changed in place.
        unknown: How the objects of each unknown name are used, which is updated.

    Raises:
        HarmfulPickleError: The name of an import is too long.
        ValueError: The opcode calls something that was not imported.
    """
    taken: list[_Part | None] = []
    below = len(step.stack_before)
    if pickletools.markobject in step.stack_before:
        below = step.stack_before.index(pickletools.markobject)
        while (part := stack.pop()) is not None:
            taken.append(part)
    for _ in range(below):
        taken.append(stack.pop())
    first = taken[-1] if taken else None
    if step.name in _CALLS and not (first and (first.name or first.is_refused(unknown))):
        raise ValueError("the pickle calls an object that it did not import")
    name = ""
    if step.name == "GLOBAL":
        module, attribute = argument.split(" ", 1)
        name = _import(module, attribute, unknown)
    elif step.name == "STACK_GLOBAL":
        attribute, module = (part.text if part else "" for part in taken)
        name = _import(module, attribute, unknown)
    size = sum(part.size for part in taken if part is not None)
    if step.name in _GROWS and first is not None:
        first.size = size
        if first.made_by in unknown and step.name != "BUILD":
            unknown[first.made_by] = Use.MAPPING if step.name.startswith("SETITEM") else Use.LIST
        stack.append(first)
    else:
        made_by = first.name if step.name in _CALLS and first else ""
        text = argument if isinstance(argument, str) and len(argument) <= MAX_NAME else ""
        stack.extend(_Part(1 + size + _characters(argument), name, made_by, text) for _ in step.stack_after)


def _import(module: str, attribute: str, unknown: dict[str, Use]) -> str:
    """Return the full name of an import, and record it if torch does not import it by itself.

    Args:
        module: Name of the module.
        attribute: Name of the attribute.
        unknown: How the objects of each unknown name are used, which is updated.

    Raises:
        HarmfulPickleError: The name is too long.
    """
    attribute = _BUILTINS.get(attribute, attribute) if module == "__builtin__" else attribute
    name = f"{_MODULES.get(module, module)}.{attribute}"
    if len(name) > MAX_NAME:
        raise HarmfulPickleError(f"imports a name of {len(name):,} characters (the limit is {MAX_NAME})")
    if not _TORCH.fullmatch(name):
        unknown.setdefault(name, Use.OBJECT)
    return name


def _characters(argument: Any) -> int:
    """Return the printed length of a text or an integer; other arguments are short and count as 0."""
    if isinstance(argument, (str, bytes, bytearray)):
        return len(argument)
    return argument.bit_length() // 3 if isinstance(argument, int) else 0

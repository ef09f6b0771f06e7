"""Convert recipes, which are frozen dataclasses, to JSON and back.

Recipes are untrusted input. Unknown fields, wrong types and values out of range are refused with a message that names
the field.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import Field, fields, is_dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from fpc_core.bounds import check_count, format_value, is_omitted, is_packed, range_of
from fpc_core.io.bounded_files import UnusableFileError, escape_name, is_text, read_bytes
from fpc_core.io.packed_patches import pack, unpack

MAX_BYTES = 1 << 20  # Maximum size of a recipe file.
_Recipe = TypeVar("_Recipe")


class RecipeError(ValueError):
    """A recipe cannot be used; the message names the field and its allowed values."""


def to_json(recipe: Any, version: int, indent: int | None = 2) -> str:
    """Return a frozen dataclass as JSON with sorted keys; `from_json` reverses this.

    Args:
        recipe: Instance of a frozen dataclass.
        version: Format number of this kind of recipe.
        indent: Number of spaces per level; None for a single line.
    """
    return json.dumps({"format": version, **to_plain(recipe)}, indent=indent, sort_keys=True) + "\n"


def to_plain(value: Any) -> Any:
    """Return a frozen dataclass as JSON values; `build` reverses this."""
    if is_dataclass(value):
        named = {"kind": value.KIND} if hasattr(value, "KIND") else {}
        values = ((each, getattr(value, each.name)) for each in fields(value))
        return named | {
            each.name: [pack(patches) for patches in content] if is_packed(each) else to_plain(content)
            for each, content in values
            if not is_omitted(each, content)
        }
    return [to_plain(each) for each in value] if isinstance(value, tuple) else value


def from_json(
    kind: type[_Recipe], text: str, version: int, defaults: Mapping[str, Mapping[str, Any]] | None = None
) -> _Recipe:
    """Build a frozen dataclass from JSON.

    Its fields may be strings, numbers, booleans, StrEnums, other frozen dataclasses, tuples of these, and sets of
    patches (`bounds.patch_sets`). In a union of dataclasses, the key `kind` selects one by its class variable KIND.

    Args:
        kind: Class of the result.
        text: Recipe as JSON.
        version: Format number of this kind of recipe.
        defaults: Values that recipes of earlier releases lack, by the recipe's field that contains them and by their
            own name.

    Raises:
        RecipeError: The text is not a valid recipe; the message names the field.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RecipeError(f"the recipe is not valid JSON ({error}); export a recipe from the app") from error
    if not isinstance(content, dict) or content.pop("format", None) != version:
        raise RecipeError(f"the recipe must be a JSON object with format {version}; export a recipe from the app")
    if (invalid := _not_text(content)) is not None:
        raise RecipeError(f"the recipe contains {escape_name(invalid)[:80]!r}, which is not valid text; correct it")
    for name, values in (defaults or {}).items():
        if isinstance(content.get(name), dict):
            content[name] = {**values, **content[name]}
    return build(kind, content)


def _not_text(content: Any) -> str | None:
    """Return a name or text with a lone surrogate, which cannot be shown or stored, or None if there is none."""
    pending = [content]
    while pending:
        value = pending.pop()
        if isinstance(value, str) and not is_text(value):
            return value
        if isinstance(value, dict):
            pending += [*value.keys(), *value.values()]
        elif isinstance(value, list):
            pending += value
    return None


def read_text(path: Path) -> str:
    """Return the text of a recipe file.

    Raises:
        RecipeError: The file cannot be read; the message names the file.
    """
    try:
        return read_bytes(path, MAX_BYTES, remedy="pass the path of a recipe").decode("utf-8")
    except UnusableFileError as error:
        raise RecipeError(str(error)) from error
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} cannot be read ({error}); check the path") from error


def build(kind: Any, content: Any, prefix: str = "") -> Any:
    """Build a frozen dataclass from JSON values, field by field.

    Args:
        kind: Class of the result.
        content: JSON values as `to_plain` returns them.
        prefix: Dotted name of the object in the recipe with a final dot; empty for the recipe itself.

    Raises:
        RecipeError: A field is invalid; the message names it.
    """
    if not isinstance(content, dict):
        raise RecipeError(f"{prefix.rstrip('.') or 'the recipe'} must be an object, got {type(content).__name__}")
    known = _fields(kind)
    if unknown := sorted(set(content) - set(known)):
        names = ", ".join(f"{prefix}{name}"[:80] for name in unknown[:5])
        raise RecipeError(f"unknown {names} in the recipe; remove {'them' if len(unknown) > 1 else 'it'}")
    for name, value in content.items():  # All lengths are checked before any part is built.
        if isinstance(value, list):
            check_count(known[name][1], prefix + name, value, RecipeError)
    values = {name: _value(known[name][0], value, prefix + name, known[name][1]) for name, value in content.items()}
    try:
        return kind(**values)
    except RecipeError:
        raise
    except (TypeError, ValueError, OverflowError) as error:
        raise RecipeError(f"{prefix.rstrip('.') or 'the recipe'}: {error}") from error


@cache
def _fields(kind: Any) -> dict[str, tuple[Any, Field[Any]]]:
    """Return the type and the declaration of every field by name, cached because resolving the types is slow."""
    hints = get_type_hints(kind)
    return {each.name: (hints[each.name], each) for each in fields(kind)}


def _value(kind: Any, value: Any, name: str, declared: Field[Any] | None = None) -> Any:
    """Convert a JSON value to the type of a field.

    Args:
        kind: Type of the result.
        value: JSON value.
        name: Dotted name of the value in the recipe, for messages.
        declared: The field; None for an item of a tuple.
    """
    if is_dataclass(kind):
        return build(kind, value, f"{name}.")
    if declared is not None and is_packed(declared):
        return _patch_sets(value, name)
    if isinstance(kind, UnionType):
        return _one_of(get_args(kind), value, name)
    if get_origin(kind) is tuple:
        return _tuple(get_args(kind), value, name)
    if issubclass(kind, StrEnum):
        if not isinstance(value, str) or value not in list(kind):
            raise RecipeError(f"{name} must be one of {', '.join(kind)}, got {format_value(value)}")
        return kind(value)
    if not _is(value, kind):
        allowed = range_of(declared) if declared else None
        type_names = {int: "an integer", float: "a number", bool: "true or false", str: "a text"}
        type_name = type_names.get(kind, kind.__name__)
        raise RecipeError(f"{name} must be {type_name}{f' in {allowed}' if allowed else ''}, got {format_value(value)}")
    return kind(value)


def _tuple(parts: tuple[Any, ...], value: Any, name: str) -> tuple[Any, ...]:
    """Convert a JSON list to a tuple.

    Args:
        parts: Arguments of the tuple's type: (X, ...) for any number of items of type X, or the type of every item.
        value: JSON value.
        name: Dotted name of the value in the recipe, for messages.
    """
    if parts[-1] is not ...:
        if not isinstance(value, list) or len(value) != len(parts):
            raise RecipeError(f"{name} must be a list of {len(parts)} values, got {_describe(value)}")
        if all(part is float and type(each) is float for part, each in zip(parts, value, strict=True)):
            return tuple(value)  # This path is faster for strokes, which may have thousands of points.
        return tuple(_value(part, each, name) for part, each in zip(parts, value, strict=True))
    simple = parts[0] in (str, int, float, bool)
    if not isinstance(value, list) or (simple and not all(_is(each, parts[0]) for each in value)):
        items = parts[0].__name__ if simple else "lists" if get_origin(parts[0]) is tuple else "objects"
        raise RecipeError(f"{name} must be a list of {items}, got {_describe(value)}")
    if simple:
        return tuple(map(parts[0], value))
    return tuple(_value(parts[0], each, f"{name}.{index}") for index, each in enumerate(value))


def _describe(value: Any) -> str:
    return f"a list of {len(value)} values" if isinstance(value, list) else format_value(value)


def _patch_sets(value: Any, name: str) -> tuple[tuple[int, ...], ...]:
    """Convert a list of texts from `packed_patches.pack`, whose dotted name in the recipe is `name`."""
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise RecipeError(f"{name} must be a list of texts, one for each dropping block, got {_describe(value)}")
    try:
        return tuple(map(unpack, value))
    except ValueError as error:
        raise RecipeError(f"{name}: {error}") from error


def _one_of(kinds: tuple[Any, ...], value: Any, name: str) -> Any:
    """Build one of several dataclasses, selected by the key `kind`.

    Args:
        kinds: Classes to select from.
        value: JSON value.
        name: Dotted name of the value in the recipe, for messages.
    """
    named = {kind.KIND: kind for kind in kinds}
    chosen = value.get("kind") if isinstance(value, dict) else None
    if not isinstance(chosen, str) or chosen not in named:
        raise RecipeError(f"{name}.kind must be one of {', '.join(named)}, got {str(chosen)[:60]!r}")
    return build(named[chosen], {key: each for key, each in value.items() if key != "kind"}, f"{name}.")


def _is(value: Any, kind: type) -> bool:
    if kind is float:  # An int beyond the largest float is refused.
        return isinstance(value, float) or (type(value) is int and abs(value) < 1 << 1000)
    return isinstance(value, kind) and isinstance(value, bool) == (kind is bool)

"""Recipes: frozen dataclasses as JSON and back, to say everything that a figure or a score depends on.

A recipe may come from anybody: unknown fields, wrong types and values out of bounds are refused by name.
"""

from __future__ import annotations

import json
from dataclasses import asdict, fields, is_dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

MOST_BYTES = 1 << 20  # of a recipe file
_Recipe = TypeVar("_Recipe")


class RecipeError(ValueError):
    """A recipe cannot be used; the message names the field and what it may be."""


def to_json(recipe: Any, version: int, indent: int | None = 2) -> str:
    """A frozen dataclass as JSON with sorted keys; `from_json` gives an equal one. indent None: on one line."""
    return json.dumps({"format": version, **asdict(recipe)}, indent=indent, sort_keys=True) + "\n"


def from_json(kind: type[_Recipe], text: str, version: int) -> _Recipe:
    """A frozen dataclass of strings, numbers, StrEnums, tuples of these, and dataclasses of the same sort.

    Raises RecipeError for what is no such recipe, naming the field.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RecipeError(f"the recipe is no JSON ({error}); export one from the app or see docs") from error
    if not isinstance(content, dict) or content.pop("format", None) != version:
        raise RecipeError(f"the recipe must be a JSON object with format {version}")
    return _build(kind, content, "")


def read_text(path: Path) -> str:
    """The text of a recipe file. Raises RecipeError, naming the file."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise RecipeError(f"{path} is larger than {MOST_BYTES:,} bytes: no recipe")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} cannot be read ({error}); check the path") from error


def _build(kind: Any, content: Any, place: str) -> Any:
    """A frozen dataclass from a JSON object, field by field; `place` is its dotted name in the recipe."""
    if not isinstance(content, dict):
        raise RecipeError(f"{place or 'the recipe'} must be an object, not {type(content).__name__}")
    names = {each.name for each in fields(kind)}
    if unknown := sorted(set(content) - names):
        raise RecipeError(f"unknown {', '.join(f'{place}{name}'[:80] for name in unknown[:5])} in the recipe")
    hints = get_type_hints(kind)
    values = {name: _value(hints[name], value, place + name) for name, value in content.items()}
    try:
        return kind(**values)
    except RecipeError:
        raise
    except (TypeError, ValueError) as error:
        raise RecipeError(f"{place.rstrip('.') or 'the recipe'}: {error}") from error


def _value(kind: Any, value: Any, name: str) -> Any:
    """A field of this type."""
    if is_dataclass(kind):
        return _build(kind, value, f"{name}.")
    if parts := get_args(kind):  # tuple[X, ...]
        if not isinstance(value, list) or not all(_is(each, parts[0]) for each in value):
            raise RecipeError(f"{name} must be a list of {parts[0].__name__}")
        return tuple(parts[0](each) for each in value)
    if issubclass(kind, StrEnum):
        if value not in list(kind):
            raise RecipeError(f"{name} must be one of {', '.join(kind)}, not {str(value)[:60]!r}")
        return kind(value)
    if not _is(value, kind):
        raise RecipeError(f"{name} must be a {kind.__name__}, not {str(value)[:60]!r}")
    return kind(value)


def _is(value: Any, kind: type) -> bool:
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, kind) and isinstance(value, bool) == (kind is bool)

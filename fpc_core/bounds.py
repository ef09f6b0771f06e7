"""Allowed ranges of numbers in settings and recipes, declared with each field and checked in one place.

A frozen dataclass declares a field with `bounded(...)` and calls `check_bounds(self)` in `__post_init__`. Recipes,
links, the command line and Python code all create settings this way, so the same limits apply to all of them.
"""

from __future__ import annotations

from dataclasses import Field, dataclass, field, fields
from numbers import Integral, Real
from typing import Any

_RANGE, _MIN_ITEMS, _MAX_ITEMS = "range", "min_items", "max_items"
_PACKED, _OMITTED = "packed", "omitted"
OMITTED = {_OMITTED: True}
"""Metadata of a field that recipes and fingerprints leave out at its default, so that they equal earlier ones."""
_MAX_SHOWN = 60  # Maximum number of characters of a refused value that a message quotes.
MAX_PATCHES = 1 << 14  # Maximum number of patches in a grid; the paper's model has 242.
MAX_ITEMS = 1000  # Maximum length of a list in a recipe whose field sets no limit of its own.


@dataclass(frozen=True)
class Range:
    """The numbers that a field accepts.

    Attributes:
        low: The smallest number.
        high: The largest number.
        whole: Whether only integers are allowed.
        above: Whether `low` itself is excluded.
        below: Whether `high` itself is excluded.
        label: Name of the field in messages; its own name if empty.
    """

    low: float
    high: float
    whole: bool = False
    above: bool = False
    below: bool = False
    label: str = ""

    def __contains__(self, value: Any) -> bool:
        """Return whether `value` is a number of the right kind within the range; NaN and bool never are."""
        # The common types are checked first, because isinstance with abstract types is slow.
        is_plain = type(value) is int or (type(value) is float and not self.whole)
        if not is_plain and (isinstance(value, bool) or not isinstance(value, Integral if self.whole else Real)):
            return False
        number: Any = value
        above_low = number > self.low if self.above else number >= self.low
        return bool(above_low and (number < self.high if self.below else number <= self.high))

    def __str__(self) -> str:
        """Return the range as written in messages: `1..20` for whole numbers, `(0, 1]` for others."""
        if self.whole:
            return f"{self.low}..{self.high}"
        return f"{'(' if self.above else '['}{self.low:g}, {self.high:g}{')' if self.below else ']'}"


def bounded(
    default: float,
    low: float,
    high: float,
    *,
    above: bool = False,
    below: bool = False,
    label: str = "",
    omitted: bool = False,
) -> Any:
    """Declare a numeric field of a frozen dataclass with its range; it accepts only integers if `default` is an int.

    Args:
        default: Default value of the field.
        low: The smallest number.
        high: The largest number.
        above: Whether `low` itself is excluded.
        below: Whether `high` itself is excluded.
        label: Name of the field in messages; its own name if empty.
        omitted: Whether recipes leave out the default, so that they equal those of releases without the field.
    """
    allowed = Range(low, high, isinstance(default, int), above, below, label)
    return field(default=default, metadata={_RANGE: allowed} | (OMITTED if omitted else {}))


def limited(max_items: int, min_items: int = 0, **options: Any) -> Any:
    """Declare a tuple field of a frozen dataclass with a maximum length.

    Args:
        max_items: Maximum length.
        min_items: Minimum length. It appears in messages only, so the dataclass itself has to check it.
        options: Further arguments for `dataclasses.field`, such as `default`.
    """
    return field(metadata={_MIN_ITEMS: min_items, _MAX_ITEMS: max_items}, **options)


def patch_sets(max_items: int) -> Any:
    """Declare a tuple of sets of patches, by default empty; recipes write every set as a short text.

    Args:
        max_items: Maximum number of sets.
    """
    metadata = {_MIN_ITEMS: 0, _MAX_ITEMS: max_items, _PACKED: True}
    return field(default=(), metadata=metadata | OMITTED)


def is_packed(declared: Field[Any]) -> bool:
    """Return whether a field was declared with `patch_sets`."""
    return _PACKED in declared.metadata


def is_omitted(declared: Field[Any], value: Any) -> bool:
    """Return whether recipes leave out a field because it has its default value.

    Args:
        declared: The field; only those declared as omitted are ever left out.
        value: Value of the field.
    """
    return _OMITTED in declared.metadata and value == declared.default


def range_of(declared: Field[Any]) -> Range | None:
    """Return the range that a field was declared with, or None if it has no range."""
    return declared.metadata.get(_RANGE)


def check_count(declared: Field[Any], name: str, items: list[Any], error: type[ValueError]) -> None:
    """Check the length of a tuple field before any of its items is built.

    Args:
        declared: The field; its maximum is `MAX_ITEMS` if it was not declared with `limited`.
        name: Name of the field in the message.
        items: Items that the recipe lists for the field.
        error: Type of the exception to raise.

    Raises:
        ValueError: There are too many items.
    """
    high, low = declared.metadata.get(_MAX_ITEMS, MAX_ITEMS), declared.metadata.get(_MIN_ITEMS, 0)
    if len(items) > high:
        raise error(f"{name} must have {f'{low} to' if low else 'at most'} {high} items, got {len(items)}")


def check_bounds(settings: Any, error: type[ValueError] = ValueError) -> None:
    """Check all fields declared with `bounded`.

    Args:
        settings: Instance of a frozen dataclass that calls this function in its `__post_init__`.
        error: Type of the exception to raise.

    Raises:
        ValueError: A field has a value of the wrong kind or outside its range; the message names field, range and
            value.
    """
    for each in fields(settings):
        allowed = range_of(each)
        if allowed is None:
            continue
        value = getattr(settings, each.name)
        if value not in allowed:
            name = allowed.label or each.name
            if allowed.whole and not (isinstance(value, Integral) and not isinstance(value, bool)):
                raise error(f"{name} must be a whole number in {allowed}, got {format_value(value)}")
            raise error(f"{name} must be in {allowed}, got {format_value(value)}")


def format_value(value: object) -> str:
    """Format a refused value for a message, on one line and at most 60 characters long."""
    if isinstance(value, int) and abs(value) >= 10**_MAX_SHOWN:
        return "a whole number of more than 60 digits"  # Python refuses to print very long integers.
    text = value if isinstance(value, str) else repr(value) if isinstance(value, (int, float)) else type(value).__name__
    return repr(text[:_MAX_SHOWN]) if isinstance(value, str) else text[:_MAX_SHOWN]

"""Allowed ranges of numbers in settings and recipes, stated where a field is declared and checked in one place.

A frozen dataclass declares a field with `bounded(...)` and calls `check_bounds(self)` in `__post_init__`. Every way to
make settings (recipes, links, the command line, Python) passes there, so all of them meet the same limits.
"""

from __future__ import annotations

from dataclasses import Field, dataclass, field, fields
from numbers import Integral, Real
from typing import Any

_RANGE, _LEAST, _MOST = "range", "least", "most"
_SHOWN = 60  # characters of a refused value that a message repeats
MOST_ITEMS = 1000  # of a list in a recipe whose field sets no limit of its own


@dataclass(frozen=True)
class Range:
    """The numbers that a field takes.

    Args:
        low: The smallest number.
        high: The largest number.
        whole: Whether only whole numbers are allowed.
        above: Whether `low` itself is excluded.
        below: Whether `high` itself is excluded.
        label: What messages call the field; empty for its name.
    """

    low: float
    high: float
    whole: bool = False
    above: bool = False
    below: bool = False
    label: str = ""

    def __contains__(self, value: Any) -> bool:
        """Return whether `value` is a number of the right kind within the range; NaN and bool never are."""
        usual = type(value) is int or (type(value) is float and not self.whole)  # told sooner than the kinds below
        if not usual and (isinstance(value, bool) or not isinstance(value, Integral if self.whole else Real)):
            return False
        number: Any = value
        over = number > self.low if self.above else number >= self.low
        return bool(over and (number < self.high if self.below else number <= self.high))

    def __str__(self) -> str:
        """Return the range as messages write it: `1..20` for whole numbers, `(0, 1]` for others."""
        if self.whole:
            return f"{self.low}..{self.high}"
        return f"{'(' if self.above else '['}{self.low:g}, {self.high:g}{')' if self.below else ']'}"


def bounded(
    default: float, low: float, high: float, *, above: bool = False, below: bool = False, label: str = ""
) -> Any:
    """Declare a number of a frozen dataclass with its range; a whole number where `default` is an int.

    Args:
        default: The value of the field where none is given.
        low: The smallest number.
        high: The largest number.
        above: Whether `low` itself is excluded.
        below: Whether `high` itself is excluded.
        label: What messages call the field; empty for its name.
    """
    allowed = Range(low, high, isinstance(default, int), above, below, label)
    return field(default=default, metadata={_RANGE: allowed})


def limited(most: int, least: int = 0, **options: Any) -> Any:
    """Declare a tuple of a frozen dataclass that holds at most so many parts.

    Args:
        most: How many parts there may be.
        least: How many there must be; for messages alone, the dataclass checks it.
        options: What `dataclasses.field` takes, such as `default`.
    """
    return field(metadata={_LEAST: least, _MOST: most}, **options)


def range_of(declared: Field[Any]) -> Range | None:
    """Return the range a field was declared with, or None."""
    return declared.metadata.get(_RANGE)


def check_count(declared: Field[Any], name: str, parts: list[Any], error: type[ValueError]) -> None:
    """Check how many parts a tuple field would get, before any of them is made.

    Args:
        declared: The field, best declared with `limited`.
        name: What the message calls it.
        parts: What stands in the recipe for it.
        error: The exception to raise.

    Raises:
        ValueError: There are too many.
    """
    most, least = declared.metadata.get(_MOST, MOST_ITEMS), declared.metadata.get(_LEAST, 0)
    if len(parts) > most:
        raise error(f"{name} must be {f'{least} to' if least else 'at most'} {most}, not {len(parts)}")


def check_bounds(settings: Any, error: type[ValueError] = ValueError) -> None:
    """Check all fields declared with `bounded`.

    Args:
        settings: The frozen dataclass that was just made.
        error: The exception to raise.

    Raises:
        ValueError: A field has a value of another kind or outside its range; the message names field, range and value.
    """
    for each in fields(settings):
        allowed = range_of(each)
        if allowed is None:
            continue
        value = getattr(settings, each.name)
        if value not in allowed:
            name = allowed.label or each.name
            if allowed.whole and not (isinstance(value, Integral) and not isinstance(value, bool)):
                raise error(f"{name} must be a whole number in {allowed}, not {shown(value)}")
            raise error(f"{name} must lie in {allowed}, not {shown(value)}")


def shown(value: object) -> str:
    """Return a refused value as a message repeats it: on one line and never long."""
    if isinstance(value, int) and abs(value) >= 10**_SHOWN:
        return "a whole number of more than 60 digits"  # Python refuses to print the longest ones
    text = value if isinstance(value, str) else repr(value) if isinstance(value, (int, float)) else type(value).__name__
    return repr(text[:_SHOWN]) if isinstance(value, str) else text[:_SHOWN]

"""A visitor's view, which is stored in the query parameters of the URL.

A released slider writes gamma, alpha or k. Every other widget is bound to the parameter with the name of its key
(`bind="query-params"`). This module defines the meaning and range of each parameter, and the messages about invalid
values in links.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

from app.session import given_patches
from app.session.link_checks import invalid_value
from fpc_core.config import (
    MODEL_STRATEGIES,
    DropStrategy,
    PruneSettings,
    QuerySettings,
    Solver,
    TransportSettings,
    Variant,
)

# Minimum, maximum and step of each slider.
GAMMA = (0.3, 1.0, 0.05)
ALPHA = (0.0, 1.0, 0.01)
NEIGHBORS = (1, 20, 1)
EPSILON = (0.005, 0.2, 0.005)
_DEFAULT = QuerySettings()
_T = TypeVar("_T")


@dataclass(frozen=True)
class Pin:
    """A pinned patch. Its text form is, for example, "q17".

    Attributes:
        side: "q" for the query, "g" for the gallery image.
        patch: Row-major position in the patch grid.
    """

    side: str
    patch: int

    def __str__(self) -> str:
        return f"{self.side}{self.patch}"

    @classmethod
    def parse(cls, text: str) -> Pin:
        """Return the pin for a text. Raises ValueError unless the text is q or g followed by a number."""
        if not re.fullmatch(r"[qg]\d{1,6}", text, re.ASCII):
            raise ValueError(text)
        return cls(text[0], int(text[1:]))


@dataclass(frozen=True)
class View:
    """Query, selection and settings of a visitor.

    Attributes:
        query: Name of the query; empty for the default query of the dataset.
        neighbor: Gallery row of the selected hit; None for the best one.
        rival: Gallery row of the hit that the selected one is compared with; None to choose it automatically.
        pin: Pinned patch, or None.
        settings: Query settings.
    """

    query: str = ""
    neighbor: int | None = None
    rival: int | None = None
    pin: Pin | None = None
    settings: QuerySettings = field(default_factory=QuerySettings)

    def to_params(self, variant: Variant = _DEFAULT.variant) -> dict[str, str]:
        """Return the view as query parameters, without defaults; `variant` is the visitor's default variant."""
        settings, default, model = self.settings, _DEFAULT, self.settings.prune.of_model
        pairs: list[tuple[str, Any, Any]] = [
            ("query", self.query, ""),
            ("neighbor", self.neighbor, None),
            ("rival", self.rival, None),
            ("pin", self.pin, None),
            ("gamma", settings.prune.keep_rate, default.prune.keep_rate),
            ("alpha", settings.alpha, default.alpha),
            ("k", settings.neighbors, default.neighbors),
            ("drop", plain_name(model.strategy), plain_name(default.prune.strategy)),
            ("given", given_patches.to_param(settings.prune), ""),
            ("variant", settings.variant.value, variant.value),
            ("solver", settings.transport.solver.value, default.transport.solver.value),
            ("epsilon", settings.transport.epsilon, default.transport.epsilon),
        ]
        return {name: str(value) for name, value, omitted in pairs if value != omitted}


def keep_rates() -> tuple[float, ...]:
    """Return all values of the keep-rate slider."""
    low, high, step = GAMMA
    return tuple(round(low + index * step, 4) for index in range(round((high - low) / step) + 1))


def write_slider_params(params: MutableMapping[str, str], values: Mapping[str, float | str]) -> None:
    """Write the values of gamma, alpha, k and given to the query parameters. A default value removes its parameter.

    Args:
        params: Query parameters to change.
        values: Values by the name of their query parameter.
    """
    default = {"gamma": _DEFAULT.prune.keep_rate, "alpha": _DEFAULT.alpha, "k": _DEFAULT.neighbors, "given": ""}
    for name, value in values.items():
        if value == default[name]:
            params.pop(name, None)
        elif params.get(name) != str(value):  # Every write sends a message to the browser.
            params[name] = str(value)


_LABELS = {
    "gamma": "the keep rate",
    "k": "K",
    "drop": "the drop strategy",
    "given": "the patches dropped by hand",
    "solver": "the transport solver",
    "variant": "the variant",
    "neighbor": "the selected image",
    "rival": "the image to compare with",
    "pin": "the pinned patch",
}
"""Names of query parameters in messages. Other parameters have the same name there as in the URL."""


def plain_name(choice: StrEnum) -> str:
    """Return a choice as it is shown on screen and in the URL, for example "non-salient" for "non_salient"."""
    return choice.value.replace("_", "-")


def read_view(params: Mapping[str, str], patches: int, rows: int | None = None) -> tuple[View, tuple[str, ...]]:
    """Return the view in query parameters, and a message for each invalid parameter, for which the default is used.

    Args:
        params: Query parameters of the link.
        patches: Number of patches in the model's grid, which limits pins.
        rows: Number of images in the gallery memory, which limits gallery rows; None for no limit.
    """
    problems: list[str] = []

    def take(name: str, parse: Callable[[str], _T], default: _T, expected: str) -> _T:
        text = params.get(name)
        if text is None:
            return default
        try:
            return parse(text)
        except ValueError:
            shown = plain_name(default) if isinstance(default, StrEnum) else default
            instead = "Ignoring it." if shown is None else f"Using {shown}."
            problems.append(invalid_value(_LABELS.get(name, name), text, expected, instead))
            return default

    prune = PruneSettings(
        keep_rate=take("gamma", _between(GAMMA), _DEFAULT.prune.keep_rate, _range_text(GAMMA)),
        strategy=take("drop", _strategy, _DEFAULT.prune.strategy, _choice_text(MODEL_STRATEGIES)),
    )
    prune = take("given", given_patches.reader(prune, patches), None, given_patches.expected(patches)) or prune
    transport = TransportSettings(
        solver=take("solver", Solver, _DEFAULT.transport.solver, _choice_text(Solver)),
        epsilon=take("epsilon", _between(EPSILON), _DEFAULT.transport.epsilon, _range_text(EPSILON)),
    )
    settings = QuerySettings(
        prune=prune,
        transport=transport,
        variant=take("variant", Variant, _DEFAULT.variant, _choice_text(Variant)),
        alpha=take("alpha", _between(ALPHA), _DEFAULT.alpha, _range_text(ALPHA)),
        neighbors=take("k", _neighbors, _DEFAULT.neighbors, _range_text(NEIGHBORS, "it must be a whole number from")),
    )
    of_memory = "it must be a row of the gallery memory" + (f", 0 to {rows - 1}" if rows else "")
    neighbor, rival = (take(name, _row(rows), None, of_memory) for name in ("neighbor", "rival"))
    pin = take("pin", _pin(patches), None, f"it must be q or g and a patch in 0 to {patches - 1}, as in q17")
    return View(params.get("query", ""), neighbor, rival, pin, settings), tuple(problems)


def _between(bounds: tuple[float, float, float]) -> Callable[[str], float]:
    def parse(text: str) -> float:
        value = float(text)
        if not bounds[0] <= value <= bounds[1]:
            raise ValueError(text)
        return value

    return parse


def _neighbors(text: str) -> int:
    _between(NEIGHBORS)(text)
    return int(text)


def _strategy(text: str) -> DropStrategy:
    strategy = DropStrategy(text.replace("-", "_"))
    if strategy not in MODEL_STRATEGIES:
        raise ValueError(text)
    return strategy


def _row(rows: int | None) -> Callable[[str], int | None]:
    def parse(text: str) -> int:
        value = int(text)
        if value < 0 or (rows is not None and value >= rows):
            raise ValueError(text)
        return value

    return parse


def _pin(patches: int) -> Callable[[str], Pin | None]:
    def parse(text: str) -> Pin:
        pin = Pin.parse(text)
        if pin.patch >= patches:
            raise ValueError(text)
        return pin

    return parse


def _range_text(bounds: tuple[float, float, float], prefix: str = "the allowed range is") -> str:
    return f"{prefix} {bounds[0]:g} to {bounds[1]:g}"


def _choice_text(choices: Iterable[StrEnum]) -> str:
    return "it must be one of " + ", ".join(plain_name(choice) for choice in choices)

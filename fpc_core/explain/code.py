"""Lines of Python and of the shell that repeat a search."""

from __future__ import annotations

import shlex
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from pathlib import Path

from fpc_core.config import DropStrategy, QuerySettings
from fpc_core.workspace import Places, build_options


def python_lines(query: str, settings: QuerySettings, places: Places) -> str:
    """Return Python code that opens a workspace and searches for a query.

    Args:
        query: Path of an image file, or of a query in the dataset.
        settings: Settings of the search.
        places: Paths of the workspace. Those of the environment are left out.
    """
    default = Places.from_environment()
    opened = "" if places == default else _call(places, default)
    lines = ["import fpc_core"]
    if "Path(" in opened:
        lines.insert(0, "from pathlib import Path\n")
    return "\n".join(
        (
            *lines,
            "",
            f"workspace = fpc_core.open_workspace({opened})",
            f"settings = {_call(settings, QuerySettings())}",
            f"result = workspace.search({query!r}, settings)",
            "result.to_pandas(10)",
        )
    )


def shell_line(query: str, settings: QuerySettings, places: Places) -> str:
    """Return the command that prints the rankings of a query.

    The command has no options for epsilon and the dropping blocks, so it uses their default values.

    Args:
        query: Path of an image file, or of a query in the dataset.
        settings: Settings of the search.
        places: Paths of the workspace. Those of the environment are left out.

    Raises:
        ValueError: The settings drop given patches, which the command cannot take.
    """
    if settings.prune.strategy is DropStrategy.GIVEN:
        raise ValueError("the command line cannot take given patches; use Python")
    default, default_places = QuerySettings(), Places.from_environment()
    options = {
        "keep-rate": (settings.prune.keep_rate, default.prune.keep_rate),
        "drop": (settings.prune.strategy.value, default.prune.strategy.value),
        "alpha": (settings.alpha, default.alpha),
        "neighbors": (settings.neighbors, None),  # Its default depends on the dataset.
        "solver": (settings.transport.solver.value, default.transport.solver.value),
        "variant": (settings.variant.value, default.variant.value),
        "data": (places.data, default_places.data),
        "weights": (places.weights, default_places.weights),
        "memory": (places.memory, default_places.memory),
        "protocol": (places.protocol, default_places.protocol),
        "cameras": (places.cameras, default_places.cameras),
    }
    words = [f"--{name} {_word(value)}" for name, (value, omitted) in options.items() if value != omitted]
    return " ".join(("python -m fpc_core query", shlex.quote(query), *words)) + build_options(places)


def _word(value: object) -> str:
    return shlex.quote(f"{value:g}" if isinstance(value, float) else str(value))


def _call(value: object, default: object) -> str:
    """Return the constructor call of a frozen dataclass, with the fields that differ from `default`."""
    assert is_dataclass(value)
    named = [
        f"{field.name}={_source(getattr(value, field.name), getattr(default, field.name, MISSING))}"
        for field in fields(value)
        if getattr(value, field.name) != getattr(default, field.name, MISSING)
    ]
    return f"fpc_core.{type(value).__name__}({', '.join(named)})"


def _source(value: object, default: object) -> str:
    if is_dataclass(value):
        return _call(value, default)
    if isinstance(value, Enum):
        return f"fpc_core.{type(value).__name__}.{value.name}"
    return f"Path({str(value)!r})" if isinstance(value, Path) else repr(value)

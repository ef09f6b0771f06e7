"""The printed Python and shell commands repeat the search that they describe."""

import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fpc_core.cli import COMMANDS
from fpc_core.cli.arguments import build_parser
from fpc_core.cli.workspace_args import places_from, settings_from
from fpc_core.config import DropStrategy, PruneSettings, QuerySettings, Solver, TransportSettings, Variant
from fpc_core.explain.code import python_lines, shell_line
from fpc_core.workspace import Places, open_workspace

SETTINGS = [
    QuerySettings(neighbors=3),
    QuerySettings(
        PruneSettings(0.6, DropStrategy.RANDOM),
        TransportSettings(Solver.EXACT),
        Variant.PAPER,
        alpha=0.35,
        neighbors=2,
        shortlist=5,
    ),
]
BY_HAND = QuerySettings(PruneSettings().with_given(((0, 3), (), (7,))), neighbors=2)


@pytest.mark.parametrize("settings", [*SETTINGS, BY_HAND])
@pytest.mark.parametrize("named", [False, True])
def test_the_python_lines_repeat_the_search(settings, named, small_places, monkeypatch):
    if not named:
        for name in ("data", "weights", "memory"):
            monkeypatch.setenv(f"FPC_{name.upper()}", str(getattr(small_places, name)))
    query = open_workspace(small_places, "cpu").dataset.query[0].path.as_posix()
    code = python_lines(query, settings, small_places)
    assert ("fpc_core.Places(" in code) is named
    scope = {}
    exec(code, scope)
    expected = open_workspace(small_places, "cpu").search(query, settings)
    assert scope["settings"] == settings
    np.testing.assert_array_equal(scope["result"].trace.final.distance, expected.trace.final.distance)


@pytest.mark.parametrize("settings", SETTINGS)
def test_the_shell_line_has_the_settings_and_places(settings, small_places):
    settings, places = replace(settings, shortlist=100), replace(small_places, variant=settings.variant.value)
    line = shell_line("query/a b.jpg", settings, places)
    assert line.startswith("python -m fpc_core query 'query/a b.jpg' --")
    args = build_parser(COMMANDS).parse_args(shlex.split(line)[3:])
    assert args.image == Path("query/a b.jpg")
    assert places_from(args) == places
    assert settings_from(args, None) == settings


def test_the_usual_settings_need_no_options():
    assert shell_line("a.jpg", QuerySettings(), Places()) == "python -m fpc_core query a.jpg --neighbors 10"
    assert "fpc_core.open_workspace()\nsettings = fpc_core.QuerySettings()" in python_lines(
        "a.jpg", QuerySettings(), Places()
    )


def test_the_shell_cannot_repeat_a_search_with_given_patches():
    with pytest.raises(ValueError, match="the command line cannot take given patches; use Python"):
        shell_line("a.jpg", BY_HAND, Places())

"""The same limits apply to numbers in all settings and recipes, and errors name field, value and range."""

import json
import math
import threading
import time
from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from fpc_core.bounds import range_of
from fpc_core.config import MAX_ITERATIONS, MapSettings, PruneSettings, QuerySettings, TransportSettings
from fpc_core.data.occluders import Rectangle, SceneRecipe, Stroke
from fpc_core.evaluation.metrics.bootstrap import Bootstrap
from fpc_core.evaluation.paper_tables.score_recipe import ScoreRecipe
from fpc_core.figures.recipe import FigureKind, FigureRecipe
from fpc_core.figures.style import FigureStyle
from fpc_core.io.dataclass_json import RecipeError
from fpc_core.matching import sinkhorn
from fpc_core.matching.transport import solve
from fpc_core.runtime.interruption import interruptible
from fpc_core.training.settings import TrainSettings

NO_NUMBERS = [math.nan, math.inf, -math.inf, 10**400, -(10**5000), 1e300, True, "1", [1], None, [[[1]]]]
SETTINGS = [PruneSettings, TransportSettings, QuerySettings, Bootstrap, FigureStyle, TrainSettings, ScoreRecipe]
BOUNDED = [(kind, each.name) for kind in SETTINGS for each in fields(kind) if range_of(each)]
FIGURE = FigureRecipe(FigureKind.TRANSPORT, ("a.png",))
RECIPES = {FigureRecipe: FIGURE, SceneRecipe: SceneRecipe(), ScoreRecipe: ScoreRecipe()}


@pytest.mark.parametrize("value", NO_NUMBERS, ids=lambda value: str(type(value).__name__))
@pytest.mark.parametrize(("kind", "name"), BOUNDED, ids=lambda each: getattr(each, "__name__", each))
def test_a_bounded_field_accepts_no_value_outside_its_range(kind, name, value):
    allowed = next(range_of(each) for each in fields(kind) if each.name == name)
    with pytest.raises(ValueError, match="must") as refusal:
        kind(**{name: value})
    assert (allowed.label or name) in str(refusal.value)
    assert str(allowed) in str(refusal.value)
    assert len(str(refusal.value)) < 200


@pytest.mark.parametrize("kind", SETTINGS)
def test_every_number_of_settings_is_declared_with_a_range(kind):
    numbers = [each for each in fields(kind) if each.type in ("int", "float")]
    assert [each.name for each in numbers if range_of(each) is None] == []


@pytest.mark.parametrize("value", NO_NUMBERS, ids=lambda value: str(type(value).__name__))
@pytest.mark.parametrize("name", ["hits", "flows", "identity"])
def test_a_figure_accepts_no_number_outside_its_range(name, value):
    with pytest.raises(RecipeError, match=name):
        replace(FIGURE, **{name: value})


@pytest.mark.parametrize("value", [math.nan, 10**400, True, "1", [1]], ids=lambda value: type(value).__name__)
def test_blocks_indices_axes_and_shapes_accept_numbers_only(value):
    for make in (
        lambda: PruneSettings(blocks=(value,)),
        lambda: PruneSettings(blocks=tuple(range(65))),
        lambda: MapSettings(index=value),
        lambda: replace(FIGURE, keep_rates=(value,) if not isinstance(value, (bool, str)) else (value, 0.5)),
        lambda: Rectangle(x=value),
        lambda: Stroke(points=((0.0, value),)),
    ):
        with pytest.raises((ValueError, RecipeError), match="must"):
            make()


@pytest.mark.parametrize("kind", list(RECIPES))
@pytest.mark.parametrize(
    ("path", "value", "allowed"),
    [
        ("transport.max_iterations", 9e18, "1..50000"),
        ("transport.max_iterations", 9 * 10**18, "1..50000"),
        ("transport.max_iterations", 1e30, "1..50000"),
        ("transport.max_iterations", 50_001, "1..50000"),
        ("transport.tolerance", 1e-300, "[1e-12, 2]"),
        ("transport.epsilon", 1e-300, "[0.0001, 100]"),
        ("transport.epsilon", [[0.1]], "[0.0001, 100]"),
        ("prune.seed", 1e30, "0..9223372036854775807"),
        ("prune.seed", 10**30, "0..9223372036854775807"),
        ("prune.keep_rate", "most", "(0, 1]"),
        ("shortlist", 10**9, "1..1000"),
        ("neighbors", False, "1..1000"),
        ("alpha", math.nan, "[0, 1]"),
    ],
)
def test_a_recipe_out_of_range_names_field_and_range(kind, path, value, allowed):
    content = json.loads(RECIPES[kind].to_json())
    inner = content["settings"]
    *way, name = path.split(".")
    for each in way:
        inner = inner[each]
    inner[name] = value
    with pytest.raises(RecipeError) as refusal:
        kind.from_json(json.dumps(content))
    message = str(refusal.value)
    assert any(each in message for each in (name, "keep rate", "K must"))
    assert allowed in message
    assert "settings" in message
    assert "got " in message


def problem(count=24, rows=60, columns=70):
    rng = np.random.default_rng(3)
    cost = torch.from_numpy(rng.random((count, rows, columns), dtype=np.float32))
    a, b = (torch.from_numpy(rng.random((count, size), dtype=np.float32)) for size in (rows, columns))
    return cost, a / a.sum(1, keepdim=True), b / b.sum(1, keepdim=True)


def test_solving_in_parts_changes_no_bit(monkeypatch):
    how = TransportSettings(epsilon=0.02, tolerance=1e-6, max_iterations=500)
    whole = solve(*problem(), how)
    monkeypatch.setattr(sinkhorn, "_MAX_CELLS", 1)
    parts = solve(*problem(), how)
    for name in ("distance", "iterations", "marginal_error", "query_potential", "gallery_potential"):
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))


class RunEnded(BaseException):
    """An error that ends a computation, as Streamlit raises one to end a run."""


def test_a_long_solution_can_be_interrupted():
    hardest = TransportSettings(tolerance=1e-12, max_iterations=MAX_ITERATIONS)
    passed = []

    def check():
        passed.append(time.perf_counter())
        if len(passed) == 3:
            raise RunEnded

    with pytest.raises(RunEnded), interruptible(check):
        solve(*problem(count=64, rows=124, columns=242), hardest)
    assert len(passed) == 3


def test_the_solver_enforces_its_iteration_limit():
    cost, a, b = (each.numpy() for each in problem())
    for count in (0, MAX_ITERATIONS + 1, 9 * 10**18):
        with pytest.raises(ValueError, match="max_iterations must be in 1"):
            sinkhorn.sinkhorn_cpu(cost, a, b, 0.05, 1e-3, count)


def test_other_threads_run_during_a_solution():
    ticks, done = [], threading.Event()

    def work():
        solve(*problem(count=4, rows=124, columns=242), TransportSettings(tolerance=1e-12, max_iterations=20_000))
        done.set()

    thread = threading.Thread(target=work)
    thread.start()
    while not done.wait(0.001):
        ticks.append(1)
    thread.join()
    assert len(ticks) > 20

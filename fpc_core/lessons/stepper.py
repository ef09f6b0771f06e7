"""Data of the Sinkhorn stepper, which `stepper.js` shows in the app and in the exported lesson."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fpc_core.config import ModelConfig
from fpc_core.data.browser_encoding import encode_float32
from fpc_core.lessons.sinkhorn_runs import TOY_NAMES, Problem, Run, Runs, Snapshot
from fpc_core.lessons.step import number
from fpc_core.matching.sinkhorn_trace import FittedSide

_HERE = Path(__file__).parent
SCRIPT = (_HERE / "stepper.js").read_text(encoding="utf-8")
STYLE = (_HERE / "stepper.css").read_text(encoding="utf-8")


def stepper_data(runs: Runs, config: ModelConfig, pictures: Sequence[str], names: Sequence[str]) -> dict[str, Any]:
    """Return JSON values for `new SinkhornStepper(root).show(data)` in `stepper.js`.

    Large arrays are encoded by `encode_float32`: the ground costs, and for each run the potentials of its snapshots,
    (snapshots, M + N), f before g. The plan of a snapshot is exp((f + g - cost) / epsilon).

    Args:
        runs: Sinkhorn runs of the toy problem and of the pair of images.
        config: Architecture of the model.
        pictures: Data URIs of query and hit.
        names: Names of query and hit.
    """
    (rows, columns), (height, width) = config.grid, config.image_size
    return {
        "toy": _problem(runs.toy) | {"names": [*TOY_NAMES]},
        "pair": _problem(runs.pair) | {"rows": runs.rows.tolist()},
        "pictures": list(pictures),
        "names": list(names),
        "grid": {
            "rows": rows,
            "columns": columns,
            "stride": config.stride,
            "patch": config.patch_size,
            "width": width,
            "height": height,
        },
    }


def _problem(problem: Problem) -> dict[str, Any]:
    shape, exact = problem.cost.shape, np.argwhere(problem.exact > 0)
    flows = [[int(m), int(n), float(problem.exact[m, n])] for m, n in exact]
    return {
        "shape": list(shape),
        "cost": encode_float32(problem.cost),
        "a": problem.a.tolist(),
        "b": problem.b.tolist(),
        "start": list(problem.start),
        "runs": [_run(run) for run in problem.runs],
        "exact": {
            "flows": flows,
            "description": f"The exact plan: {len(flows)} flows, cost {number(problem.exact_cost)}.",
        },
    }


def _run(run: Run) -> dict[str, Any]:
    potentials = np.stack([np.concatenate([each.f, each.g]) for each in run.snapshots])
    descriptions = [_describe(each) for each in run.snapshots]
    if not run.settled:
        descriptions[-1] += " It has not converged, because a small ε needs more iterations than are stored here."
    return {
        "epsilon": run.epsilon,
        "name": f"ε = {run.epsilon:g}",
        "potentials": encode_float32(potentials),
        "iterations": [each.iteration for each in run.snapshots],
        "fitted": [each.fitted.value for each in run.snapshots],
        "descriptions": descriptions,
    }


def _describe(snapshot: Snapshot) -> str:
    if snapshot.fitted is FittedSide.NONE:
        return (
            "Start: kernel K = exp(−cost/ε). Cheap matches are large, but rows and columns don't sum to their "
            "targets yet."
        )
    other = "columns" if snapshot.fitted is FittedSide.ROWS else "rows"
    off = f"the {other} are off by {number(snapshot.error)}"
    return f"Iteration {snapshot.iteration}, {snapshot.fitted.value} scaled: {off}; cost {number(snapshot.cost)}."

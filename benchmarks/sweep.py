"""Compare a sweep of the demo in one run with separate runs of its cells.

    python -m benchmarks.sweep [--samples 6] [--threads N]

The script prints a Markdown table. The sweep has 6 keep rates x 11 alphas x 4 values of K for all queries, and stores
nothing on disk. Separate runs of all 264 cells would take an hour. Therefore only `samples` cells, spread over the
grid, run between parts of the sweep, and the total is extrapolated from their mean. The scores of every sampled cell
must be equal to those of the sweep.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import numpy as np
import torch

import fpc_core.model  # noqa: F401  must come before timm
from fpc_core.config import QuerySettings
from fpc_core.evaluation.engine.runner import run_passes
from fpc_core.evaluation.sweep.task import SweepGrid, SweepTask
from fpc_core.results import Scores
from fpc_core.workspace import Places, open_workspace


def alone(task: SweepTask, cell: tuple[float, float, int]) -> Scores:
    """Run a sweep that consists of a single cell, and return its scores."""
    rate, alpha, neighbors = cell
    small = replace(task, grid=SweepGrid((rate,), (alpha,), (neighbors,)))
    return dict(run_passes(small.work))[small.pass_of(rate)].scores(0)


def sampled(grid: SweepGrid, count: int) -> list[tuple[float, float, int]]:
    """Return `count` cells that are spread over all keep rates, alphas and values of K."""
    rates, alphas, neighbors = grid.keep_rates, grid.alphas, grid.neighbors
    return [
        (rates[index % len(rates)], alphas[index * 5 % len(alphas)], neighbors[index % len(neighbors)])
        for index in range(count)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=6, help="number of cells that run separately")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    workspace = open_workspace(Places(), "cpu")
    grid = SweepGrid()
    task = SweepTask(workspace.retriever, workspace.dataset, grid, QuerySettings(neighbors=1))
    list(
        run_passes(replace(task, dataset=replace(workspace.dataset, query=workspace.dataset.query[:1])).work)
    )  # Warm-up run.

    samples = sampled(grid, arguments.samples)
    steps = len(task.queries) * len(grid.keep_rates)
    turns = [round(steps * (index + 1) / (len(samples) + 1)) for index in range(len(samples))]
    run, known = run_passes(task.work), {}
    whole, cells, separate = 0.0, [], []
    for step in range(steps):
        start = time.perf_counter()
        eval_pass, known[eval_pass] = next(run)
        whole += time.perf_counter() - start
        if step + 1 in turns:  # Both run in turn, so that a slow phase of the machine affects both.
            start = time.perf_counter()
            separate.append(alone(task, samples[turns.index(step + 1)]))
            cells.append(time.perf_counter() - start)
    for cell, scores in zip(samples, separate, strict=True):
        rate, alpha, neighbors = cell
        ours = known[task.pass_of(rate)].scores(task.point_index(alpha, neighbors))
        if not np.array_equal(ours.average_precision, scores.average_precision):
            raise SystemExit(f"the scores of cell {cell} differ between the sweep and its separate run")

    each, count = float(np.mean(cells)), len(task.work.passes) * len(task.work.passes[0].points)
    print(f"{torch.get_num_threads()} threads, {len(task.queries)} queries, {count} cells\n")
    print("| | s | |\n|---|---|---|")
    print(f"| one cell alone, mean of {len(samples)} ({min(cells):.1f} to {max(cells):.1f}) | {each:.2f} | |")
    print(f"| all {count} cells separately, extrapolated | {each * count:.0f} | 1 |")
    print(f"| the whole sweep in one run | {whole:.1f} | {each * count / whole:.0f}x cheaper |")
    print(f"\nThe {len(samples)} sampled cells have exactly the scores that the sweep gives them.")


if __name__ == "__main__":
    main()

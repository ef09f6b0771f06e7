"""The whole sweep of the demo in one run, against running each of its cells by itself.

    python -m benchmarks.sweep [--samples 6] [--threads N]

Prints a Markdown table. The sweep: 6 keep rates x 11 alphas x 4 Ks, all queries, nothing kept on disk. A cell by itself
is a sweep of one cell; running all 264 would take an hour, so `samples` of them, spread over the grid, are run between
parts of the sweep and their mean stands for the rest. Every sampled cell must have the very scores the sweep gives it.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import numpy as np
import torch

import fpc_core  # noqa: F401  before timm
from fpc_core.config import QuerySettings
from fpc_core.evaluation.engine.runner import run_passes
from fpc_core.evaluation.sweep.task import SweepGrid, SweepTask
from fpc_core.results import Scores
from fpc_core.workspace import Places, open_workspace


def alone(task: SweepTask, cell: tuple[float, float, int]) -> Scores:
    """A sweep of this cell and no other."""
    rate, alpha, neighbors = cell
    small = replace(task, grid=SweepGrid((rate,), (alpha,), (neighbors,)))
    return dict(run_passes(small.work))[small.pass_of(rate)].scores(0)


def sampled(grid: SweepGrid, count: int) -> list[tuple[float, float, int]]:
    """Cells spread over the grid: every keep rate, alpha and K has its turn."""
    rates, alphas, neighbors = grid.keep_rates, grid.alphas, grid.neighbors
    return [
        (rates[place % len(rates)], alphas[place * 5 % len(alphas)], neighbors[place % len(neighbors)])
        for place in range(count)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=6, help="cells run by themselves")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    workspace = open_workspace(Places(), "cpu")
    grid = SweepGrid()
    task = SweepTask(workspace.retriever, workspace.dataset, grid, QuerySettings(neighbors=1))
    list(run_passes(replace(task, dataset=replace(workspace.dataset, query=workspace.dataset.query[:1])).work))  # warm

    samples = sampled(grid, arguments.samples)
    steps = len(task.queries) * len(grid.keep_rates)
    turns = [round(steps * (place + 1) / (len(samples) + 1)) for place in range(len(samples))]
    run, known = run_passes(task.work), {}
    whole, cells, found = 0.0, [], []
    for step in range(steps):
        start = time.perf_counter()
        asked, known[asked] = next(run)
        whole += time.perf_counter() - start
        if step + 1 in turns:  # so that a slow minute of the machine slows both
            start = time.perf_counter()
            found.append(alone(task, samples[turns.index(step + 1)]))
            cells.append(time.perf_counter() - start)
    for cell, scores in zip(samples, found, strict=True):
        rate, alpha, neighbors = cell
        ours = known[task.pass_of(rate)].scores(task.point_index(alpha, neighbors))
        if not np.array_equal(ours.average_precision, scores.average_precision):
            raise SystemExit(f"cell {cell} of the sweep differs from the same cell by itself")

    each, count = float(np.mean(cells)), len(task.work.passes) * len(task.work.passes[0].points)
    print(f"{torch.get_num_threads()} threads, {len(task.queries)} queries, {count} cells\n")
    print("| | s | |\n|---|---|---|")
    print(f"| one cell by itself, mean of {len(samples)} ({min(cells):.1f} to {max(cells):.1f}) | {each:.2f} | |")
    print(f"| all {count} cells by themselves, extrapolated | {each * count:.0f} | 1 |")
    print(f"| the whole sweep in one run | {whole:.1f} | {each * count / whole:.0f}x cheaper |")
    print(f"\nThe {len(samples)} sampled cells have exactly the scores that the sweep gives them.")


if __name__ == "__main__":
    main()

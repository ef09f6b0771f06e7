"""Compare one evaluation of all the paper's tables on the demo with one evaluation per table, and with stored results.

    python -m benchmarks.evaluate [--queries N] [--threads N]

The script prints a Markdown table. The single tables run just before the joint evaluation, so that a slow phase of the
machine affects both, and all scores must be equal. Only the joint evaluation stores results, for a second visit.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch

import fpc_core.model  # noqa: F401  must come before timm
from fpc_core.config import QuerySettings
from fpc_core.evaluation.engine.result_store import ResultStore
from fpc_core.evaluation.engine.runner import run_passes, run_with_store
from fpc_core.evaluation.paper_tables.definitions import NAMES, Setting, tables_of
from fpc_core.evaluation.paper_tables.task import EvaluationTask, evaluation_task
from fpc_core.workspace import Places, open_workspace


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--queries", type=int, help="number of queries, the first of the demo (default: all)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    workspace = open_workspace(Places(), "cpu")
    dataset = replace(workspace.dataset, query=workspace.dataset.query[: arguments.queries])
    setting = Setting(QuerySettings(), workspace.retriever.model.config)

    def task_of(*names: str) -> EvaluationTask:
        return evaluation_task(workspace.retriever, dataset, tables_of(names, setting))

    def timed(task: EvaluationTask, store: ResultStore | None = None) -> tuple[float, tuple]:
        start = time.perf_counter()
        filled = task.filled(run_with_store(task.work, store).known)
        return time.perf_counter() - start, filled

    warm = task_of("3")
    list(run_passes(replace(warm.work, queries=dataset.query[:1])))
    alone = {name: timed(task_of(name)) for name in NAMES}
    with tempfile.TemporaryDirectory() as folder:
        store = ResultStore(Path(folder))
        whole, tables = timed(task_of(*NAMES), store)
        again, _ = timed(task_of(*NAMES), store)
    if [[row.ours for row in table.rows] for table in tables] != [
        [row.ours for row in table.rows] for _, separate in alone.values() for table in separate
    ]:
        raise SystemExit("the scores of a table differ between its own evaluation and the joint one")

    steps = task_of(*NAMES).work.total
    apart = sum(seconds for seconds, _ in alone.values())
    print(f"{torch.get_num_threads()} threads, {len(dataset.query)} queries, {len(dataset.gallery)} gallery images\n")
    print("| | steps | s | |\n|---|---|---|---|")
    for name, (seconds, _) in alone.items():
        print(f"| {name} alone | {task_of(name).work.total:,} | {seconds:.1f} | |")
    print(f"| all, one after another | | {apart:.1f} | 1 |")
    print(f"| all in one run, stored on disk | {steps:,} | {whole:.1f} | {apart / whole:.1f}x cheaper |")
    print(f"| a second visit, intervals included | 0 | {again:.2f} | |")


if __name__ == "__main__":
    main()

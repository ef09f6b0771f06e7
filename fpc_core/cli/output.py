"""The text of `query`, and output that several commands share: progress bars, and notes below rankings and scores."""

from __future__ import annotations

from collections.abc import Callable
from typing import TextIO

from tqdm import tqdm

from fpc_core.results import QueryTrace
from fpc_core.workspace import Workspace


def query_text(workspace: Workspace, trace: QueryTrace, top: int) -> str:
    """Return the results of one search as text: kept patches, three rankings side by side, attention and timings.

    Args:
        workspace: Workspace that was searched.
        trace: Results of the search.
        top: Number of hits of each ranking.
    """
    model, memory = workspace.retriever.model, workspace.retriever.memory
    kept_counts = " ".join(f"block {stage.block}: {stage.kept.shape[1]}" for stage in trace.encoding.stages)
    lines = [f"patches {model.config.patches}, kept after {kept_counts}", ""]
    rankings = {"cosine": trace.by_cosine, "D": trace.by_distance, "consolidated": trace.final}
    columns = {name: ranking.first(top) for name, ranking in rankings.items()}
    lines.append("rank  " + "  ".join(f"{name:>34}" for name in columns))
    for index in range(min(top, len(memory))):
        hits = []
        for ranking in columns.values():
            hit = ""
            if index < len(ranking.indices):  # The shortlist is shorter than the gallery.
                record = memory.records[int(ranking.indices[index])]
                hit = f"{record.path.name[-26:]} {ranking.distance[index]:7.4f}"
            hits.append(f"{hit:>34}")
        lines.append(f"{index + 1:>4}  " + "  ".join(hits))
    shares = trace.consolidation
    lines += [
        "",
        f"decoder attention (Eq. 13): [cls] {shares.cls_share:.1%}, query {shares.query_share:.1%}, "
        f"neighbours {shares.neighbor_shares.sum():.1%}",
        "milliseconds: " + ", ".join(f"{name} {1000 * value:.1f}" for name, value in trace.timings.items()),
    ]
    return "\n".join(lines)


def print_notes(workspace: Workspace, file: TextIO | None = None) -> None:
    """Print what affects all results: untrained or copied parts of the weights, and images that are left out.

    Args:
        workspace: Workspace that computed the results.
        file: Where to print; stdout by default.
    """
    for note in workspace.notes:
        print(f"note: {note}", file=file)


def progress_callback(bar: tqdm) -> Callable[[int, int], None]:
    """Return a callback that moves a progress bar, called with the number of completed steps and their total."""

    def show(done: int, total: int) -> None:
        if done < bar.n or total != bar.total:
            bar.reset(total)
        bar.update(done - bar.n)

    return show

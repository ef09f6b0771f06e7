"""Output that several commands share: progress bars and notes below rankings and scores."""

from __future__ import annotations

from collections.abc import Callable
from typing import TextIO

from tqdm import tqdm

from fpc_core.workspace import Workspace


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

"""Turn the common options of the command line into paths, a workspace and query settings."""

from __future__ import annotations

import argparse
import sys

from fpc_core.config import DropStrategy, PruneSettings, QuerySettings, Solver, TransportSettings, Variant
from fpc_core.data.datasets import Dataset
from fpc_core.runtime import distributed
from fpc_core.workspace import Places, Workspace, choose_device, open_workspace


def places_from(args: argparse.Namespace) -> Places:
    """Return the paths and settings in the options; missing paths are those of the environment or of the demo."""
    defaults = Places.from_environment()
    return Places(
        args.data or defaults.data,
        args.weights or defaults.weights,
        args.memory or defaults.memory,
        stride=args.stride,
        precision=args.precision or defaults.precision,
        image_size=args.image_size,
        heads=args.heads,
        mean_camera=args.mean_camera,
        protocol=args.protocol,
        cameras=args.cameras,
        variant=args.variant,
    )


def workspace_from(args: argparse.Namespace) -> Workspace:
    """Open the workspace that the options describe, and print the notes on its dataset.

    Raises:
        ValueError: See `open_workspace`, which also lists other errors.
    """
    device = distributed.local_device(choose_device(args.device))
    workspace = open_workspace(places_from(args), str(device), shortlist=args.shortlist)
    print_dataset_notes(workspace.dataset)
    return workspace


def print_dataset_notes(dataset: Dataset) -> None:
    """Print how a dataset was read to stderr, one line per note; under torchrun only in the first process."""
    if distributed.rank():
        return
    for note in dataset.notes:
        print(f"{'warning' if note.warning else 'note'}: {note.text}", file=sys.stderr)


def settings_from(args: argparse.Namespace, workspace: Workspace) -> QuerySettings:
    """Return the query settings in the options.

    Args:
        args: Options of the command.
        workspace: Workspace whose dataset sets K if the options do not.
    """
    return QuerySettings(
        prune=PruneSettings(args.keep_rate, DropStrategy(args.drop)),
        transport=TransportSettings(Solver(args.solver)),
        variant=Variant(args.variant),
        alpha=args.alpha,
        neighbors=args.neighbors or workspace.dataset.neighbors,
    )

"""The command `doctor`: check the installation, data, weights and gallery memory."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import shlex
import sys
from collections.abc import Callable

import torch

from fpc_core.cli.workspace_args import places_from
from fpc_core.config import Precision, QuerySettings
from fpc_core.data.datasets import Dataset
from fpc_core.data.images import to_tensor
from fpc_core.data.layouts.registry import spec_of
from fpc_core.data.protocols import PROTOCOL_TEXT
from fpc_core.evaluation.device_parity import checked_parity
from fpc_core.gallery.manifest import read_left_out
from fpc_core.gallery.readable import left_out_note, readable_dataset, without
from fpc_core.gallery.token_store import BUILD_COMMAND
from fpc_core.model.load_report import LoadReport
from fpc_core.runtime.out_of_memory import OutOfMemoryError
from fpc_core.workspace import Places, Workspace, build_options, choose_device, load_model, open_workspace

# A check is skipped if one of its prerequisites failed.
_PREREQUISITES: dict[str, set[str]] = {
    "data": set(),
    "weights": set(),
    "images": {"data"},
    "workspace": {"data", "weights"},
}
_SEARCH_PREREQUISITES = {"data", "weights", "workspace"}  # Prerequisites of all other checks, which run a search.


def run_doctor(args: argparse.Namespace) -> int:
    """Print installed versions and the result of each check; return status 1 if there is a problem."""
    print(f"python {sys.version.split()[0]}, {os.cpu_count()} CPU cores, {torch.get_num_threads()} torch threads")
    status = 0
    for name in (
        "torch",
        "timm",
        "streamlit",
        "plotly",
        "grad-cam",
        "opencv-python-headless",
        "POT",
        "numba",
        "pandas",
    ):
        try:
            print(f"  {name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            print(f"problem  {name} is not installed; run pip install -r requirements.txt")
            status = 1
    cuda = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    print(f"CUDA device: {cuda}; in use: {choose_device(args.device)}")
    places = places_from(args)

    def workspace() -> Workspace:
        return open_workspace(places, args.device, shortlist=args.shortlist)

    checks: list[tuple[str, Callable[[], object]]] = [
        ("data", lambda: _describe_dataset(places.open_dataset())),
        ("weights", lambda: _describe_weights(load_model(places)[1])),
        ("images", lambda: _check_images(places)),
        ("workspace", lambda: f"gallery memory of {len(workspace().retriever.memory)} images matches data and weights"),
        ("search", lambda: _check_self_retrieval(workspace())),
    ]
    if choose_device(args.device).type != "cpu" or places.precision != Precision.FLOAT32:
        checks.append(("parity with the CPU in float32", lambda: checked_parity(workspace())))
    failed: set[str] = set()
    for name, check in checks:
        if blocking := failed & _PREREQUISITES.get(name, _SEARCH_PREREQUISITES):
            print(f"skipped  {name}: fix the problem with the {' and the '.join(sorted(blocking))} first")
            continue
        try:
            print(f"ok       {name}: {check()}")
        except (ValueError, OSError, OutOfMemoryError) as error:
            print(f"problem  {name}: {str(error).replace(BUILD_COMMAND, _build_command(places))}")
            failed.add(name)
            status = 1
    return status


def _check_self_retrieval(workspace: Workspace) -> str:
    """Search for the first gallery image without dropping patches, and return at which rank it is; 1 is expected."""
    retriever, record = workspace.retriever, workspace.retriever.memory.records[0]
    image = workspace.image(record)
    camera = torch.tensor([record.camera]) if workspace.dataset.uses_cameras else None
    trace = retriever.search(to_tensor([image], retriever.model.config), QuerySettings().with_keep_rate(1.0), camera)
    rank = trace.match.shortlist.position(0) + 1
    return f"a gallery image is at rank {rank} of {len(retriever.memory)} in a search for itself"


def _check_images(places: Places) -> str:
    """Check that all images can be opened, except those that the gallery memory leaves out."""
    left_out = read_left_out(places.memory)
    dataset, _ = readable_dataset(without(places.open_dataset(), left_out))
    note = f"; {left_out_note(left_out)}" if left_out else ""
    return f"{len(dataset.query)} queries and {len(dataset.gallery)} gallery images can be opened{note}"


def _build_command(places: Places) -> str:
    """Return the build command with the paths and options in use; it replaces the general command in error messages."""
    paths = {"data": places.data, "weights": places.weights, "memory": places.memory}
    options = "".join(f" --{name} {shlex.quote(str(path))}" for name, path in paths.items())
    return f"python -m fpc_core memory build{options}{build_options(places)}"


def _describe_weights(report: LoadReport) -> str:
    """Return what a checkpoint contains and which results depend on untrained weights, one line per fact."""
    return "\n".join((str(report), *(f"  note: {note}" for note in report.notes)))


def _describe_dataset(dataset: Dataset) -> str:
    """Return the size, layout, cameras and protocol of a dataset and the notes on it, one line per fact."""
    counts = " ".join(f"{len(getattr(dataset, split))} {split}" for split in ("train", "query", "gallery"))
    people = len({record.identity for record in dataset.gallery})
    cameras = len({record.camera for record in (*dataset.query, *dataset.gallery)}) if dataset.uses_cameras else 0
    spec = spec_of(dataset.layout)
    lines = [
        f"{dataset.label}, {counts} images of {people} gallery identities and {cameras or 'no'} cameras",
        f"folders and names as in {spec.title if spec else dataset.layout} (layout {dataset.layout}), cameras "
        f"{dataset.cameras}",
        f"protocol {PROTOCOL_TEXT[dataset.protocol]}",
        *(f"{'warning' if note.warning else 'note'}: {note.text}" for note in dataset.notes),
    ]
    return "\n           ".join(lines)

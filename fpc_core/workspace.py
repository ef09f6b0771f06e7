"""Opens what a session works on: a dataset, a checkpoint and the gallery memory that belongs to both.

The app and the CLI open the same three things in the same order, with the same checks.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numba
import platformdirs
import torch
from threadpoolctl import threadpool_limits

from fpc_core.data.datasets import Dataset, open_dataset
from fpc_core.memory import fingerprint, open_memory
from fpc_core.model.checkpoint import LoadReport, load_checkpoint
from fpc_core.retrieval import Retriever

DEMO_ROOT = Path(__file__).resolve().parent.parent / "assets" / "demo"


@dataclass(frozen=True)
class Places:
    """Where a workspace lies: by default the demo; `from_environment` reads FPC_DATA, FPC_WEIGHTS and FPC_MEMORY."""

    data: Path = DEMO_ROOT
    weights: Path = DEMO_ROOT / "model.safetensors"
    memory: Path = DEMO_ROOT / "memory"

    @classmethod
    def from_environment(cls) -> Places:
        return cls(
            Path(os.environ.get("FPC_DATA", cls.data)),
            Path(os.environ.get("FPC_WEIGHTS", cls.weights)),
            Path(os.environ.get("FPC_MEMORY", cls.memory)),
        )


@dataclass(frozen=True, eq=False)
class Workspace:
    """A dataset, its weights and its memory, checked against each other."""

    places: Places
    dataset: Dataset
    weights: LoadReport
    retriever: Retriever
    device: torch.device


def cache_folder() -> Path:
    """Where results are kept between sessions: FPC_CACHE, else this user's cache folder. It need not exist yet."""
    return Path(os.environ.get("FPC_CACHE") or platformdirs.user_cache_path("fpc-explorer"))


def choose_device(name: str = "auto") -> torch.device:
    """`auto` takes CUDA where there is one, else the CPU. Raises ValueError for a device that is not here."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"unknown device {name!r}; use auto, cpu or cuda") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError("no CUDA device is available to this torch; use --device cpu")
    return device


def open_workspace(places: Places, device: str = "auto") -> Workspace:
    """Open dataset, weights and memory; the memory must have been built from exactly these two.

    Raises DatasetError, CheckpointError or GalleryMemoryError, each naming what is wrong and the remedy.
    """
    dataset = open_dataset(places.data)
    model, report = load_checkpoint(places.weights)
    memory = open_memory(places.memory, expect=fingerprint(model, dataset.gallery, dataset.root))
    chosen = choose_device(device)
    return Workspace(places, dataset, report, Retriever(model.to(chosen).eval(), memory), chosen)


def keep_to_one_core() -> None:
    """Have torch and numba use one core for what this thread computes; other threads keep theirs.

    torch.set_num_threads would also bind every thread that is born later.
    """
    numba.set_num_threads(1)
    torch.get_num_threads()  # both set this thread up when first asked; later they would undo the next line
    threadpool_limits(1, user_api="openmp")

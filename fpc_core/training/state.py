"""The files of a run: the state it goes on from, and its log. Only the first process writes.

No random state is saved: the randomness of a step is a function of seed and step. Nor is the training memory, which
can take gigabytes: the weights that made it are, and it is made again from them.
"""

from __future__ import annotations

import csv
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from fpc_core.io.atomic_write import atomic_write
from fpc_core.model.fpc import FPC
from fpc_core.training.settings import Progress, TrainSettings

STATE, LOG, WEIGHTS = "state.pt", "log.csv", "model.safetensors"
_COLUMNS = ("step", "stage", "loss", "learning_rate", "seconds")

Weights = dict[str, Tensor]


@dataclass(frozen=True)
class RunState:
    """Where a run stands. memory_weights: of the model when it last encoded the training memory; None before."""

    step: int = 0
    seconds: float = 0.0
    memory_weights: Weights | None = None


def save_state(
    folder: Path, state: RunState, model: FPC, optimizer: torch.optim.Optimizer, settings: TrainSettings, processes: int
) -> None:
    """`atomic_write`, by one process alone."""
    content = {
        "settings": asdict(settings),
        "processes": processes,
        "step": state.step,
        "seconds": state.seconds,
        "memory_weights": state.memory_weights,
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    with atomic_write(folder / STATE, exclusive=True) as place, place.open("wb") as file:
        torch.save(content, file)


def restore_state(
    folder: Path, model: FPC, optimizer: torch.optim.Optimizer, settings: TrainSettings, processes: int
) -> RunState:
    """Fill model and optimizer from the state in `folder`; a fresh RunState where there is none.

    Raises ValueError for the state of another recipe, model or number of processes, and for a damaged one.
    """
    path = folder / STATE
    if not path.is_file():
        return RunState()
    try:
        content = torch.load(path, weights_only=True, map_location="cpu")
        held, count = content["settings"], content["processes"]
    except Exception as error:  # torch reads damaged files with nearly every exception type
        raise ValueError(f"{path} is damaged or no state of a run; name another output folder or remove it") from error
    if held != asdict(settings):
        raise ValueError(f"{path} belongs to a run with other settings; name another output folder or remove it")
    if count != processes:
        raise ValueError(
            f"{path} belongs to a run of {count} processes, not {processes}; "
            "start as many, name another output folder or remove it"
        )
    try:
        model.load_state_dict(content["model"])
    except RuntimeError as error:
        raise ValueError(
            f"{path} belongs to another model or dataset; name another output folder or remove it"
        ) from error
    optimizer.load_state_dict(content["optimizer"])
    return RunState(content["step"], content["seconds"], content["memory_weights"])


def copy_weights(model: FPC) -> Weights:
    """A copy on the CPU, by name."""
    return {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}


def append_log(folder: Path, told: Progress) -> None:
    """Write one line to the log, and its heading before the first."""
    with (folder / LOG).open("a", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        if file.tell() == 0:
            writer.writerow(_COLUMNS)
        writer.writerow([told.step, told.stage, f"{told.loss:.4f}", f"{told.learning_rate:.2e}", f"{told.seconds:.0f}"])


def cut_log(folder: Path, step: int) -> None:
    """Drop the lines after `step`: of steps that were lost with the process that made them and are made again."""
    path = folder / LOG
    if path.is_file():
        whole = [line for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]
        path.write_text("".join([*whole[:1], *(line for line in whole[1:] if int(line.split(",")[0]) <= step)]))

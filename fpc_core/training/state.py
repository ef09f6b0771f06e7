"""Files of a training run, which only rank 0 writes: the state, from which the run can resume, and the log.

The state has no random state, because the random numbers of a step depend only on seed and step. Instead of the
training memory, which can take gigabytes, it has the weights that encoded it.
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
    """Progress of a run.

    Attributes:
        step: Number of steps done.
        seconds: Training time so far in seconds.
        memory_weights: Weights that encoded the training memory; None if it was not encoded yet.
    """

    step: int = 0
    seconds: float = 0.0
    memory_weights: Weights | None = None


def save_state(
    folder: Path, state: RunState, model: FPC, optimizer: torch.optim.Optimizer, settings: TrainSettings, processes: int
) -> None:
    """Write the state of a run atomically; only one process may call this.

    Args:
        folder: Output folder of the run.
        state: Progress of the run.
        model: Model of the run.
        optimizer: Optimizer of the model.
        settings: Settings of the run.
        processes: Number of processes.
    """
    content = {
        "settings": asdict(settings),
        "processes": processes,
        "step": state.step,
        "seconds": state.seconds,
        "memory_weights": state.memory_weights,
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    with atomic_write(folder / STATE, exclusive=True) as partial, partial.open("wb") as file:
        torch.save(content, file)


def restore_state(
    folder: Path, model: FPC, optimizer: torch.optim.Optimizer, settings: TrainSettings, processes: int
) -> RunState:
    """Load model and optimizer from the state in `folder`, if there is one, and return the progress of the run.

    Args:
        folder: Output folder of the run.
        model: Model to load the weights into.
        optimizer: Optimizer to load the state into.
        settings: Settings of the run.
        processes: Number of processes.

    Raises:
        ValueError: The state is damaged, or belongs to other settings, another model or another number of processes.
    """
    path = folder / STATE
    if not path.is_file():
        return RunState()
    try:
        content = torch.load(path, weights_only=True, map_location="cpu")
        stored_settings, count = content["settings"], content["processes"]
    except Exception as error:  # Torch raises almost any exception type on damaged files.
        raise ValueError(
            f"{path} is damaged or not the state of a training run; choose another output folder or delete it"
        ) from error
    # Settings that a later version has added had their defaults when the run started.
    if asdict(TrainSettings()) | stored_settings != asdict(settings):
        raise ValueError(f"{path} belongs to a run with other settings; choose another output folder or delete it")
    if count != processes:
        raise ValueError(
            f"{path} belongs to a run of {count} processes, not {processes}; "
            f"start {count} processes, choose another output folder or delete it"
        )
    try:
        model.load_state_dict(content["model"])
    except RuntimeError as error:
        raise ValueError(
            f"{path} belongs to another model or dataset; choose another output folder or delete it"
        ) from error
    optimizer.load_state_dict(content["optimizer"])
    return RunState(content["step"], content["seconds"], content["memory_weights"])


def copy_weights(model: FPC) -> Weights:
    """Return copies of all tensors of a model on the CPU, by name."""
    return {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}


def append_log(folder: Path, progress: Progress) -> None:
    """Append one line to the log, after the header if the log is new.

    Args:
        folder: Output folder of the run.
        progress: Progress to log.
    """
    with (folder / LOG).open("a", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        if file.tell() == 0:
            writer.writerow(_COLUMNS)
        writer.writerow(
            [
                progress.step,
                progress.stage,
                f"{progress.loss:.4f}",
                f"{progress.learning_rate:.2e}",
                f"{progress.seconds:.0f}",
            ]
        )


def cut_log(folder: Path, step: int) -> None:
    """Delete the lines of the log after `step`, and an incomplete last line, because these steps will be repeated.

    Args:
        folder: Output folder of the run.
        step: Last step whose line is not deleted.
    """
    path = folder / LOG
    if path.is_file():
        lines = [line for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]
        path.write_text("".join([*lines[:1], *(line for line in lines[1:] if int(line.split(",")[0]) <= step)]))

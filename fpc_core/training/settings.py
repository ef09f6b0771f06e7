"""The recipe of a training run, and what it tells while it runs."""

from __future__ import annotations

from dataclasses import dataclass

from fpc_core.bounds import Range, bounded, check_bounds, shown
from fpc_core.config import MOST_SHORTLIST


@dataclass(frozen=True)
class TrainSettings:
    """A recipe. Equal recipe, start, data, device and number of processes give equal weights, bit by bit on the CPU,
    unless `max_minutes` ends a run early.

    identities, images: P and K of a batch, over all processes.
    patch_keep: share of patches that the holistic stage sees (a random half trains twice as fast).
    refresh: steps between two encodings of the training memory.  max_minutes: the schedule is squeezed to end by then.
    guide: weight of `losses.guidance` in the second stage; needs data with true masks (not in the paper).
    bfloat16: mixed precision on the CPU; on CUDA it is used wherever the hardware has it.
    """

    holistic_steps: int = bounded(2400, 0, 10**7)
    fpc_steps: int = bounded(600, 0, 10**7)
    identities: int = bounded(16, 2, 10_000)
    images: int = bounded(4, 2, 1_000)
    learning_rate: float = bounded(5e-4, 0.0, 10.0)
    weight_decay: float = bounded(0.05, 0.0, 10.0)
    warmup: float = bounded(0.08, 0.0, 1.0)
    patch_keep: float = bounded(0.5, 0.0, 1.0, above=True)
    keep_rate: float = bounded(0.8, 0.0, 1.0, above=True)
    blocks: tuple[int, ...] = (3, 6, 9)  # where the second stage drops
    neighbors: int = bounded(10, 1, MOST_SHORTLIST)
    refresh: int = bounded(150, 1, 10**7)
    guide: float = bounded(0.0, 0.0, 1e6)
    erase: float = bounded(0.5, 0.0, 1.0)
    drop_path: float = bounded(0.05, 0.0, 1.0, below=True)
    seed: int = bounded(0, 0, 2**40)
    bfloat16: bool = False
    checkpoint_minutes: float = bounded(3.0, 0.0, 1e6)
    max_minutes: float | None = None

    def __post_init__(self) -> None:
        check_bounds(self)
        if self.steps < 1:
            raise ValueError(f"{self.holistic_steps} and {self.fpc_steps} steps make no run; give one stage at least 1")
        minutes = Range(0.0, 1e6, above=True)
        if self.max_minutes is not None and self.max_minutes not in minutes:
            raise ValueError(f"max_minutes must be positive, in {minutes}, not {shown(self.max_minutes)}")

    @property
    def steps(self) -> int:
        """Of both stages."""
        return self.holistic_steps + self.fpc_steps


@dataclass(frozen=True)
class Progress:
    """One step, as logged. seconds: so far, over all parts of the run; eta: seconds to the end at the present pace."""

    step: int
    stage: str
    loss: float
    learning_rate: float
    seconds: float
    eta: float

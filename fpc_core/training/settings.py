"""The recipe of a training run, and what it tells while it runs."""

from __future__ import annotations

from dataclasses import dataclass


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

    holistic_steps: int = 2400
    fpc_steps: int = 600
    identities: int = 16
    images: int = 4
    learning_rate: float = 5e-4
    weight_decay: float = 0.05
    warmup: float = 0.08
    patch_keep: float = 0.5
    keep_rate: float = 0.8
    blocks: tuple[int, ...] = (3, 6, 9)  # where the second stage drops
    neighbors: int = 10
    refresh: int = 150
    guide: float = 0.0
    erase: float = 0.5
    drop_path: float = 0.05
    seed: int = 0
    bfloat16: bool = False
    checkpoint_minutes: float = 3.0
    max_minutes: float | None = None

    def __post_init__(self) -> None:
        if self.identities < 2 or self.images < 2:
            raise ValueError(f"a batch needs at least 2 identities x 2 images, not {self.identities} x {self.images}")
        if min(self.holistic_steps, self.fpc_steps) < 0 or self.steps < 1:
            raise ValueError(f"{self.holistic_steps} and {self.fpc_steps} steps make no run; give one stage at least 1")
        if self.refresh < 1 or self.neighbors < 1:
            raise ValueError(f"refresh ({self.refresh}) and K ({self.neighbors}) must be at least 1")
        if self.guide < 0:
            raise ValueError(f"guide must not be negative, not {self.guide}")
        if self.max_minutes is not None and self.max_minutes <= 0:
            raise ValueError(f"max_minutes must be positive, not {self.max_minutes}")

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

"""Settings of a training run, and its progress reports."""

from __future__ import annotations

from dataclasses import dataclass

from fpc_core.bounds import Range, bounded, check_bounds, format_value
from fpc_core.config import MAX_SHORTLIST


@dataclass(frozen=True)
class TrainSettings:
    """Settings of a training run.

    Runs with equal settings, initial weights, data, device and number of processes give equal weights (bit by bit on
    the CPU), unless `max_minutes` ends a run early.

    Attributes:
        holistic_steps: Number of steps of the first stage.
        fpc_steps: Number of steps of the second stage.
        identities: Number of identities in a batch (P), over all processes.
        images: Number of images of each identity in a batch (K).
        look_alikes: Number of most similar identities that join each sampled identity in a batch, so that the triplet
            loss compares people who are easily confused; 0 samples all identities independently.
        learning_rate: Peak learning rate of the schedule.
        weight_decay: Weight decay of matrices.
        warmup: Share of the schedule in which the learning rate rises.
        patch_keep: Share of the patches used in the holistic stage; a random half makes training twice as fast.
        whole_steps: Number of steps at the end of the holistic stage that use all patches. With random patches to the
            end, the model learns that any patch can be missing, and dropping salient patches does no harm.
        keep_rate: Share of the patches that each dropping block of the second stage keeps.
        blocks: Indices of the dropping blocks in the second stage.
        neighbors: Number of neighbours that the decoder reads (K).
        refresh: Number of steps between two encodings of the training memory.
        shared_space: Whether the second stage classifies plain and consolidated features with one classifier and adds
            a triplet loss across both, because retrieval compares them with each other (not in the paper).
        frozen_blocks: Number of first blocks of encoder and global head that keep their initial weights, with the
            embeddings before them; 0 trains everything.
        class_means: Whether the classifiers start from the mean feature of each identity instead of random values, so
            that a model that already recognises people is not disturbed by new classifiers.
        patch_loss: Weight of `losses.patch_triplet`, not in the paper, in the second stage.
        guide: Weight of `losses.guidance`, not in the paper, in the second stage; it needs ground-truth masks.
        erase: Probability of random erasing.
        drop_path: Stochastic depth rate of the last block.
        seed: Seed of all random numbers.
        bfloat16: Whether to use mixed precision on the CPU, which is faster with AMX but many times slower without
            AVX-512; CUDA always uses it if the hardware supports it.
        checkpoint_minutes: Minutes between two checkpoints.
        max_minutes: Maximum time of the run in minutes, to which the schedule is shortened; None for no limit.
    """

    holistic_steps: int = bounded(2400, 0, 10**7)
    fpc_steps: int = bounded(600, 0, 10**7)
    identities: int = bounded(16, 2, 10_000)
    images: int = bounded(4, 2, 1_000)
    look_alikes: int = bounded(0, 0, 1_000)
    learning_rate: float = bounded(5e-4, 0.0, 10.0)
    weight_decay: float = bounded(0.05, 0.0, 10.0)
    warmup: float = bounded(0.08, 0.0, 1.0)
    patch_keep: float = bounded(0.5, 0.0, 1.0, above=True)
    whole_steps: int = bounded(0, 0, 10**7)
    keep_rate: float = bounded(0.8, 0.0, 1.0, above=True)
    blocks: tuple[int, ...] = (3, 6, 9)
    neighbors: int = bounded(10, 1, MAX_SHORTLIST)
    refresh: int = bounded(150, 1, 10**7)
    shared_space: bool = False
    frozen_blocks: int = bounded(0, 0, 1_000)
    class_means: bool = False
    patch_loss: float = bounded(0.0, 0.0, 1e6)
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
            raise ValueError(
                f"holistic_steps + fpc_steps must be at least 1, got {self.holistic_steps} + {self.fpc_steps}"
            )
        minutes = Range(0.0, 1e6, above=True)
        if self.max_minutes is not None and self.max_minutes not in minutes:
            raise ValueError(f"max_minutes must be in {minutes}, got {format_value(self.max_minutes)}")

    @property
    def steps(self) -> int:
        """Total number of steps of both stages."""
        return self.holistic_steps + self.fpc_steps


@dataclass(frozen=True)
class Progress:
    """Progress of a run after one step.

    Attributes:
        step: 1-based number of the step.
        stage: Stage of the step, "holistic" or "fpc".
        loss: Loss of the step.
        learning_rate: Learning rate of the step.
        seconds: Training time so far in seconds, over all sessions of the run.
        eta: Remaining time in seconds at the current pace.
    """

    step: int
    stage: str
    loss: float
    learning_rate: float
    seconds: float
    eta: float

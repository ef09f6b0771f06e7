"""Make the scenes of a sensitivity map, with an occluder at every position, and compute the map from their results."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from fpc_core.config import ModelConfig
from fpc_core.data.occluders import GREY, Rectangle, Scene
from fpc_core.evaluation.occlusion.study import DISTANCE, FINAL, NOT_RANKED, OcclusionResults


@dataclass(frozen=True)
class Sliding:
    """A square occluder that is placed at regular positions of the patch grid, one after another.

    Attributes:
        size: Number of patches that the occluder covers along each side.
        step: Number of patches between two positions; the occluder is centred on `step` x `step` patches.
        colour: Colour of the occluder as #rrggbb.
    """

    size: int = 3
    step: int = 1
    colour: str = GREY

    def __post_init__(self) -> None:
        if self.size < 1 or self.step < 1:
            raise ValueError(f"size and step must be at least 1 patch, got {self.size} and {self.step}")

    def grid(self, config: ModelConfig) -> tuple[int, int]:
        """Return the numbers of rows and columns of positions."""
        rows, columns = config.grid
        return rows // self.step, columns // self.step

    def scenes(self, config: ModelConfig, below: Scene) -> tuple[Scene, ...]:
        """Return a scene without the occluder, then one scene per position, row by row.

        Args:
            config: Architecture of the model.
            below: Occluders in every scene, below the moving one.
        """
        height, width = config.image_size
        side = config.patch_size + (self.size - 1) * config.stride
        middle = (config.patch_size + (self.step - 1) * config.stride) / 2
        rows, columns = self.grid(config)
        positions = [
            Rectangle(
                (column * self.step * config.stride + middle) / width,
                (row * self.step * config.stride + middle) / height,
                side / width,
                side / height,
                colour=self.colour,
            )
            for row in range(rows)
            for column in range(columns)
        ]
        return below, *(Scene((*below.occluders, position)) for position in positions)


class Effect(StrEnum):
    """Quantity whose change a sensitivity map shows at every position; an increase is worse for the true match."""

    FINAL_DISTANCE = "final distance"
    DISTANCE = "D"
    RANK = "rank"


def effects(results: OcclusionResults, grid: tuple[int, int], effect: Effect) -> np.ndarray:
    """Return the change of the first true match relative to the scene without the occluder, at the first keep rate.

    Args:
        results: Results for the scenes of `Sliding.scenes`.
        grid: Rows and columns of positions.
        effect: Quantity whose change to return.

    Returns:
        (rows, columns) changes; NaN where not computed yet, and for D where no true match is shortlisted.
    """
    if effect is Effect.RANK:
        values = np.where(results.known[0] & (results.rank[0, :, FINAL] != NOT_RANKED), results.rank[0, :, FINAL], 0)
        values = np.where(values > 0, values, np.nan)
    else:
        values = results.distance[0, :, FINAL if effect is Effect.FINAL_DISTANCE else DISTANCE]
    return (values[1:] - values[0]).reshape(grid)

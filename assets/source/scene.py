"""Build a scene as flat arrays for the tracer.

| array | columns |
|---|---|
| boxes (B, 19) | centre 0-2, half sizes 3-5, cos 6, sin 7, wall material 8, colours 9-11 and 12-14, scale 15, seed 16, label 17, casts shadow 18 |
| rods (R, 16) | ends 0-2 and 3-5, radius 6, band 7, colours 8-10 and 11-13, label 14, gloss 15 |
| solids (S, 21) | place 0-2, cos 3, sin 4, grid origin 5-7, step 8, grid shape 9-11, offset 12, prims 13-14, mats 15, frames 16, label 17, car 18, foot 19, height 20 |
| zones (Z, 13) | x and y ranges 0-3, ground material 4, colours 5-7 and 8-10, scale 11, seed 12; of overlapping zones, the last is used |

Labels are 0 for background, 1 for the person and 2 for an occluder. Units are metres, and z points up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from solids import MAT_WIDTH, PRIM_WIDTH, Solid
from wardrobe import linear

BACKGROUND, PERSON, OCCLUDER = 0, 1, 2


@dataclass(frozen=True)
class Arrays:
    """Input arrays of the tracer, in the order of its arguments."""

    boxes: np.ndarray
    rods: np.ndarray
    solids: np.ndarray
    grid: np.ndarray
    prims: np.ndarray
    mats: np.ndarray
    frames: np.ndarray
    zones: np.ndarray


@dataclass
class Scene:
    """A builder of `Arrays`, to which objects are added in world coordinates."""

    boxes: list[np.ndarray] = field(default_factory=list)
    rods: list[np.ndarray] = field(default_factory=list)
    zones: list[np.ndarray] = field(default_factory=list)
    solids: list[tuple[Solid, np.ndarray]] = field(default_factory=list)

    def copy(self) -> Scene:
        return Scene(list(self.boxes), list(self.rods), list(self.zones), list(self.solids))

    def zone(self, x0: float, x1: float, y0: float, y1: float, mat: int, c1: str, c2: str, scale: float = 0.4, seed: int = 1) -> None:
        self.zones.append(np.array([x0, x1, y0, y1, mat, *linear(c1), *linear(c2), scale, seed]))

    def box(
        self,
        centre: tuple[float, float, float],
        size: tuple[float, float, float],
        yaw: float,
        mat: int,
        c1: str,
        c2: str,
        *,
        scale: float = 1.0,
        seed: int = 1,
        label: int = 0,
        shadow: bool = True,
    ) -> None:
        half = np.array(size) / 2
        self.boxes.append(np.array([*centre, *half, math.cos(yaw), math.sin(yaw), mat, *linear(c1), *linear(c2), scale, seed, label, float(shadow)]))

    def rod(
        self, a: tuple[float, float, float], b: tuple[float, float, float], radius: float, colour: str, *, band: str = "", label: int = 0, gloss: float = 0.15
    ) -> None:
        self.rods.append(np.array([*a, *b, radius, float(bool(band)), *linear(colour), *linear(band or colour), label, gloss]))

    def solid(
        self, solid: Solid, place: tuple[float, float, float], yaw: float, *, label: int = 0, car: bool = False, contact: float = 0.5, height: float = 1.75
    ) -> None:
        row = np.zeros(21)
        row[0:3], row[3], row[4] = place, math.cos(yaw), math.sin(yaw)
        row[5:8], row[8], row[9:12] = solid.origin, solid.step, solid.grid.shape
        row[17], row[18], row[19], row[20] = label, float(car), contact, height
        self.solids.append((solid, row))

    def arrays(self) -> Arrays:
        offset, prims, mats, frames, rows = 0, 0, 0, 0, []
        for solid, row in self.solids:
            out = row.copy()
            out[12], out[13], out[14], out[15], out[16] = offset, prims, prims + len(solid.prims), mats, frames
            offset, prims = offset + solid.grid.size, prims + len(solid.prims)
            mats, frames = mats + len(solid.mats), frames + len(solid.frames)
            rows.append(out)
        members = [solid for solid, _ in self.solids]
        return Arrays(
            _rows(self.boxes, 19),
            _rows(self.rods, 16),
            _rows(rows, 21),
            np.concatenate([s.grid.ravel() for s in members]) if members else np.zeros(1, np.float32),
            np.concatenate([s.prims for s in members]) if members else np.zeros((1, PRIM_WIDTH)),
            np.concatenate([s.mats for s in members]) if members else np.zeros((1, MAT_WIDTH), np.float32),
            np.concatenate([s.frames for s in members]) if members else np.zeros((2, 12), np.float32),
            _rows(self.zones, 13),
        )


def _rows(items: list[np.ndarray], width: int) -> np.ndarray:
    return np.array(items) if items else np.zeros((0, width))

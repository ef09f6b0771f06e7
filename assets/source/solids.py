"""Define solids: implicit surfaces made of a few primitives in layers, sampled once on a distance grid.

Rays are traced through the grid, which is fast. The point that a ray hits is then classified with the exact primitives,
so that the borders between skin, sleeve and shoe are sharper than the grid.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit

from noise import noise3

CAPSULE, TORUS, SHELL, BOX, CAR = 0, 1, 2, 3, 4
FLAT_B, FLAT_A = 1, 2
TORSO, PELVIS, ARM, LEG, HEAD, OTHER = range(6)
LAYERS = 9
PRIM_WIDTH, MAT_WIDTH = 20, 24
REACH = 0.12  # Maximum distance in the grid in metres; larger distances are clipped.


@dataclass(frozen=True)
class Solid:
    """Primitives (P, 20), materials (LAYERS, 24), frames of chest and head (2, 12) and the distance grid.

    A frame consists of origin, forward, left and up.
    """

    prims: np.ndarray
    mats: np.ndarray
    frames: np.ndarray
    origin: np.ndarray
    step: float
    grid: np.ndarray

    @property
    def size(self) -> np.ndarray:
        return (np.array(self.grid.shape) - 1) * self.step


def prim(
    layer: int,
    a: object,
    b: object,
    ra: float,
    rb: float | None = None,
    *,
    kind: int = CAPSULE,
    blend: float = 0.02,
    squash: tuple[object, float] | None = None,
    flat: int = 0,
    bone: int = OTHER,
    fold: float = 0.0,
    cut: bool = False,
) -> np.ndarray:
    """Return the row of a primitive: a capsule from a to b (radii ra to rb in metres), optionally squashed or flat-ended."""
    row = np.zeros(PRIM_WIDTH)
    row[0], row[1], row[2] = kind, layer, float(cut)
    row[3:6], row[6:9] = np.asarray(a, float), np.asarray(b, float)
    row[9], row[10], row[11] = ra, ra if rb is None else rb, max(blend, 1e-4)
    axis, factor = squash if squash is not None else ((0.0, 1.0, 0.0), 1.0)
    axis = np.asarray(axis, float)
    row[12:15], row[15] = axis / np.linalg.norm(axis), factor
    row[16], row[17], row[18] = flat, bone, fold
    return row


@njit(cache=True)
def _car(prims: np.ndarray, i: int, x: float, y: float, z: float) -> float:
    """Return the signed distance to a car body: an extruded outline, narrower at the roof. Its lengths start at column 3."""
    half, hood, belt, roof = float(prims[i, 3]), float(prims[i, 4]), float(prims[i, 5]), float(prims[i, 6])
    screen, roof_front = float(prims[i, 7]), float(prims[i, 8])
    roof_back, tail = float(prims[i, 9]), float(prims[i, 10])
    xs = (-half, -half + 0.03, tail, roof_back, roof_front, screen, half - 0.22, half, half - 0.02)  # Outline from the tail over the roof to the nose.
    zs = (0.22, belt - 0.03, belt, roof, roof, belt, hood, hood - 0.22, 0.22)
    d2, inside = 1e9, False
    j = 8
    for k in range(9):
        ex, ez = xs[j] - xs[k], zs[j] - zs[k]
        wx, wz = x - xs[k], z - zs[k]
        t = min(1.0, max(0.0, (wx * ex + wz * ez) / (ex * ex + ez * ez)))
        bx, bz = wx - ex * t, wz - ez * t
        d2 = min(d2, bx * bx + bz * bz)
        if (zs[k] > z) != (zs[j] > z) and x < (xs[j] - xs[k]) * (z - zs[k]) / (zs[j] - zs[k]) + xs[k]:
            inside = not inside
        j = k
    side = math.sqrt(d2)
    if inside:
        side = -side
    width = prims[i, 19] - 0.3 * max(0.0, z - belt + 0.05) - 0.05 * (x / half) ** 4 - 0.1 * max(0.0, 0.5 - z)
    r = 0.09
    qx, qy = side + r, abs(y) - width + r
    d = min(max(qx, qy), 0.0) + math.sqrt(max(qx, 0.0) ** 2 + max(qy, 0.0) ** 2) - r
    for s in range(2):
        wheel = (0.63 if s == 0 else -0.6) * half
        arch = math.sqrt((x - wheel) ** 2 + (z - 0.33) ** 2) - 0.375
        d = max(d, -max(arch, 0.6 - abs(y)))
    return d * 0.9


@njit(cache=True)
def prim_distance(prims: np.ndarray, i: int, x: float, y: float, z: float) -> float:
    """Return the signed distance from a point to primitive i, or a lower bound of it if the primitive is squashed."""
    kind = prims[i, 0]
    if kind == 4:
        return _car(prims, i, x, y, z)
    px, py, pz = x - prims[i, 3], y - prims[i, 4], z - prims[i, 5]
    if kind == 0:
        bx, by, bz = prims[i, 6] - prims[i, 3], prims[i, 7] - prims[i, 4], prims[i, 8] - prims[i, 5]
        s, flat = prims[i, 15], int(prims[i, 16])
        over = -1e9
        if flat:
            length = math.sqrt(bx * bx + by * by + bz * bz) + 1e-9
            along = (px * bx + py * by + pz * bz) / length
            if flat & 1:
                over = along - length
            if flat & 2:
                over = max(over, -along)
        if s != 1.0:
            ux, uy, uz = prims[i, 12], prims[i, 13], prims[i, 14]
            w = (px * ux + py * uy + pz * uz) * (1 / s - 1)
            px, py, pz = px + w * ux, py + w * uy, pz + w * uz
            w = (bx * ux + by * uy + bz * uz) * (1 / s - 1)
            bx, by, bz = bx + w * ux, by + w * uy, bz + w * uz
        h = (px * bx + py * by + pz * bz) / (bx * bx + by * by + bz * bz + 1e-12)
        h = min(1.0, max(0.0, h))
        qx, qy, qz = px - h * bx, py - h * by, pz - h * bz
        d = math.sqrt(qx * qx + qy * qy + qz * qz) - (prims[i, 9] + (prims[i, 10] - prims[i, 9]) * h)
        return max(d * min(s, 1.0), over)
    if kind == 1:
        along = px * prims[i, 6] + py * prims[i, 7] + pz * prims[i, 8]
        radial = math.sqrt(max(0.0, px * px + py * py + pz * pz - along * along)) - prims[i, 9]
        return math.sqrt(radial * radial + along * along) - prims[i, 10]
    if kind == 2:
        shell = abs(math.sqrt(px * px + py * py + pz * pz) - prims[i, 9]) - prims[i, 10]
        scallop = 0.03 * abs(math.sin(4 * math.atan2(py, px)))
        return max(shell, prims[i, 8] + scallop - z)
    qx = abs(px) - prims[i, 6] + prims[i, 9]
    qy = abs(py) - prims[i, 7] + prims[i, 9]
    qz = abs(pz) - prims[i, 8] + prims[i, 9]
    outside = math.sqrt(max(qx, 0.0) ** 2 + max(qy, 0.0) ** 2 + max(qz, 0.0) ** 2)
    return outside + min(max(qx, max(qy, qz)), 0.0) - prims[i, 9]


@njit(cache=True, inline="always")
def join(d: float, e: float, k: float, cut: bool) -> float:
    """Return the smooth union of two distances with blend width k, or with `cut` the solid of d without that of e."""
    if cut:
        return max(d, -e)
    h = max(k - abs(d - e), 0.0) / k
    return min(d, e) - h * h * k * 0.25


@njit(cache=True)
def _fill(prims: np.ndarray, low: np.ndarray, high: np.ndarray, origin: np.ndarray, step: float, grid: np.ndarray, seed: int):
    nx, ny, nz = grid.shape
    layer = np.empty_like(grid)
    grid[:] = REACH
    i, count = 0, prims.shape[0]
    while i < count:
        layer[:] = REACH
        current, fold = prims[i, 1], 0.0
        i0, j0, k0, i1, j1, k1 = nx, ny, nz, 0, 0, 0
        while i < count and prims[i, 1] == current:
            a0 = max(0, int((low[i, 0] - REACH - origin[0]) / step))
            b0 = max(0, int((low[i, 1] - REACH - origin[1]) / step))
            c0 = max(0, int((low[i, 2] - REACH - origin[2]) / step))
            a1 = min(nx, int((high[i, 0] + REACH - origin[0]) / step) + 2)
            b1 = min(ny, int((high[i, 1] + REACH - origin[1]) / step) + 2)
            c1 = min(nz, int((high[i, 2] + REACH - origin[2]) / step) + 2)
            cut = prims[i, 2] > 0.5
            for a in range(a0, a1):
                for b in range(b0, b1):
                    for c in range(c0, c1):
                        d = prim_distance(prims, i, origin[0] + a * step, origin[1] + b * step, origin[2] + c * step)
                        if d < REACH or cut:
                            layer[a, b, c] = join(layer[a, b, c], d, prims[i, 11], cut)
            fold = max(fold, prims[i, 18])
            i0, j0, k0 = min(i0, a0), min(j0, b0), min(k0, c0)
            i1, j1, k1 = max(i1, a1), max(j1, b1), max(k1, c1)
            i += 1
        for a in range(i0, i1):
            for b in range(j0, j1):
                for c in range(k0, k1):
                    d = layer[a, b, c]
                    if fold > 0 and abs(d) < 0.06:
                        x, y, z = origin[0] + a * step, origin[1] + b * step, origin[2] + c * step
                        if fold < 0.02:  # Cloth has slanted ridges.
                            warp = noise3(x * 4, y * 4, z * 3, seed + 5)
                            crease = 1 - abs(2 * noise3(x * 9 + warp * 2, y * 9 - warp, z * 6.5 + x * 5 + warp * 3, seed) - 1)
                            d += fold * (0.5 - crease * crease)
                        else:  # Leaves.
                            d += fold * (1.2 * noise3(x * 5, y * 5, z * 5, seed) + noise3(x * 16, y * 16, z * 16, seed) - 1.1)
                    grid[a, b, c] = min(grid[a, b, c], d)


def _bounds(prims: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a, b = prims[:, 3:6], prims[:, 6:9]
    reach = np.maximum(prims[:, 9], prims[:, 10])[:, None]
    low, high = np.minimum(a, b) - reach, np.maximum(a, b) + reach
    for i, row in enumerate(prims):
        if row[0] == TORUS:
            spread = (row[9] + row[10]) * np.sqrt(np.maximum(0, 1 - row[6:9] ** 2)) + row[10]
            low[i], high[i] = row[3:6] - spread, row[3:6] + spread
        elif row[0] == SHELL:
            low[i], high[i] = row[3:6] - row[9] - 0.02, row[3:6] + row[9] + 0.02
            low[i, 2] = row[8]
        elif row[0] == BOX:
            low[i], high[i] = row[3:6] - row[6:9], row[3:6] + row[6:9]
        elif row[0] == CAR:
            low[i], high[i] = (-row[3], -row[19], 0.0), (row[3], row[19], row[6] + 0.05)
    return low, high


def make_solid(rows: list[np.ndarray], mats: np.ndarray, frames: np.ndarray, step: float, seed: int) -> Solid:
    """Sort the primitives by layer, cuts last, and sample their union on a grid with a step in metres."""
    prims = np.array(sorted(rows, key=lambda r: (r[1], r[2])))
    low, high = _bounds(prims)
    solid = prims[:, 2] < 0.5
    leaf = float(prims[:, 18].max())
    pad = 2.5 * step + (leaf * 1.2 if leaf > 0.02 else 0.01)
    origin = low[solid].min(0) - pad
    shape = np.ceil((high[solid].max(0) + pad - origin) / step).astype(int) + 1
    grid = np.empty(tuple(int(n) for n in shape), np.float32)
    _fill(prims, low, high, origin, step, grid, seed)
    return Solid(prims, mats.astype(np.float32), frames.astype(np.float32), origin.astype(np.float32), step, grid)


@njit(cache=True)
def classify(prims: np.ndarray, start: int, stop: int, x: float, y: float, z: float) -> tuple[int, int]:
    """Return layer and primitive of the surface nearest to a point."""
    best_layer, best_prim, best = 0, start, 1e9
    i = start
    while i < stop:
        current, d, nearest, which = prims[i, 1], 1e9, 1e9, i
        while i < stop and prims[i, 1] == current:
            e = prim_distance(prims, i, x, y, z)
            cut = prims[i, 2] > 0.5
            d = join(d, e, prims[i, 11], cut)
            if e < nearest and not cut:
                nearest, which = e, i
            i += 1
        if d < best:
            best, best_layer, best_prim = d, int(current), which
    return best_layer, best_prim

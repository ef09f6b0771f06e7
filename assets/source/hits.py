"""Intersect rays with upright boxes, capsules and solids that are sampled on distance grids. Distances are in metres."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

SKY, GROUND, BOX, ROD, SOLID = -1, 0, 1, 2, 3
FAR = 1e9


@njit(cache=True)
def sample(grid: np.ndarray, off: int, nx: int, ny: int, nz: int, gx: float, gy: float, gz: float) -> float:
    """Interpolate a distance grid trilinearly at a point in grid coordinates."""
    gx = min(max(gx, 0.0), nx - 1.001)
    gy = min(max(gy, 0.0), ny - 1.001)
    gz = min(max(gz, 0.0), nz - 1.001)
    ix, iy, iz = int(gx), int(gy), int(gz)
    fx, fy, fz = gx - ix, gy - iy, gz - iz
    at = off + (ix * ny + iy) * nz + iz
    sx, sy = ny * nz, nz
    a = (grid[at] * (1 - fz) + grid[at + 1] * fz) * (1 - fy) + (grid[at + sy] * (1 - fz) + grid[at + sy + 1] * fz) * fy
    at += sx
    b = (grid[at] * (1 - fz) + grid[at + 1] * fz) * (1 - fy) + (grid[at + sy] * (1 - fz) + grid[at + sy + 1] * fz) * fy
    return a * (1 - fx) + b * fx


@njit(cache=True, inline="always")
def _slab(o: float, d: float, low: float, high: float) -> tuple[float, float]:
    if abs(d) < 1e-12:
        return (-FAR, FAR) if low <= o <= high else (FAR, -FAR)
    a, b = (low - o) / d, (high - o) / d
    return (a, b) if a < b else (b, a)


@njit(cache=True)
def _hit_solid(s: np.ndarray, grid: np.ndarray, ox: float, oy: float, oz: float, dx: float, dy: float, dz: float, limit: float, soft: bool) -> float:
    """Return the distance along a ray to a solid, FAR if it misses; with `soft`, the share of light that passes, 0 to 1."""
    c, n = s[3], s[4]
    px, py = ox - s[0], oy - s[1]
    lx, ly, lz = px * c + py * n, py * c - px * n, oz - s[2]
    ex, ey = dx * c + dy * n, dy * c - dx * n
    step = s[8]
    nx, ny, nz = int(s[9]), int(s[10]), int(s[11])
    x0, x1 = _slab(lx, ex, s[5], s[5] + (nx - 1) * step)
    y0, y1 = _slab(ly, ey, s[6], s[6] + (ny - 1) * step)
    z0, z1 = _slab(lz, dz, s[7], s[7] + (nz - 1) * step)
    t, end = max(max(x0, y0), max(z0, 0.0)), min(min(x1, y1), min(z1, limit))
    if t >= end:
        return 1.0 if soft else FAR
    off, inv, light = int(s[12]), 1 / step, 1.0
    for _ in range(90):
        d = sample(grid, off, nx, ny, nz, (lx + ex * t - s[5]) * inv, (ly + ey * t - s[6]) * inv, (lz + dz * t - s[7]) * inv)
        if d < 0.0015:
            return 0.0 if soft else t
        if soft:
            light = min(light, d * 22 / (t + 0.3))
        t += max(d * 0.85, 0.003)
        if t >= end:
            break
    return light if soft else FAR


@njit(cache=True)
def _hit_box(b: np.ndarray, ox: float, oy: float, oz: float, dx: float, dy: float, dz: float) -> tuple[float, int, float]:
    """Intersect a ray with an upright box, and return the distance, the axis of the face and its sign."""
    px, py, pz = ox - b[0], oy - b[1], oz - b[2]
    lx, ly = px * b[6] + py * b[7], py * b[6] - px * b[7]
    ex, ey = dx * b[6] + dy * b[7], dy * b[6] - dx * b[7]
    x0, x1 = _slab(lx, ex, -b[3], b[3])
    y0, y1 = _slab(ly, ey, -b[4], b[4])
    z0, z1 = _slab(pz, dz, -b[5], b[5])
    near, far = max(x0, max(y0, z0)), min(x1, min(y1, z1))
    if near >= far or near < 1e-4:
        return FAR, 0, 1.0
    if near == x0:
        return near, 0, -1.0 if ex > 0 else 1.0
    if near == y0:
        return near, 1, -1.0 if ey > 0 else 1.0
    return near, 2, -1.0 if dz > 0 else 1.0


@njit(cache=True)
def _hit_rod(r: np.ndarray, ox: float, oy: float, oz: float, dx: float, dy: float, dz: float) -> float:
    """Return the distance along a ray to a capsule, a rod with round ends."""
    bx, by, bz = r[3] - r[0], r[4] - r[1], r[5] - r[2]
    px, py, pz = ox - r[0], oy - r[1], oz - r[2]
    baba = bx * bx + by * by + bz * bz
    bard = bx * dx + by * dy + bz * dz
    baoa = bx * px + by * py + bz * pz
    rdoa = dx * px + dy * py + dz * pz
    oaoa = px * px + py * py + pz * pz
    a = baba - bard * bard
    b = baba * rdoa - baoa * bard
    c = baba * oaoa - baoa * baoa - r[6] * r[6] * baba
    h = b * b - a * c
    if h < 0:
        return FAR
    t = (-b - math.sqrt(h)) / max(a, 1e-12)
    y = baoa + t * bard
    if 0 < y < baba:
        return t if t > 1e-4 else FAR
    qx, qy, qz = (px, py, pz) if y <= 0 else (ox - r[3], oy - r[4], oz - r[5])
    b = dx * qx + dy * qy + dz * qz
    c = qx * qx + qy * qy + qz * qz - r[6] * r[6]
    h = b * b - c
    if h > 0:
        t = -b - math.sqrt(h)
        return t if t > 1e-4 else FAR
    return FAR


@njit(cache=True)
def nearest(boxes, rods, solids, grid, ox, oy, oz, dx, dy, dz, only):
    """Return (distance, kind, index, axis, sign) of the first surface; `only` >= 0 ignores all but solids of that label."""
    best, kind, index, axis, sign = FAR, SKY, 0, 0, 1.0
    if only < 0:
        if dz < -1e-9:
            best, kind = -oz / dz, GROUND
        for i in range(boxes.shape[0]):
            t, ax, sg = _hit_box(boxes[i], ox, oy, oz, dx, dy, dz)
            if t < best:
                best, kind, index, axis, sign = t, BOX, i, ax, sg
        for i in range(rods.shape[0]):
            t = _hit_rod(rods[i], ox, oy, oz, dx, dy, dz)
            if t < best:
                best, kind, index = t, ROD, i
    for i in range(solids.shape[0]):
        if only < 0 or solids[i, 17] == only:
            t = _hit_solid(solids[i], grid, ox, oy, oz, dx, dy, dz, best, False)
            if t < best:
                best, kind, index = t, SOLID, i
    return best, kind, index, axis, sign


@njit(cache=True)
def sunlight(boxes, rods, solids, grid, x, y, z, sx, sy, sz):
    """Return the share of the sunlight that reaches a point, 0 to 1."""
    for i in range(boxes.shape[0]):
        if boxes[i, 18] > 0.5 and _hit_box(boxes[i], x, y, z, sx, sy, sz)[0] < FAR:
            return 0.0
    for i in range(rods.shape[0]):
        if _hit_rod(rods[i], x, y, z, sx, sy, sz) < FAR:
            return 0.0
    light = 1.0
    for i in range(solids.shape[0]):
        light = min(light, _hit_solid(solids[i], grid, x, y, z, sx, sy, sz, FAR, True))
        if light <= 0:
            return 0.0
    return light * light * (3 - 2 * light)

"""Seeded value noise for numba kernels: every texture and every fold depends only on position and seed."""

from __future__ import annotations

import math

from numba import njit

_MASK = 0xFFFFFFFF


@njit(cache=True, inline="always")
def cell(ix: int, iy: int, iz: int) -> float:
    """Return a hash of an integer cell, in [0, 1)."""
    h = (ix * 374761393 + iy * 668265263 + iz * 2246822519) & _MASK
    h = ((h ^ (h >> 13)) * 1274126177) & _MASK
    h = ((h ^ (h >> 15)) * 1911520717) & _MASK
    return ((h ^ (h >> 16)) & 0xFFFFFF) / 16777216.0


@njit(cache=True)
def noise2(x: float, y: float, seed: int) -> float:
    """Return value noise in the plane, in [0, 1), with cells of size 1."""
    ix, iy = int(math.floor(x)), int(math.floor(y))
    fx, fy = x - ix, y - iy
    fx, fy = fx * fx * (3 - 2 * fx), fy * fy * (3 - 2 * fy)
    low = cell(ix, iy, seed) * (1 - fx) + cell(ix + 1, iy, seed) * fx
    high = cell(ix, iy + 1, seed) * (1 - fx) + cell(ix + 1, iy + 1, seed) * fx
    return low * (1 - fy) + high * fy


@njit(cache=True)
def noise3(x: float, y: float, z: float, seed: int) -> float:
    """Return value noise in space, in [0, 1), with cells of size 1."""
    iz = int(math.floor(z))
    fz = z - iz
    fz = fz * fz * (3 - 2 * fz)
    return noise2(x, y, seed + iz * 7919) * (1 - fz) + noise2(x, y, seed + (iz + 1) * 7919) * fz


@njit(cache=True)
def fbm2(x: float, y: float, octaves: int, seed: int) -> float:
    """Return the weighted sum of several octaves of `noise2`, in [0, 1)."""
    total, weight, norm = 0.0, 1.0, 0.0
    for octave in range(octaves):
        total += weight * noise2(x, y, seed + 101 * octave)
        norm += weight
        weight *= 0.5
        x, y = x * 2.03, y * 2.03
    return total / norm


@njit(cache=True, inline="always")
def ramp(low: float, high: float, x: float) -> float:
    """Return a smooth step from 0 at `low` to 1 at `high`."""
    t = (x - low) / (high - low)
    t = min(1.0, max(0.0, t))
    return t * t * (3 - 2 * t)

"""Add cars, hedges, bicycles, bollards, poles, boards and railings to a scene."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

import solids
from scene import Scene
from solids import Solid, make_solid, prim
from surfaces import PAINT, POSTER, WOOD
from wardrobe import M_LEAF, M_PAINT, M_RUBBER, material

CAR_PAINTS = ["#0f1114", "#e9e9e7", "#9a9da1", "#4a4d52", "#7b1b1f", "#1f3358", "#2e3a35", "#b9b2a3", "#31617d", "#c9cbcd"]
METALS = ["#2b2d30", "#4d5154", "#6e7376", "#26372d", "#1b1d22"]
SIGNALS = ["#c8372d", "#e0b02e", "#e8e6e0", "#2a5c9a"]
_NO_FRAMES = np.zeros((2, 12))

Place = tuple[float, float]


def _at(place: Place, yaw: float, x: float, y: float, z: float = 0.0) -> tuple[float, float, float]:
    return (place[0] + x * math.cos(yaw) - y * math.sin(yaw), place[1] + x * math.sin(yaw) + y * math.cos(yaw), z)


@lru_cache(maxsize=16)
def car_solid(paint: int, shape: int) -> Solid:
    """Return a saloon, an estate car or a van (shape 0 to 2) with a given paint."""
    half, belt, roof, half_width = [(2.2, 0.95, 1.44, 0.88), (2.0, 0.98, 1.52, 0.86), (2.4, 1.08, 1.92, 0.95)][shape]
    screen, roof_front, roof_back, tail = [(0.95, 0.25, -0.95, -1.65), (0.85, 0.25, -1.55, -1.9), (1.55, 0.95, -2.2, -2.35)][shape]
    body = np.zeros(solids.PRIM_WIDTH)
    body[0], body[1] = solids.CAR, 0
    body[3:11] = half, belt - 0.12, belt, roof, screen, roof_front, roof_back, tail
    body[11], body[17], body[19] = 1e-3, solids.OTHER, half_width
    rows = [body]
    for x in (0.63 * half, -0.6 * half):
        for y in (half_width - 0.13, 0.13 - half_width):
            rows.append(prim(1, (x, y, 0.33), (x, y, 0.33), 0.33, squash=((0, 1, 0), 0.38)))
    mats = np.stack([material(M_PAINT, (CAR_PAINTS[paint],), gloss=0.42), material(M_RUBBER, ("#141414",), gloss=0.03)])
    return make_solid(rows, mats, _NO_FRAMES, 0.035, paint)


def car(scene: Scene, rng: np.random.Generator, place: Place, yaw: float, label: int = 0) -> None:
    shape = int(rng.choice(3, p=[0.45, 0.4, 0.15]))
    turn = math.pi * int(rng.integers(2))
    scene.solid(car_solid(int(rng.integers(len(CAR_PAINTS))), shape), (*place, 0.0), yaw + turn, label=label, car=True, contact=1.0)


@lru_cache(maxsize=24)
def hedge_solid(width: float, depth: float, height: float, seed: int) -> Solid:
    rows = [prim(0, (0, 0, height / 2), (width / 2, depth / 2, height / 2), 0.12, kind=solids.BOX, fold=0.07)]
    green = ["#1f3a17", "#2a4a1c", "#34511f", "#263f22"][seed % 4]
    mats = material(M_LEAF, (green, "#6d8a3a", "#6d8a3a"), gloss=0.05, seed=seed)[None]
    return make_solid(rows, mats, _NO_FRAMES, 0.04, seed)


def hedge(scene: Scene, rng: np.random.Generator, place: Place, yaw: float, label: int = 0) -> None:
    size = [(1.6, 0.7, 0.95), (1.3, 0.8, 1.25), (2.4, 0.7, 1.05), (0.95, 0.9, 1.35)][int(rng.integers(4))]
    scene.solid(hedge_solid(*size, int(rng.integers(3))), (*place, 0.0), yaw, label=label, contact=0.8)


@lru_cache(maxsize=8)
def crown_solid(radius: float, seed: int) -> Solid:
    """Return the leaves of a tree, centred at the origin."""
    rng = np.random.default_rng([seed, 31])
    rows = [
        prim(0, c, c + rng.normal(0, 0.1, 3), radius * r, blend=0.4, fold=0.16) for c, r in ((rng.normal(0, 0.42 * radius, 3), rng.uniform(0.45, 0.7)) for _ in range(8))
    ]
    mats = material(M_LEAF, ("#22401a", "#5f7f33", "#5f7f33"), gloss=0.04, seed=seed)[None]
    return make_solid(rows, mats, _NO_FRAMES, 0.09, seed)


def tree(scene: Scene, rng: np.random.Generator, place: Place, label: int = 0, radius: float = 1.7) -> None:
    stem = rng.uniform(0.11, 0.2)
    lean = rng.normal(0, 0.12, 2)
    scene.rod((*place, -0.2), (place[0] + lean[0], place[1] + lean[1], 3.4), stem, "#4a3d31", label=label, gloss=0.02)
    scene.solid(crown_solid(radius, int(rng.integers(4))), (place[0] + lean[0], place[1] + lean[1], 3.9), float(rng.uniform(0, 6)), label=label, contact=0.3)


@lru_cache(maxsize=8)
def _tyres(seed: int) -> Solid:
    rows = [prim(0, (x, 0, 0.345), (0, 1, 0), 0.325, 0.021, kind=solids.TORUS) for x in (0.52, -0.52)]
    return make_solid(rows, material(M_RUBBER, ("#151515",), gloss=0.04)[None], _NO_FRAMES, 0.014, seed)


def bicycle(scene: Scene, rng: np.random.Generator, place: Place, yaw: float, label: int = 0) -> None:
    """Add a bicycle on its stand, with a basket, panniers or a child's seat."""
    paint = str(rng.choice(["#1c1d20", "#7d2023", "#2c4f7c", "#c9c7c0", "#2f5a48", "#b9862c"]))

    def tube(a: tuple[float, float, float], b: tuple[float, float, float], radius: float = 0.019, colour: str = paint) -> None:
        scene.rod(_at(place, yaw, *a), _at(place, yaw, *b), radius, colour, label=label, gloss=0.25)

    seat, crank, head, front, rear = (-0.17, 0, 0.86), (-0.05, 0, 0.30), (0.36, 0, 0.82), (0.52, 0, 0.345), (-0.52, 0, 0.345)
    for a, b in ((seat, crank), (crank, head), (seat, head), (rear, crank), (rear, seat), (head, front)):
        tube(a, b)
    tube(head, (0.32, 0, 1.06), 0.016)
    tube((0.27, 0.27, 1.06), (0.27, -0.27, 1.06), 0.015, "#1a1a1a")
    tube((-0.29, 0, 0.93), (-0.07, 0, 0.93), 0.055, "#161616")
    for wheel in (front, rear):
        for k in range(7):
            angle = math.pi * k / 7
            dx, dz = 0.31 * math.cos(angle), 0.31 * math.sin(angle)
            tube((wheel[0] - dx, 0, wheel[2] - dz), (wheel[0] + dx, 0, wheel[2] + dz), 0.003, "#8b8d90")
    load = int(rng.integers(3))
    if load != 1:
        scene.box(_at(place, yaw, 0.55, 0, 0.93), (0.30, 0.38, 0.26), yaw, WOOD, "#6b5136", "#4a3a28", seed=int(rng.integers(99)), label=label)
    if load != 2:
        colour = str(rng.choice(["#22262c", "#7a3b2a", "#4b5340", "#3a4c66"]))
        for y in (0.13, -0.13):
            scene.box(_at(place, yaw, -0.55, y, 0.56), (0.36, 0.14, 0.34), yaw, PAINT, colour, colour, label=label)
        scene.box(_at(place, yaw, -0.50, 0, 0.95), (0.30, 0.30, 0.42), yaw, PAINT, str(rng.choice(SIGNALS)), colour, label=label)
    scene.solid(_tyres(0), (*place, 0.0), yaw, label=label, contact=0.3)


def bollard(scene: Scene, rng: np.random.Generator, place: Place, yaw: float, label: int = 0) -> None:
    """Add a row of two or three thick bollards."""
    radius, height = float(rng.uniform(0.11, 0.22)), float(rng.uniform(0.85, 1.15))
    colour, band = str(rng.choice(METALS)), str(rng.choice(SIGNALS))
    gap = float(rng.uniform(0.46, 0.8))
    for k in range(-1, int(rng.integers(1, 3))):
        x = k * gap
        scene.rod(_at(place, yaw, x, 0, 0.0), _at(place, yaw, x, 0, height - radius), radius, colour, band=band, label=label)


def pole(scene: Scene, rng: np.random.Generator, place: Place, yaw: float, label: int = 0) -> None:
    """Add a lamp post, a sign on a pole, or the trunk of a tree."""
    kind = int(rng.integers(3))
    if kind == 0:
        radius = float(rng.uniform(0.10, 0.15))
        scene.rod((*place, 0.0), (*place, 1.1), radius * 1.5, str(rng.choice(METALS)), label=label)
        scene.rod((*place, 0.0), (*place, 6.0), radius, str(rng.choice(METALS)), label=label)
    elif kind == 1:
        scene.rod((*place, 0.0), (*place, 2.9), 0.05, "#8a8d90", label=label)
        size = float(rng.uniform(0.5, 0.75))
        scene.box((*place, float(rng.uniform(1.2, 1.6))), (size, 0.05, size * 1.3), yaw, PAINT, str(rng.choice(SIGNALS)), "#ffffff", label=label)
    else:
        tree(scene, rng, place, label)
        scene.rod((*place, 0.0), (*place, 3.4), float(rng.uniform(0.15, 0.24)), "#54473a", label=label, gloss=0.02)


def board(scene: Scene, rng: np.random.Generator, place: Place, yaw: float, label: int = 0) -> None:
    """Add a poster stand, a wooden hoarding or a cabinet."""
    kind, seed = int(rng.integers(3)), int(rng.integers(9999))
    if kind == 0:
        width, height = float(rng.uniform(0.65, 1.1)), float(rng.uniform(1.0, 1.5))
        scene.box(
            (*place, 0.12 + height / 2),
            (width, 0.1, height),
            yaw,
            POSTER,
            str(rng.choice(["#e8e3d6", "#d8b23a", "#26405f", "#a5392f", "#dfe6e8"])),
            str(rng.choice(["#b33b2e", "#2d6a70", "#e2c14e", "#33415e"])),
            scale=width,
            seed=seed,
            label=label,
        )
        scene.box((*place, 0.06), (width, 0.4, 0.12), yaw, PAINT, "#2a2b2e", "#2a2b2e", label=label)
    elif kind == 1:
        height = float(rng.uniform(0.95, 1.35))
        scene.box(
            (*place, height / 2 + 0.05),
            (float(rng.uniform(1.0, 2.0)), 0.08, height),
            yaw,
            WOOD,
            str(rng.choice(["#7d6243", "#9a815c", "#5d4a37", "#8f9496"])),
            "#3a2e22",
            seed=seed,
            label=label,
        )
    else:
        height = float(rng.uniform(0.95, 1.3))
        scene.box(
            (*place, height / 2),
            (float(rng.uniform(0.6, 1.0)), 0.42, height),
            yaw,
            PAINT,
            str(rng.choice(["#5f6a63", "#8b8d8c", "#34423a", "#6a5f52"])),
            "#333333",
            seed=seed,
            label=label,
        )


def railing(scene: Scene, rng: np.random.Generator, place: Place, yaw: float, label: int = 0) -> None:
    """Add a barrier of upright bars, 2.2 m wide."""
    height, colour = float(rng.uniform(1.0, 1.25)), str(rng.choice(METALS + ["#b9bcbe"]))
    bar, gap = float(rng.uniform(0.014, 0.026)), float(rng.uniform(0.085, 0.13))
    for z in (0.15, height):
        scene.rod(_at(place, yaw, -1.1, 0, z), _at(place, yaw, 1.1, 0, z), 0.028, colour, label=label)
    for x in np.arange(-1.1, 1.1, gap):
        scene.rod(_at(place, yaw, x, 0, 0.15), _at(place, yaw, x, 0, height), bar, colour, label=label)
    for x in (-1.1, 1.1):
        scene.rod(_at(place, yaw, x, 0, 0), _at(place, yaw, x, 0, height + 0.05), 0.04, colour, label=label)


MAKERS = {"car": car, "hedge": hedge, "bicycle": bicycle, "bollard": bollard, "pole": pole, "board": board, "railing": railing}

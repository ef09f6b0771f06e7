"""Define six cameras and the fixed scenes in front of them. Only people, light and occluders change."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from props import car, hedge_solid, tree
from scene import Scene
from surfaces import ASPHALT, BRICK, BRICK_PAVING, CONCRETE, GRASS, GRAVEL, OFFICE, PAINT, PANELS, PLASTER, SHOP, SHUTTER, SLABS, WOOD


@dataclass(frozen=True)
class Camera:
    """A surveillance camera with its position relative to the centre of its scene, and properties of its images.

    Attributes:
        azimuth: Direction of the camera in degrees from straight ahead.
        distance: Distance from the centre in metres.
        height: Height above the ground in metres.
        path: Heading of walking people in degrees; 0 is across the view.
        sun: Azimuth and elevation of the sun in degrees.
        exposure: Factor of the brightness.
        warmth: Colour balance, 0 for neutral and positive for yellow.
        blur: Standard deviation of the blur in pixels.
        saturation: Factor of the saturation.
        noise: Standard deviation of the noise.
        detail: Rendered size relative to 128 x 256 pixels.
    """

    azimuth: float
    distance: float
    height: float
    path: float
    sun: tuple[float, float]
    exposure: float
    warmth: float
    blur: float
    saturation: float
    noise: float
    detail: float

    @property
    def position(self) -> np.ndarray:
        a = math.radians(self.azimuth)
        flat = math.sqrt(max(1.0, self.distance**2 - self.height**2))
        return np.array([flat * math.sin(a), -flat * math.cos(a), self.height])


CAMERAS = (
    Camera(-24, 9.0, 3.1, 0, (200, 42), 1.00, 0.05, 0.45, 1.00, 0.010, 1.0),
    Camera(16, 12.5, 4.6, 65, (310, 50), 1.18, -0.12, 0.55, 0.85, 0.014, 0.86),
    Camera(38, 10.0, 2.6, 20, (250, 33), 0.86, 0.16, 0.60, 1.12, 0.012, 0.86),
    Camera(-48, 8.5, 3.8, 0, (165, 55), 0.95, -0.04, 0.40, 1.02, 0.016, 1.0),
    Camera(4, 13.5, 7.2, 100, (225, 38), 1.10, 0.10, 0.70, 0.92, 0.020, 0.78),
    Camera(-12, 11.0, 2.3, -35, (290, 28), 0.78, -0.18, 0.85, 0.80, 0.024, 0.78),
)


@lru_cache(maxsize=8)
def place(camera: int) -> Scene:
    """Return the fixed scene of a camera (0 to 5). People walk around the origin; the camera is in the direction of -y."""
    scene, rng = Scene(), np.random.default_rng([7, camera])
    (_shopping, _plaza, _park, _parked, _crossing, _yard)[camera](scene, rng)
    return scene


def _lamps(scene: Scene, y: float, xs: tuple[float, ...]) -> None:
    for x in xs:
        scene.rod((x, y, 0), (x, y, 5.5), 0.07, "#3a3d40")
        scene.rod((x, y, 0), (x, y, 0.9), 0.11, "#3a3d40")


def _shopping(scene: Scene, rng: np.random.Generator) -> None:
    scene.zone(-90, 90, -90, 90, SLABS, "#a39d92", "#8e8a84", 0.42, 11)
    scene.zone(-90, 90, 2.0, 2.5, BRICK_PAVING, "#7d6a5e", "#6a5a52", 0.2, 12)
    for k, (width, wall, sign) in enumerate(((9, "#b9a88c", "#20464a"), (8, "#8d5140", "#1f2126"), (10, "#cfc9bd", "#6d2326"), (9, "#8b9097", "#1c2f4f"))):
        scene.box((-15 + 9.2 * k, 7.6, 5.0), (width, 6.0, 10 + k % 2), 0, SHOP, wall, sign, scale=3.4 + 0.3 * k, seed=21 + k)
    scene.box((60, 40, 6), (40, 30, 12), 0, OFFICE, "#77797c", "#55585b", scale=2.8, seed=30)
    scene.box((-55, 20, 6), (30, 30, 12), 0, BRICK, "#8a5a48", "#b0a498", scale=2.8, seed=31)
    for x in (-4.5, 5.2):
        scene.box((x, 3.9, 0.3), (1.3, 0.55, 0.6), 0, WOOD, "#6a5038", "#4a3a2a", seed=5)
        scene.solid(hedge_solid(1.2, 0.5, 0.5, 1), (x, 3.9, 0.55), 0.0, contact=0.3)
    _lamps(scene, 3.2, (-8.0, 9.0))


def _plaza(scene: Scene, rng: np.random.Generator) -> None:
    scene.zone(-90, 90, -90, 90, CONCRETE, "#b1aea8", "#9b9894", 1.1, 13)
    scene.zone(-90, 90, 5.0, 10.5, GRASS, "#3d5a24", "#5f7633", 0.4, 14)
    scene.zone(-2.5, 2.5, 5.0, 20, SLABS, "#9a948b", "#857f78", 0.5, 15)
    scene.box((-16, 21, 7), (27, 10, 14), 0, OFFICE, "#a9adb0", "#6d7276", scale=2.4, seed=41)
    scene.box((17, 23, 5), (30, 10, 10), 0, PANELS, "#b8b2a6", "#8c867c", scale=1.5, seed=42)
    for x in (-7.5, -5.0, 5.0, 7.6):
        scene.solid(hedge_solid(2.4, 0.7, 0.8, 2), (x, 5.6, 0), 0.0, contact=0.8)
    for spot in ((-9.5, 8.5), (6.5, 9.0), (12.5, 7.5)):
        tree(scene, rng, spot)
    scene.box((-3.6, 4.3, 0.42), (1.8, 0.45, 0.08), 0, WOOD, "#7a5f42", "#4a3a2a", seed=6)
    for x in (-4.3, -2.9):
        scene.box((x, 4.3, 0.2), (0.1, 0.4, 0.4), 0, PAINT, "#2b2d30", "#2b2d30")
    _lamps(scene, 4.6, (2.9,))


def _park(scene: Scene, rng: np.random.Generator) -> None:
    scene.zone(-90, 90, -90, 90, GRASS, "#3a5620", "#66783a", 0.4, 16)
    scene.zone(-90, 90, -2.6, 2.2, GRAVEL, "#a5947a", "#8d8069", 0.4, 17)
    scene.box((4, 11.5, 1.1), (46, 0.4, 2.2), 0, BRICK, "#84503f", "#b1a596", seed=51)
    scene.box((-18, 26, 4.5), (20, 12, 9), 0.2, PLASTER, "#cbbfa6", "#9c9280", scale=3.0, seed=52)
    for spot in ((-7.5, 5.0), (-1.8, 8.5), (-14.0, 7.0), (4.0, 6.4)):
        tree(scene, rng, spot, radius=2.0)
    for x, y in ((-4.5, 3.4), (-10.5, 3.6), (1.2, 3.6)):
        scene.solid(hedge_solid(1.3, 0.8, 0.9, int(x) % 3), (x, y, 0), 0.3, contact=0.8)
    _lamps(scene, 2.8, (-2.6, -12.0))


def _parked(scene: Scene, rng: np.random.Generator) -> None:
    scene.zone(-90, 90, -90, 90, BRICK_PAVING, "#8e6f5f", "#77635a", 0.2, 18)
    scene.zone(-90, 90, 2.0, 2.25, CONCRETE, "#b5b2ac", "#a8a5a0", 1.0, 19)
    scene.zone(-90, 90, 2.25, 10.0, ASPHALT, "#55565a", "#4d4e52", 0.4, 20)
    scene.zone(-90, 90, 10.0, 13.0, SLABS, "#9c978f", "#8b867f", 0.5, 22)
    for x in (-6.5, -0.9, 4.6, 10.2):
        car(scene, rng, (x + float(rng.normal(0, 0.2)), 3.35), 0.0)
    car(scene, rng, (7.5, 7.4), 0.05)
    for k, wall in enumerate(("#c2ad8d", "#8a4b3c", "#a9a59d", "#6f7d78")):
        scene.box(
            (-10 + 9.5 * k, 16, 5),
            (9.4, 6, 11 - k % 2),
            0,
            SHOP if k != 2 else BRICK,
            wall,
            ("#24463a", "#2a2b31", "#c7bda9", "#7a2d28")[k],
            scale=3.1 + 0.2 * k,
            seed=61 + k,
        )
    tree(scene, rng, (3.2, 12.0))
    tree(scene, rng, (13.0, 12.0))


def _crossing(scene: Scene, rng: np.random.Generator) -> None:
    scene.zone(-90, 90, -90, 90, ASPHALT, "#626266", "#57575b", 0.4, 23)
    for k in range(-6, 7):
        scene.zone(k * 1.05 - 0.25, k * 1.05 + 0.25, -2.4, 1.6, ASPHALT, "#c9c8c2", "#bdbcb6", 0.4, 24)
    scene.zone(-90, 90, 5.2, 40, SLABS, "#a29c92", "#8d8881", 0.5, 25)
    scene.zone(-90, 90, 5.0, 5.25, CONCRETE, "#b8b5af", "#a9a6a1", 1.0, 26)
    scene.zone(-90, 90, 3.0, 3.12, ASPHALT, "#c9c8c2", "#bdbcb6", 0.4, 27)
    for x in (-7.2, -1.4, 4.3):
        car(scene, rng, (x, 4.1), 0.0)
    scene.box((0, 13.5, 5), (60, 6, 10), 0, SHOP, "#9a8f80", "#3b2a4a", scale=3.8, seed=71)
    for x in (-5.5, 2.0, 8.0):
        scene.rod((x, 5.7, 0), (x, 5.7, 0.9), 0.08, "#2b2d30", band="#c8372d")


def _yard(scene: Scene, rng: np.random.Generator) -> None:
    scene.zone(-90, 90, -90, 90, CONCRETE, "#94928d", "#85837f", 1.5, 28)
    scene.zone(-90, 90, -0.9, -0.78, ASPHALT, "#c7a83c", "#b59a3a", 0.4, 29)
    scene.box((-6, 8.2, 3.2), (14, 4, 6.4), 0, PANELS, "#8f979b", "#6d7479", scale=1.2, seed=81)
    scene.box((8.5, 9.2, 3.6), (14, 5, 7.2), 0, SHUTTER, "#6e7a80", "#a5402f", scale=1.0, seed=82)
    scene.box((30, 16, 5), (24, 6, 10), -0.4, BRICK, "#7a4a3b", "#a89c8e", seed=83)
    scene.box((-28, 18, 5), (20, 6, 10), 0.5, OFFICE, "#8d9499", "#5c6266", scale=2.6, seed=84)
    for x in (-4.0, 0.8, 5.6):
        scene.box((x, 5.4, 2.6), (0.45, 0.45, 5.2), 0, PLASTER, "#b9b6ae", "#8c8a84", seed=85)
    scene.box((-7.0, 5.2, 0.6), (1.2, 0.9, 1.2), 0.1, PAINT, "#2f5a3d", "#222222")
    car(scene, rng, (4.4, 6.6), 0.1)

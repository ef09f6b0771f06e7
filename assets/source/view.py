"""Render one image of an identity by one camera, with pose, light, passers-by and occluders drawn from a seed."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image

import tracer
from body import make_body
from photo import SIZE, Window, detector_box, develop
from places import CAMERAS, place
from posture import Gait
from props import MAKERS
from scene import OCCLUDER, PERSON, Arrays, Scene
from solids import Solid
from wardrobe import Outfit, make_outfit

KINDS = ("car", "bollard", "pole", "board", "hedge", "bicycle", "railing", "umbrella", "pedestrian")
KIND_WEIGHTS = np.array([18, 7, 10, 14, 12, 8, 8, 7, 16]) / 100
THIN = ("bicycle", "railing", "bollard")  # Occluders with gaps, which never hide half of a person.
ATTEMPTS, PER_KIND = 28, 7  # Number of placements to try, in total and for each kind of occluder.
MASK_SIZE = (128, 64)
SAMPLES = 2


@dataclass(frozen=True)
class Picture:
    """A rendered image with its ground truth.

    Attributes:
        image: The image, 128 x 256 pixels.
        kind: Kind of the occluder, or "none".
        visible: Share of the person inside the box that is not occluded.
        mask: (128, 64) uint8; 0 background, 1 person, 2 occluder, 3 occluder before the person.
    """

    image: Image.Image
    kind: str
    visible: float
    mask: np.ndarray

    def mask_png(self) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(self.mask).save(buffer, "PNG", optimize=True)
        return buffer.getvalue()


@lru_cache(maxsize=160)
def passer(seed: int, pose: int, coarse: bool, umbrella: bool) -> tuple[Solid, Outfit]:
    """Return another person in one of four moments of a step."""
    outfit = make_outfit(seed)
    if (umbrella and not outfit.umbrella) or (outfit.umbrella and not umbrella):
        colour = ("#7c2027", "#1d2b45", "#c9a23a", "#20513f", "#1d1e21")[seed % 5]
        outfit = Outfit(**{**outfit.__dict__, "umbrella": colour if umbrella else ""})
    return make_body(outfit, Gait(math.pi / 2 * pose + 0.4, 0.9), 0.03 if coarse else 0.017), outfit


def _walk(rng: np.random.Generator) -> Gait:
    standing = rng.random() < 0.15
    return Gait(
        float(rng.uniform(0, 2 * math.pi)),
        0.05 if standing else float(rng.uniform(0.65, 1.05)),
        float(rng.normal(0, 0.3)),
        str(rng.choice(["swing", "phone", "carry"], p=[0.84, 0.1, 0.06])),
    )


def _light(camera: int, rng: np.random.Generator) -> np.ndarray:
    azimuth, elevation = (math.radians(v) for v in CAMERAS[camera].sun)
    azimuth, elevation = azimuth + rng.normal(0, 0.25), elevation + rng.normal(0, 0.06)
    clouds = float(rng.choice([rng.uniform(0, 0.35), rng.uniform(0.75, 1.0)], p=[0.68, 0.32]))
    sun = np.array([3.0, 2.72, 2.3]) * (1 - 0.96 * clouds)
    sky = np.array([0.52, 0.62, 0.78]) * (1 - clouds) + np.array([0.86, 0.9, 0.95]) * clouds
    haze = np.array([0.72, 0.78, 0.86])
    bounce = np.array([0.30, 0.28, 0.25]) * (1 - 0.5 * clouds)
    out = [
        math.cos(elevation) * math.cos(azimuth),
        math.cos(elevation) * math.sin(azimuth),
        math.sin(elevation),
        *sun,
        *sky,
        *haze,
        *bounce,
        0.002 + 0.002 * clouds,
        0.05 + 0.5 * clouds,
    ]
    return np.array(out)


def _look(eye: np.ndarray, target: np.ndarray) -> np.ndarray:
    forward = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(forward, [0, 0, 1.0])
    right /= np.linalg.norm(right)
    return np.concatenate([eye, right, np.cross(right, forward), forward])


def _labels(lens: np.ndarray, window: Window, size: tuple[int, int], a: Arrays, only: int) -> np.ndarray:
    out = np.zeros(size, np.uint8)
    tracer.labels(lens, window.array, size[1], size[0], a.boxes, a.rods, a.solids, a.grid, only, out)
    return out


def _loose(lens: np.ndarray, spot: np.ndarray, reach: float, height: float) -> Window:
    """Return a window that is large enough for a person at `spot` in any pose."""
    points = np.array([[spot[0] + sx * reach, spot[1] + sy * reach, z] for sx in (-1, 1) for sy in (-1, 1) for z in (0, height)]) - lens[:3]
    depth = points @ lens[9:12]
    u, v = points @ lens[3:6] / depth, points @ lens[6:9] / depth
    return Window(u.min(), u.max(), v.min(), v.max())


def _obstacle(scene: Scene, kind: str, rng: np.random.Generator, spot: np.ndarray, eye: np.ndarray, crowd: int, heading: float) -> None:
    """Add an occluder between a person at `spot` and the camera at `eye`."""
    to_eye = eye[:2] - spot
    to_eye = to_eye / np.linalg.norm(to_eye)
    across = math.atan2(to_eye[1], to_eye[0]) + math.pi / 2
    side = np.array([math.cos(across), math.sin(across)])
    near, spread = {
        "car": (1.45, 1.6),
        "hedge": (0.8, 0.7),
        "board": (0.6, 0.55),
        "pole": (0.6, 0.22),
        "bollard": (0.5, 0.4),
        "bicycle": (0.55, 0.35),
        "railing": (0.5, 0.5),
        "pedestrian": (0.7, 0.38),
        "umbrella": (0.75, 0.45),
    }[kind]
    away = near + float(rng.exponential(0.5 if kind != "railing" else 1.0))
    away = min(away, 0.45 * float(np.linalg.norm(eye[:2] - spot)))
    where = spot + to_eye * away + side * float(rng.normal(0, spread))
    if kind in ("pedestrian", "umbrella"):
        solid, outfit = passer(crowd + int(rng.integers(36)), int(rng.integers(4)), False, kind == "umbrella")
        turn = heading if rng.random() < 0.4 else heading + math.pi
        scene.solid(solid, (where[0], where[1], 0.0), turn + float(rng.normal(0, 0.5)), label=OCCLUDER, contact=0.3, height=outfit.height)
    else:
        MAKERS[kind](scene, rng, (float(where[0]), float(where[1])), across + float(rng.normal(0, 0.25)), OCCLUDER)


def _crowd(scene: Scene, camera: int, rng: np.random.Generator, spot: np.ndarray, eye: np.ndarray, crowd: int) -> None:
    """Add up to two people at some distance behind the person."""
    away = (spot - eye[:2]) / np.linalg.norm(spot - eye[:2])
    side = np.array([-away[1], away[0]])
    for _ in range(int(rng.choice([0, 1, 2], p=[0.35, 0.4, 0.25]))):
        where = spot + away * rng.uniform(2.0, 4.2 if camera != 4 else 2.6) + side * rng.normal(0, 1.1)
        solid, outfit = passer(crowd + int(rng.integers(36)), int(rng.integers(4)), True, False)
        scene.solid(solid, (where[0], where[1], 0.0), float(rng.uniform(0, 2 * math.pi)), contact=0.3, height=outfit.height)


def take(outfit: Outfit, camera: int, seed: list[int], visible: tuple[float, float] | None, crowd: int) -> Picture:
    """Render a person in an outfit. The same arguments give the same pixels.

    Args:
        outfit: Build and clothes of the person.
        camera: Camera, 0 to 5.
        seed: Seed of pose, light, box, passers-by and occluder.
        visible: Smallest and largest share of the person that the occluder leaves visible; None for no occluder.
        crowd: First of the 36 seeds of passers-by.
    """
    rng = np.random.default_rng(seed)
    settings = CAMERAS[camera]
    eye = settings.position
    spot = np.array([rng.uniform(-2.2, 2.2), rng.uniform(-1.0, 0.9)])
    heading = math.radians(settings.path) + math.pi * int(rng.integers(2)) + float(rng.normal(0, 0.4))
    body = make_body(outfit, _walk(rng))
    lens = _look(eye, np.array([*spot, 0.9]))
    alone = Scene()
    alone.solid(body, (spot[0], spot[1], 0.0), heading, label=PERSON, contact=0.3, height=outfit.height)
    loose = _loose(lens, spot, 0.85, float(body.size[2]) + 0.03)
    box = detector_box(loose.tight(_labels(lens, loose, (96, 96), alone.arrays(), PERSON) == PERSON), rng)
    small = (64, 32)
    whole = _labels(lens, box, small, alone.arrays(), PERSON) == PERSON

    kind, staged = "none", alone
    if visible is not None:
        best = 1e9
        kinds = [(k, w) for k, w in zip(KINDS, KIND_WEIGHTS, strict=True) if k not in THIN or visible[1] > 0.5]
        names, weights = [k for k, _ in kinds], np.array([w for _, w in kinds])
        for attempt in range(ATTEMPTS):
            if attempt % PER_KIND == 0:
                guess = str(rng.choice(names, p=weights / weights.sum()))
            trial = alone.copy()
            _obstacle(trial, guess, rng, spot, eye, crowd, heading)
            share = float((_labels(lens, box, small, trial.arrays(), -1)[whole] == PERSON).mean())
            miss = max(visible[0] - share, share - visible[1], 0.0)
            if miss < best:
                best, kind, staged = miss, guess, trial
            if miss == 0:
                break

    scene = place(camera).copy()
    scene.boxes += staged.boxes
    scene.rods += staged.rods
    scene.solids = staged.solids + scene.solids
    _crowd(scene, camera, rng, spot, eye, crowd)
    a = scene.arrays()
    h, w = (int(round(n * settings.detail / 2)) * 2 for n in SIZE)
    light, label = np.zeros((h, w, 3)), np.zeros((h, w), np.uint8)
    tracer.render(
        lens, box.array, w, h, SAMPLES, seed[-1] % 65521, _light(camera, rng), a.boxes, a.rods, a.solids, a.grid, a.prims, a.mats, a.frames, a.zones, light, label
    )
    seen = np.asarray(Image.fromarray(label).resize(MASK_SIZE[::-1], Image.Resampling.NEAREST))
    amodal = _labels(lens, box, MASK_SIZE, alone.arrays(), PERSON) == PERSON
    mask = np.where((seen == OCCLUDER) & amodal, 3, seen).astype(np.uint8)
    visible = float((mask == PERSON).sum()) / max(1, int(amodal.sum()))
    return Picture(develop(light, settings, rng), kind, min(1.0, visible), mask)

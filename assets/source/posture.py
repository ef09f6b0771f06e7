"""Compute the joints of a walking skeleton from an outfit's build and a moment of the step. Axes are those of body.py."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from wardrobe import Outfit


@dataclass(frozen=True)
class Gait:
    """A moment of walking.

    Attributes:
        phase: Phase of the step in radians.
        stride: Length of the step, from 0 for standing to 1.
        head_turn: Rotation of the head in radians.
        arm: Pose of the right arm: swing, phone or carry.
    """

    phase: float
    stride: float = 1.0
    head_turn: float = 0.0
    arm: str = "swing"


def turn(v: np.ndarray, pitch: float = 0.0, yaw: float = 0.0) -> np.ndarray:
    """Rotate about y (pitch moves -z towards +x) and then about z."""
    x, y, z = v
    x, z = x * math.cos(pitch) - z * math.sin(pitch), x * math.sin(pitch) + z * math.cos(pitch)
    return np.array([x * math.cos(yaw) - y * math.sin(yaw), x * math.sin(yaw) + y * math.cos(yaw), z])


def skeleton(outfit: Outfit, gait: Gait) -> dict[str, np.ndarray]:
    """Return the positions of the joints by name, in which 0 is left and 1 is right, such as 'hip0' for the left hip."""
    h, f = outfit.height, outfit.feminine
    down = np.array([0.0, 0.0, -1.0])
    joints: dict[str, np.ndarray] = {}
    twist, lean = 0.12 * gait.stride * math.sin(gait.phase), 0.035 + 0.02 * gait.stride
    joints["pelvis"] = np.zeros(3)
    joints["waist"] = turn(np.array([0, 0, 0.085 * h]), -lean)
    joints["chest"] = turn(np.array([0, 0, 0.215 * h]), -lean)
    joints["neck"] = turn(np.array([0, 0, 0.305 * h]), -lean)
    joints["head"] = joints["neck"] + turn(np.array([0.014 * h, 0, 0.088 * h]), -lean)
    for side, sign in ((0, 1.0), (1, -1.0)):
        phase = gait.phase + side * math.pi
        swing = 0.40 * gait.stride * math.sin(phase) + 0.06 * gait.stride
        knee = 0.07 + gait.stride * (0.12 + 0.85 * max(0.0, math.cos(phase + 0.45)) ** 2)
        hip = turn(np.array([0, sign * (0.046 + 0.005 * f) * h, 0]), 0, -twist)
        knee_at = hip + 0.245 * h * turn(down + [0, 0.02 * sign, 0], swing)
        ankle = knee_at + 0.24 * h * turn(down, swing - knee)
        toe_off = max(0.0, -math.sin(phase - 0.25)) ** 2 * gait.stride
        pitch = 0.3 * gait.stride * max(0.0, math.sin(phase)) ** 2 - 0.75 * toe_off * (0.6 + 0.4 * math.cos(phase))
        out = 0.13 * sign
        joints[f"hip{side}"], joints[f"knee{side}"], joints[f"ankle{side}"] = hip, knee_at, ankle
        joints[f"heel{side}"] = ankle + turn(np.array([-0.03 * h, 0, -0.02 * h]), pitch, out)
        joints[f"toe{side}"] = ankle + turn(np.array([0.095 * h, 0, -0.024 * h]), pitch, out)
        joints[f"footdir{side}"] = turn(np.array([0, 0, 1.0]), pitch, out)
        shoulder = joints["chest"] + turn(np.array([0, sign * (0.099 - 0.012 * f) * h, 0.058 * h]), -lean, twist)
        arm = -0.42 * gait.stride * math.sin(phase) - 0.03
        bend = 0.22 + 0.3 * gait.stride * max(0.0, -math.sin(phase)) + 0.1 * gait.stride
        splay = 0.11 + 0.05 * outfit.weight
        if side == 1 and gait.arm == "phone":
            arm, bend, splay = 0.35, 1.75, 0.1
        if side == 1 and gait.arm == "carry":
            arm, bend, splay = 0.25, 1.9, 0.16
        elbow = shoulder + 0.168 * h * (turn(down + [0, splay * sign, 0], arm) / math.hypot(1, splay))
        inward = -0.10 * sign if side == 0 or gait.arm == "swing" else 0.25
        wrist = elbow + 0.148 * h * (turn(down + [0, inward, 0], arm + bend) / math.hypot(1, inward))
        along = (wrist - elbow) / np.linalg.norm(wrist - elbow)
        joints[f"shoulder{side}"], joints[f"elbow{side}"], joints[f"wrist{side}"] = shoulder, elbow, wrist
        joints[f"hand{side}"] = wrist + 0.052 * h * along
        joints[f"tip{side}"] = wrist + 0.095 * h * turn(along, 0.2)
    floor = min(min(joints[f"{part}{side}"][2] for part in ("heel", "toe")) for side in (0, 1)) - 0.017 * h
    offset = np.array([0, 0, -floor])
    return {name: j if name.startswith("footdir") else j + offset for name, j in joints.items()}

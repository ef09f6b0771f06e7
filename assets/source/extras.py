"""Make shoes, hair, headgear, bags and other carried items of a body as primitives by layer."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from posture import Gait, turn
from solids import BOX, FLAT_B, HEAD, LEG, OTHER, SHELL, TORSO, prim
from wardrobe import BAG, HAIR, HAT, METAL, SHOES, UMBRELLA, Outfit

EASE = {
    "tshirt": 0.007,
    "shirt": 0.009,
    "sweater": 0.011,
    "hoodie": 0.016,
    "jacket": 0.016,
    "coat": 0.020,
    "dress": 0.006,
}  # Distance of the cloth from the body in metres.


def shoes(o: Outfit, j: dict[str, np.ndarray]) -> list[np.ndarray]:
    h, rows = o.height, []
    for s in (0, 1):
        ankle, heel, toe, up = j[f"ankle{s}"], j[f"heel{s}"], j[f"toe{s}"], j[f"footdir{s}"]
        forward = toe - heel
        rows += [
            prim(SHOES, heel + 0.008 * h * up, heel + forward * 0.55 + 0.012 * h * up, 0.021 * h, 0.023 * h, blend=0.03, bone=OTHER, squash=((0, 1, 0), 0.92)),
            prim(SHOES, heel + forward * 0.5 + 0.006 * h * up, toe + 0.002 * h * up, 0.024 * h, 0.018 * h, blend=0.03, bone=OTHER),
            prim(SHOES, heel - 0.004 * h * up, toe - forward * 0.05 - 0.006 * h * up, 0.019 * h, 0.022 * h, blend=0.01, squash=(up, 0.5), bone=LEG),
            prim(SHOES, ankle + [0, 0, 0.0], heel + forward * 0.4 + 0.012 * h * up, 0.021 * h, 0.022 * h, blend=0.03, bone=OTHER),
        ]
        if o.shoe_style == "boot":
            rows.append(prim(SHOES, ankle, ankle + (j[f"knee{s}"] - ankle) * 0.3, 0.0235 * h, 0.029 * h, blend=0.02, flat=FLAT_B, bone=OTHER))
    return rows


def hair(o: Outfit, j: dict[str, np.ndarray], gait: Gait) -> list[np.ndarray]:
    h, head = o.height, j["head"]
    face = turn(np.array([1.0, 0, 0]), 0, gait.head_turn)
    left, up = np.array([-face[1], face[0], 0]), np.array([0, 0, 1.0])
    r = 0.047 * h**0.6 * 1.75**0.4
    rows: list[np.ndarray] = []
    if o.hair_style != "bald":
        thick = {"crop": 0.004, "short": 0.011, "quiff": 0.012, "bob": 0.017, "long": 0.016, "pony": 0.009, "bun": 0.009}[o.hair_style]
        thick = min(thick, 0.008) if o.hat != "none" else thick
        rows.append(
            prim(
                HAIR,
                head + 0.032 * h * up - 0.010 * h * face,
                head + 0.012 * h * up - 0.016 * h * face,
                r * 1.11 + thick,
                r * 1.02 + 0.6 * thick,
                squash=(left, 0.87),
                bone=HEAD,
                fold=0.006,
            )
        )
        if o.hair_style == "quiff" and o.hat == "none":
            rows.append(
                prim(
                    HAIR,
                    head + 0.058 * h * up + 0.014 * h * face,
                    head + 0.06 * h * up - 0.02 * h * face,
                    0.034,
                    0.03,
                    squash=(left, 1.2),
                    blend=0.03,
                    bone=HEAD,
                    fold=0.006,
                )
            )
        if o.hair_style in ("long", "bob"):
            drop = 0.12 if o.hair_style == "long" else 0.05
            back = head - 0.022 * h * face
            rows.append(prim(HAIR, back, back - drop * h * up - 0.008 * h * face, r * 0.98, r * 0.72, squash=(face, 0.62), blend=0.04, bone=HEAD, fold=0.008))
            for sign in (1, -1):
                lock = head + sign * r * 0.92 * left - 0.004 * h * face
                rows.append(prim(HAIR, lock, lock - (drop * 0.8) * h * up + 0.004 * h * face, 0.022, 0.02, blend=0.03, bone=HEAD, fold=0.006))
        if o.hair_style == "pony":
            knot = head + 0.02 * h * up - 0.066 * h * face
            rows.append(prim(HAIR, knot, knot - 0.10 * h * up - 0.018 * h * face, 0.026, 0.016, blend=0.02, bone=HEAD, fold=0.006))
        if o.hair_style == "bun":
            rows.append(prim(HAIR, head + 0.05 * h * up - 0.05 * h * face, head + 0.054 * h * up - 0.052 * h * face, 0.036, blend=0.015, bone=HEAD))
        line = head + 0.058 * h * face + (0.010 if o.hair_style in ("bob", "long") else 0.016) * h * up
        rows.append(prim(HAIR, line - 0.006 * h * up, line - 0.075 * h * up, r * 0.72, r * 1.05, squash=(left, 1.15), bone=HEAD, cut=True))
    if o.hat in ("cap", "beanie", "brim"):
        rows.append(
            prim(
                HAT,
                head + 0.040 * h * up - 0.010 * h * face,
                head + 0.026 * h * up - 0.009 * h * face,
                r * 1.12 + 0.014,
                r * 1.14 + 0.015,
                squash=(left, 0.88),
                bone=HEAD,
            )
        )
        low = head - 0.055 * h * up + 0.01 * h * face
        rows.append(prim(HAT, low - 0.05 * face, low + 0.05 * face, 0.118, bone=HEAD, cut=True))
        if o.hat == "cap":
            rows.append(
                prim(HAT, head + 0.036 * h * up + 0.05 * h * face, head + 0.032 * h * up + 0.088 * h * face, 0.055, 0.05, squash=(up, 0.16), blend=0.01, bone=HEAD)
            )
        if o.hat == "brim":
            rows.append(prim(HAT, head + 0.036 * h * up - 0.02 * face, head + 0.036 * h * up + 0.02 * face, 0.155, squash=(up, 0.09), blend=0.02, bone=HEAD))
    return rows


def carried(o: Outfit, j: dict[str, np.ndarray], umbrella: bool) -> list[np.ndarray]:
    h, rows, chest = o.height, [], j["chest"]
    ease = EASE[o.upper.cut]
    depth = 0.075 * h * (1 + 0.12 * max(o.weight, -0.4)) + 0.6 * ease
    if o.bag == "backpack":
        back = chest + [-depth - 0.055, 0, -0.0]
        rows.append(prim(BAG, back - [0, 0, 0.02 * h], (0.075, 0.135, 0.125 * h), 0.07, kind=BOX, blend=0.02, bone=TORSO, fold=0.004))
        rows.append(prim(BAG, back - [0.075, 0, 0.065 * h], (0.035, 0.1, 0.06 * h), 0.03, kind=BOX, blend=0.015, bone=TORSO, fold=0.004))
        for sign in (1, -1):
            y = sign * 0.062 * h
            top, front = chest + [-0.015, y, 0.099 * h + 0.8 * ease], chest + [depth + 0.024, y, 0.035 * h]
            shoulder = chest + [0.06 * h + ease, y, 0.078 * h + 0.8 * ease]
            low = chest + [0.02, y * 1.55, -0.07 * h]
            rows += [
                prim(BAG, a, b, 0.018, squash=((1, 0, 0.2), 0.8), blend=0.015, bone=TORSO)
                for a, b in ((back + [0.02, y * 0.7, 0.06 * h], top), (top, shoulder), (shoulder, front), (front, low))
            ]
    elif o.bag == "handbag":
        hand = j["hand0"] - [0, 0, 0.02]
        size = (0.135, 0.045, 0.095)
        bag = hand - [0, -0.01, 0.21]
        rows.append(prim(BAG, bag, size, 0.028, kind=BOX, blend=0.01, bone=TORSO))
        rows += [prim(BAG, hand, bag + [x, 0, 0.09], 0.009, blend=0.01, bone=TORSO) for x in (-0.07, 0.07)]
    elif o.bag == "shoulder":
        side = j["pelvis"] + [-0.03, -0.118 * h, 0.01 * h]
        rows.append(prim(BAG, side - [0, 0, 0.01], (0.145, 0.045, 0.105), 0.03, kind=BOX, blend=0.01, bone=TORSO))
        rows.append(prim(BAG, side + [0, -0.02, 0.045], (0.147, 0.034, 0.055), 0.015, kind=BOX, blend=0.004, bone=TORSO))
        strap = [
            side + [0.06, 0.01, 0.1],
            chest + [depth + 0.03, 0.0, 0.01 * h],
            j["shoulder0"] * 0.55 + j["neck"] * 0.45 + [0, 0, 0.027 * h + 0.5 * ease],
            chest + [-depth - 0.03, 0, 0.0],
            side + [-0.06, 0.01, 0.1],
        ]
        rows += [prim(BAG, a, b, 0.012, blend=0.015, bone=TORSO) for a, b in pairwise(strap)]
    if umbrella:
        grip = j["hand1"]
        top = grip + [0.02, 0.05, 0.62]
        rows += [prim(METAL, grip - [0, 0, 0.08], top, 0.011), prim(UMBRELLA, top - [0, 0, 0.62], top - [0, 0, 0.27], 0.60, 0.016, kind=SHELL)]
    return rows

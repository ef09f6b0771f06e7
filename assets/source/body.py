"""Build a clothed body in a walking pose from layers of smoothly joined capsules around a skeleton.

Person axes: x forward, y left, z up, with the ground at z = 0. Units are metres and radians. Proportions follow
standard drafting tables.
"""

from __future__ import annotations

import numpy as np

from extras import EASE, carried, hair, shoes
from posture import Gait, skeleton, turn
from solids import ARM, BOX, FLAT_B, HEAD, LEG, PELVIS, TORSO, Solid, make_solid, prim
from wardrobe import LOWER, SKIN, UPPER, Outfit, materials

GRID_STEP = 0.0155
HEM = {"tshirt": 0.035, "shirt": 0.05, "sweater": 0.03, "hoodie": 0.035, "jacket": 0.04, "coat": 0.0, "dress": 0.0}  # Length below the hips, as a fraction of the height.


def _skin(o: Outfit, j: dict[str, np.ndarray], gait: Gait) -> list[np.ndarray]:
    h, w = o.height, 1 + 0.14 * o.weight
    side_axis, face = (0, 1, 0), turn(np.array([1.0, 0, 0]), 0, gait.head_turn)
    left = np.array([-face[1], face[0], 0])
    up = np.array([0, 0, 1.0])
    head = j["head"]
    r = 0.047 * h**0.6 * 1.75**0.4
    rows = [
        prim(SKIN, head + 0.03 * h * up - 0.010 * h * face, head + 0.012 * h * up + 0.006 * h * face, r * 1.12, r * 1.06, squash=(left, 0.86), bone=HEAD),
        prim(
            SKIN,
            head + 0.006 * h * face,
            head - 0.034 * h * up + 0.017 * h * face,
            r * 0.92,
            r * (0.52 + 0.1 * (1 - o.feminine)),
            squash=(left, 0.86),
            blend=0.03,
            bone=HEAD,
        ),
        prim(SKIN, head + 0.056 * h * face + 0.004 * h * up, head + 0.064 * h * face - 0.012 * h * up, 0.005, 0.0105, blend=0.018, bone=HEAD),
        prim(SKIN, j["neck"] - 0.02 * h * up, head - 0.02 * h * up, 0.033 * h * w**0.6 * (1 - 0.12 * o.feminine), 0.029 * h, blend=0.03, bone=HEAD),
        prim(
            SKIN, j["shoulder0"] * 0.75 + j["shoulder1"] * 0.25, j["shoulder0"] * 0.25 + j["shoulder1"] * 0.75, 0.036 * h, squash=((1, 0, 0), 0.8), blend=0.05, bone=TORSO
        ),
    ]
    for s, sign in ((0, 1.0), (1, -1.0)):
        ear = head + sign * r * 0.98 * left + 0.004 * h * up - 0.006 * h * face
        rows += [
            prim(SKIN, ear + 0.012 * up, ear - 0.012 * up, 0.012, squash=(left, 0.6), blend=0.01, bone=HEAD),
            prim(SKIN, j[f"shoulder{s}"], j[f"elbow{s}"], 0.0265 * h * w, 0.0205 * h * w, blend=0.03, bone=ARM),
            prim(SKIN, j[f"elbow{s}"], j[f"wrist{s}"], 0.0215 * h * w, 0.0145 * h, blend=0.03, bone=ARM),
            prim(SKIN, j[f"wrist{s}"], j[f"hand{s}"], 0.017 * h, 0.024 * h, squash=(side_axis, 0.55), blend=0.02, bone=ARM),
            prim(SKIN, j[f"hand{s}"], j[f"tip{s}"], 0.021 * h, 0.013 * h, squash=(side_axis, 0.5), blend=0.02, bone=ARM),
            prim(SKIN, j[f"wrist{s}"] + 0.012 * h * face, j[f"hand{s}"] + 0.026 * h * face - [0, 0, 0.006 * h], 0.0075 * h, blend=0.012, bone=ARM),
        ]
        if o.lower.cut in ("shorts", "skirt", "legs"):
            calf = j[f"knee{s}"] * 0.68 + j[f"ankle{s}"] * 0.32 - [0.012 * h, 0, 0]
            rows += [
                prim(SKIN, j[f"hip{s}"], j[f"knee{s}"], 0.045 * h * w, 0.030 * h * w**0.6, blend=0.03, bone=LEG),
                prim(SKIN, j[f"knee{s}"], j[f"ankle{s}"], 0.030 * h * w**0.6, 0.019 * h, blend=0.03, bone=LEG),
                prim(SKIN, calf, calf * 0.8 + j[f"ankle{s}"] * 0.2, 0.029 * h * w**0.6, 0.024 * h, blend=0.05, bone=LEG),
            ]
    return rows


def _skirt(layer: int, j: dict[str, np.ndarray], h: float, w: float, length: float, flare: float, fold: float) -> list[np.ndarray]:
    """Return the cloth that hangs around both legs down to `length`, a fraction of the height below the hips."""
    top = j["pelvis"] + [0, 0, 0.05 * h]
    middle = (j["knee0"] + j["knee1"]) / 2
    centre = j["pelvis"] + (np.array([middle[0], 0, middle[2]]) - j["pelvis"]) * (length / 0.245) * [0.6, 1, 1]
    centre[2] = j["pelvis"][2] - length * h
    rows = [prim(layer, top, centre, 0.082 * h * w, (0.078 + flare) * h * w, squash=((1, 0, 0), 0.84), blend=0.07, flat=FLAT_B, bone=PELVIS, fold=fold)]
    for s in (0, 1):
        share = min(1.0, length / 0.25)
        end = j[f"hip{s}"] + (j[f"knee{s}"] - j[f"hip{s}"]) * share
        if length > 0.25:
            end = end + (j[f"ankle{s}"] - end) * min(1.0, (length - 0.25) / 0.24) * 0.8
        end = end.copy()
        row = prim(layer, j[f"hip{s}"], end, 0.058 * h * w, (0.048 + flare * 0.6) * h * w, blend=0.11, flat=FLAT_B, bone=PELVIS, fold=fold)
        rows.append(row)
    return rows


def _torso(o: Outfit, j: dict[str, np.ndarray], layer: int, ease: float, hem: float, fold: float) -> list[np.ndarray]:
    """Return chest, belly and seat with `ease` metres of cloth, which ends `hem` (fraction of the height) below the hips."""
    h, w, f = o.height, 1 + 0.15 * o.weight, o.feminine
    chest, waist, pelvis = j["chest"], j["waist"], j["pelvis"]
    spread = 0.46 - 0.06 * f
    chest0 = chest + (j["shoulder0"] - chest) * [1, spread, 0.42]
    chest1 = chest + (j["shoulder1"] - chest) * [1, spread, 0.42]
    middle = (0.077 - 0.009 * f) * h * w + ease
    hips = (0.099 if hem > 0 else 0.086) + 0.002 * f  # Coats and dresses continue below the hips; other hems hang over the trousers.
    deep, kw = (1, 0, 0), {"bone": TORSO, "fold": fold}
    rows = [
        prim(layer, chest0, chest1, (0.060 - 0.005 * f) * h * w**0.5 + ease, squash=(deep, 0.94), blend=0.045, **kw),
        prim(layer, chest + [0, 0, 0.01 * h], waist, (0.079 - 0.005 * f) * h * w**0.8 + ease, middle, squash=(deep, 0.80), blend=0.045, **kw),
        prim(layer, waist, pelvis - [0.008 * h, 0, hem * h], middle, hips * h * w + ease, squash=(deep, 0.80), blend=0.045, flat=FLAT_B, **kw),
    ]
    for s, sign in ((0, 1.0), (1, -1.0)):
        shoulder, neck = j[f"shoulder{s}"], j["neck"] + [-0.004 * h, sign * 0.020 * h, -0.006 * h]
        rows.append(prim(layer, shoulder + [-0.004 * h, 0, 0.004 * h], neck, 0.024 * h + 0.5 * ease, 0.027 * h + 0.5 * ease, blend=0.04, **kw))
    if o.weight > 0.35:
        rows.append(prim(layer, waist + [0.026 * h * o.weight, 0, 0.0], waist + [0.026 * h * o.weight, 0, -0.03 * h], 0.062 * h * w + ease, blend=0.08, **kw))
    if f > 0.5:
        for s in (0, 1):
            bust = chest + (j[f"shoulder{s}"] - chest) * [0, 0.46, 0] + [0.042 * h, 0, -0.004 * h]
            rows.append(prim(layer, bust, bust - [0, 0, 0.012 * h], 0.033 * h * w**0.5 + ease * 0.6, blend=0.05, **kw))
    return rows


def _upper(o: Outfit, j: dict[str, np.ndarray]) -> list[np.ndarray]:
    h, w, cut = o.height, 1 + 0.14 * o.weight, o.upper.cut
    ease = EASE[cut]
    hem = HEM[cut]
    fold = {"tshirt": 0.006, "shirt": 0.008, "sweater": 0.006, "hoodie": 0.009, "jacket": 0.010, "coat": 0.008, "dress": 0.007}[cut]
    rows = _torso(o, j, UPPER, ease, hem, fold)
    sleeve = {"tshirt": 0.62, "dress": 0.35 + 1.5 * (o.upper.seed % 2)}.get(cut, 2.0)
    for s in (0, 1):
        top, elbow, wrist = j[f"shoulder{s}"], j[f"elbow{s}"], j[f"wrist{s}"]
        end = top + (elbow - top) * min(1.0, sleeve)
        at_elbow = (0.0225 if sleeve >= 1 else 0.0275) * h * w + 0.7 * ease
        rows.append(prim(UPPER, top, end, 0.0275 * h * w**0.7 + 0.7 * ease, at_elbow, blend=0.035, flat=FLAT_B * (sleeve < 1), bone=ARM, fold=fold))
        if sleeve > 1:
            cuff = elbow + (wrist - elbow) * 0.97
            rows.append(prim(UPPER, elbow, cuff, 0.0225 * h * w + 0.7 * ease, 0.0175 * h * w**0.5 + 0.6 * ease, blend=0.03, flat=FLAT_B, bone=ARM, fold=fold))
    neck = j["neck"]
    if cut in ("shirt", "jacket", "coat") or o.scarf:
        thick = 0.030 if o.scarf else 0.016
        rows.append(
            prim(
                UPPER,
                neck + [0.006, 0, 0.000],
                neck + [0.014, 0, 0.012 * h + thick * 0.5],
                0.037 * h + thick * 0.6,
                0.033 * h + thick * 0.55,
                blend=0.02,
                flat=FLAT_B,
                bone=HEAD,
            )
        )
    if cut == "hoodie":
        for sign in (1, -1):
            rows.append(
                prim(UPPER, neck + [-0.055 * h, 0, 0.004 * h], neck + [0.012 * h, sign * 0.038 * h, 0.004 * h], 0.030 * h, 0.017 * h, blend=0.03, bone=TORSO, fold=fold)
            )
    if cut == "coat":
        rows += _skirt(UPPER, j, h, (1 + 0.14 * o.weight) * 1.06, 0.12 + 0.12 * (o.upper.seed % 97) / 97, 0.014, fold)
    if cut == "dress":
        rows += _skirt(UPPER, j, h, 1 + 0.14 * o.weight, 0.17 + 0.14 * (o.upper.seed % 97) / 97, 0.028, 0.013)
    return rows


def _lower(o: Outfit, j: dict[str, np.ndarray]) -> list[np.ndarray]:
    h, w, cut = o.height, 1 + 0.15 * o.weight, o.lower.cut
    seat = [
        prim(
            LOWER,
            j["waist"] - [0, 0, 0.03 * h],
            j["pelvis"] - [0, 0, 0.012 * h],
            0.068 * h * w,
            0.080 * h * w,
            squash=((1, 0, 0), 0.86),
            blend=0.04,
            bone=PELVIS,
            fold=0.006,
        )
    ]
    if cut in ("skirt", "longskirt"):
        return seat + _skirt(LOWER, j, h, w, 0.36 if cut == "longskirt" else 0.15 + 0.08 * (o.lower.seed % 89) / 89, 0.03, 0.013)
    if cut == "legs":
        return seat
    loose = {"jeans": 0.008, "trousers": 0.014, "slim": 0.003, "shorts": 0.02}[cut] + 0.008 * (o.lower.seed % 71) / 71 * (cut != "slim")
    fold = {"jeans": 0.010, "trousers": 0.014, "slim": 0.005, "shorts": 0.010}[cut]
    rows = seat
    for s in (0, 1):
        hip, knee, ankle = j[f"hip{s}"], j[f"knee{s}"], j[f"ankle{s}"]
        buttock = j["pelvis"] + (hip - j["pelvis"]) * 0.85 + [-0.022 * h, 0, 0.008 * h]
        rows.append(prim(LOWER, buttock, hip - [0.012 * h, 0, 0.03 * h], 0.050 * h * w, 0.048 * h * w, blend=0.05, bone=LEG, fold=fold))
        end = hip + (knee - hip) * 0.82 if cut == "shorts" else knee
        rows.append(
            prim(
                LOWER,
                hip,
                end,
                0.047 * h * w + loose * 0.6,
                (0.044 if cut == "shorts" else 0.034) * h * w**0.7 + loose,
                blend=0.04,
                flat=FLAT_B * (cut == "shorts"),
                bone=LEG,
                fold=fold,
            )
        )
        if cut != "shorts":
            hem = knee + (ankle - knee) * (0.98 if cut != "slim" else 0.93)
            rows.append(prim(LOWER, knee, hem, 0.034 * h * w**0.7 + loose, 0.0235 * h + loose * 1.1, blend=0.03, flat=FLAT_B, bone=LEG, fold=fold))
            if cut == "slim":
                calf = knee * 0.68 + ankle * 0.32 - [0.012 * h, 0, 0]
                rows.append(prim(LOWER, calf, calf * 0.8 + ankle * 0.2, 0.031 * h * w**0.6, 0.026 * h, blend=0.05, bone=LEG, fold=fold))
    return rows


def _tuck(o: Outfit, j: dict[str, np.ndarray]) -> np.ndarray:
    """Return the primitive that cuts away the trousers under the upper garment, so that hips do not protrude through it."""
    tall = 0.15 * o.height
    middle = j["pelvis"] + [0, 0, tall + 0.014 - HEM[o.upper.cut] * o.height]
    return prim(LOWER, middle, (0.4, 0.4, tall), 0.01, kind=BOX, cut=True)


def make_body(outfit: Outfit, gait: Gait, step: float = GRID_STEP) -> Solid:
    """Return the solid of a person at one moment of a step. A grid step of 1.5 cm is about two pixels of the image."""
    umbrella = bool(outfit.umbrella)
    gait = Gait(gait.phase, gait.stride, gait.head_turn, "carry") if umbrella else gait
    j = skeleton(outfit, gait)
    rows = _skin(outfit, j, gait) + _lower(outfit, j) + [_tuck(outfit, j)] + _upper(outfit, j) + shoes(outfit, j) + hair(outfit, j, gait) + carried(outfit, j, umbrella)
    face = turn(np.array([1.0, 0, 0]), 0, gait.head_turn)
    up = j["neck"] - j["waist"]
    up = up / np.linalg.norm(up)
    left = j["shoulder0"] - j["shoulder1"]
    left = left - up * (left @ up)
    left = left / np.linalg.norm(left)
    frames = np.stack([np.concatenate([j["chest"], np.cross(left, up), left, up]), np.concatenate([j["head"], face, [-face[1], face[0], 0], [0, 0, 1]])])
    return make_solid(rows, materials(outfit), frames, step, outfit.upper.seed % 1000)

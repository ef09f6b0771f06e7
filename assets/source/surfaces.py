"""Compute the colours of streets, walls, shop fronts, cars and clothes from the position on a surface, in linear light."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from noise import cell, fbm2, noise2, noise3, ramp

ASPHALT, SLABS, BRICK_PAVING, GRASS, GRAVEL, CONCRETE = range(6)
PLASTER, BRICK, PANELS, SHOP, OFFICE, HEDGE, POSTER, PAINT, WOOD, SHUTTER = range(10)


@njit(cache=True, inline="always")
def grid_line(u: float, period: float, width: float, blur: float) -> float:
    """Return 1 on lines of a width that repeat with a period, smoothed over `blur` metres, and 0 elsewhere."""
    r = u / period
    d = abs(r - math.floor(r + 0.5)) * period
    return 1 - ramp(width * 0.5, width * 0.5 + blur + 1e-4, d)


@njit(cache=True)
def ground(mat: int, x: float, y: float, scale: float, seed: int, blur: float, c1: np.ndarray, c2: np.ndarray, out: np.ndarray) -> float:
    """Write the colour of the ground at (x, y) into `out`, and return its gloss. `blur` is the size of a pixel there."""
    fine = max(0.0, 1 - blur * 22)
    stain = fbm2(x * 0.6, y * 0.6, 4, seed)
    grain = (noise2(x * 90, y * 90, seed + 1) - 0.5) * fine + (noise2(x * 28, y * 28, seed + 2) - 0.5) * 0.6
    mix, value = 0.0, 1.0
    if mat == 0:  # asphalt: patches, cracks
        value = 0.82 + 0.36 * stain + 0.22 * grain
        crack = abs(fbm2(x * 0.9 + 3, y * 0.9, 4, seed + 9) - 0.5)
        value *= 1 - 0.35 * (1 - ramp(0.004, 0.012 + blur * 0.5, crack)) * ramp(0.4, 0.6, noise2(x * 0.4, y * 0.4, seed + 4))
        patch = cell(int(math.floor(x / 2.7)), int(math.floor(y / 1.9)), seed)
        value *= 0.88 if patch > 0.86 else 1.0
    elif mat in (1, 5):  # slabs in running bond, or large concrete plates
        row = math.floor(y / scale)
        shift = 0.5 * (row % 2) * scale if mat == 1 else 0.0
        column = math.floor((x + shift) / (scale * 1.25))
        tint = cell(int(column), int(row), seed)
        value = 0.86 + 0.2 * tint + 0.22 * (stain - 0.5) + 0.12 * grain
        mix = 0.5 * cell(int(column), int(row), seed + 3)
        joint = max(grid_line(y, scale, 0.012, blur), grid_line(x + shift, scale * 1.25, 0.012, blur))
        joint *= min(1.0, 0.012 / (blur + 0.006) + 0.15)
        value *= 1 - 0.42 * joint
    elif mat == 2:  # small pavers
        row = math.floor(y / 0.11)
        shift = 0.11 * (row % 2)
        column = math.floor((x + shift) / 0.22)
        tint = cell(int(column), int(row), seed)
        keep = max(0.0, 1 - blur * 5)
        value = 0.92 + 0.34 * (tint - 0.5) * keep + 0.25 * (stain - 0.5) + 0.12 * grain
        mix = 0.5 + (cell(int(column), int(row), seed + 3) - 0.5) * keep
        value *= 1 - 0.4 * keep * max(grid_line(y, 0.11, 0.012, blur), grid_line(x + shift, 0.22, 0.012, blur))
    elif mat == 3:  # grass
        blades = noise2(x * 46, y * 130, seed + 5) * 0.6 + noise2(x * 120, y * 60, seed + 6) * 0.4
        tuft = fbm2(x * 5, y * 5, 3, seed + 7)
        value = 0.5 + 0.55 * blades * (0.35 + 0.65 * fine) + 0.25 * (1 - fine) + 0.5 * (tuft - 0.3)
        mix = ramp(0.42, 0.7, 0.6 * stain + 0.4 * tuft)
    else:  # gravel
        value = 0.9 + 0.5 * grain + 0.4 * (stain - 0.5) + 0.3 * (noise2(x * 40, y * 40, seed + 8) - 0.5) * fine
        mix = stain
    if mat != 3:  # chewing gum, damp and leaves
        spot = cell(int(math.floor(x * 3)), int(math.floor(y * 3)), seed + 21)
        if spot > 0.9:
            cx = (math.floor(x * 3) + 0.3 + 0.4 * cell(int(math.floor(x * 3)), 5, seed)) / 3
            cy = (math.floor(y * 3) + 0.3 + 0.4 * cell(int(math.floor(y * 3)), 6, seed)) / 3
            value *= 1 - 0.25 * (1 - ramp(0.02, 0.03, math.hypot(x - cx, y - cy)))
    value = max(value, 0.15)
    for c in range(3):
        out[c] = (c1[c] * (1 - mix) + c2[c] * mix) * value
    return 0.02


@njit(cache=True)
def _window(u: float, v: float, w: float, h: float, du: float, dv: float, dn: float, seed: int, shop: bool, out: np.ndarray) -> None:
    """Write the colour behind a pane at (u, v) of a w x h window into `out`: a dim room, one to two metres deep."""
    depth = 1.3 if shop else 0.8
    slope = depth / max(0.25, abs(dn))
    ru, rv = u + du * slope, v + dv * slope
    lit = cell(int(seed), 3, 7)
    base = 0.02 + 0.10 * lit * lit * (2.2 if shop else 0.6)
    if shop:
        shelf = math.floor(rv / 0.42)
        item = math.floor(ru / 0.17)
        tall = 0.16 + 0.22 * cell(int(item), int(shelf), seed + 2)
        inside = rv - shelf * 0.42
        if inside < tall and rv > 0.1:
            t = cell(int(item), int(shelf), seed + 4)
            out[0] = base * (0.5 + 1.9 * cell(int(item), int(shelf), seed + 5))
            out[1] = base * (0.5 + 1.5 * t)
            out[2] = base * (0.5 + 1.3 * cell(int(item), int(shelf), seed + 6))
        else:
            glow = 0.8 + 0.8 * ramp(0.5, 2.4, rv)
            out[0], out[1], out[2] = base * glow * 1.15, base * glow, base * glow * 0.78
    else:
        blind = cell(int(seed), 9, 1)
        drop = h * (0.25 + 0.6 * cell(int(seed), 10, 1))
        if blind > 0.55 and v > h - drop:
            shade = 0.28 + 0.12 * blind - 0.05 * grid_line(v, 0.06, 0.02, 0.01)
            out[0], out[1], out[2] = shade, shade * 0.98, shade * 0.92
        else:
            out[0], out[1], out[2] = base * 1.1, base, base * 0.9


@njit(cache=True)
def wall(mat: int, u: float, v: float, du: float, dv: float, dn: float, scale: float, seed: int, blur: float, c1: np.ndarray, c2: np.ndarray, out: np.ndarray) -> float:
    """Write the colour of a wall at (u along, v above the ground) into `out`, and return its gloss (above 0.5: glass)."""
    stain = fbm2(u * 0.5, v * 0.5, 4, seed)
    streak = fbm2(u * 2.2, v * 0.22, 3, seed + 3)
    grain = (noise2(u * 60, v * 60, seed + 1) - 0.5) * max(0.0, 1 - blur * 15)
    value, mix, gloss = 1.0, 0.0, 0.02
    if mat == 3 or mat == 4:
        width = scale
        bay = math.floor(u / width)
        x = u - bay * width
        storey = 3.3
        level = math.floor(v / storey) if v > storey or mat == 4 else 0.0
        y = v - level * storey
        pane = False
        here = int(bay) * 31 + int(level) * 17 + seed
        frame = 0.055
        if mat == 3 and level == 0:
            if y > 2.62:  # sign band with letters
                night = cell(int(bay), 77, seed)
                letter = math.floor(x / 0.16)
                solid = 0.55 < x < width - 0.6 and 2.78 < y < 3.05 and cell(int(letter), int(bay), seed + 8) > 0.22
                stroke = cell(int(math.floor(x / 0.045)), int(math.floor(y / 0.07)), seed + int(bay)) > 0.42
                for c in range(3):
                    tone = 0.25 + 0.75 * cell(int(bay), c, seed + 60)
                    out[c] = c2[c] * tone if night < 0.7 else 0.035
                    if solid and stroke:
                        out[c] = 0.62 - 0.1 * c if night < 0.85 else 0.5
                return 0.05
            if x < 0.22:
                mix, value = 0.0, 0.9 + 0.3 * (stain - 0.5)
            elif y < 0.42:
                for c in range(3):
                    out[c] = c2[c] * 0.55 * (0.85 + 0.3 * stain)
                return 0.06
            else:
                door = cell(int(bay), 4, seed) > 0.55 and x > width - 1.15
                edge = min(min(x - 0.22, width - x), min(y - 0.42, 2.62 - y))
                if door:
                    edge = min(edge, min(abs(x - width + 1.12), 1.0))
                if edge < frame:
                    value = 0.10 + 0.5 * (cell(int(bay), 12, seed) > 0.6)
                    for c in range(3):
                        out[c] = 0.35 * value * (0.9 + 0.2 * stain)
                    return 0.15
                _window(x, y - 0.42, width - 0.2, 2.2, du, dv, dn, here, True, out)
                pane = True
        else:
            left, right, low, high = 0.22 * width, 0.78 * width, 0.85, 2.55
            if mat == 4:
                left, right, low, high = 0.03 * width, 0.97 * width, 0.55, 3.15
            if left < x < right and low < y < high:
                half = 0.5 * (left + right)
                if min(min(x - left, right - x), min(y - low, high - y)) < frame or (abs(x - half) < 0.03):
                    bright = 0.55 if cell(seed, 2, 2) > 0.4 else 0.06
                    for c in range(3):
                        out[c] = bright * (0.9 + 0.2 * stain)
                    return 0.1
                _window(x - left, y - low, right - left, high - low, du, dv, dn, here, False, out)
                pane = True
            elif left - 0.08 < x < right + 0.08 and low - 0.14 < y < high + 0.2:
                value, mix = 1.12, 0.35
            if mat == 4 and (y < 0.12 or y > 3.2):
                value = 0.75
        if pane:
            return 0.9
        value *= 0.88 + 0.22 * stain + 0.1 * grain
        value *= 1 - 0.12 * ramp(0.55, 0.75, streak)
    elif mat == 1:
        row = math.floor(v / 0.075)
        shift = 0.11 * (row % 2)
        column = math.floor((u + shift) / 0.22)
        keep = max(0.0, 1 - blur * 7)
        tint = cell(int(column), int(row), seed)
        value = 0.9 + 0.45 * (tint - 0.5) * keep + 0.4 * (stain - 0.5) + 0.12 * grain
        joint = keep * max(grid_line(v, 0.075, 0.011, blur), grid_line(u + shift, 0.22, 0.011, blur))
        mix = 0.72 * joint + 0.12 * (1 - keep)
        value *= 1 - 0.15 * ramp(0.5, 0.7, streak)
    elif mat == 2:
        tile = cell(int(math.floor(u / scale)), int(math.floor(v / (scale * 0.6))), seed)
        value = 0.85 + 0.14 * tile + 0.3 * (stain - 0.5) + 0.1 * grain
        value *= 1 - 0.55 * max(grid_line(u, scale, 0.016, blur), grid_line(v, scale * 0.6, 0.016, blur))
        value *= 1 - 0.25 * ramp(0.5, 0.72, streak)
    elif mat == 6:  # poster: fields of colour, a picture, lines of text
        fu, fv = u / scale, v / scale
        for c in range(3):
            out[c] = c1[c]
        if fv > 0.62:
            for c in range(3):
                out[c] = c2[c] * (0.75 + 0.5 * fbm2(fu * 3, fv * 3, 3, seed))
        elif fv > 0.34:
            blob = fbm2(fu * 2.4, fv * 2.4, 3, seed + 5)
            for c in range(3):
                out[c] = (0.12 + 0.7 * cell(c, 3, seed)) * (0.4 + 1.1 * blob)
        else:
            line = math.floor(fv / 0.045)
            text = (fv / 0.045 - line) < 0.5 and 0.08 < fu < 0.5 + 0.4 * cell(int(line), 2, seed)
            if text and cell(int(math.floor(fu / 0.02)), int(line), seed) > 0.25:
                for c in range(3):
                    out[c] = 0.05
        return 0.08
    elif mat == 8:
        board = math.floor(u / 0.14)
        tint = cell(int(board), 1, seed)
        value = 0.8 + 0.3 * tint + 0.5 * (fbm2(u * 30, v * 1.6 + tint * 9, 3, seed) - 0.5)
        value *= 1 - 0.6 * grid_line(u, 0.14, 0.012, blur)
    elif mat == 9:
        ridge = v / 0.09
        value = 0.8 + 0.25 * abs(ridge - math.floor(ridge) - 0.5) * 2 * max(0.0, 1 - blur * 10) + 0.3 * (stain - 0.5)
        tag = fbm2(u * 1.7, v * 1.7, 3, seed + 30)
        mix = 0.8 * ramp(0.56, 0.58, tag) * (1 - ramp(1.6, 2.0, v))
        gloss = 0.1
    elif mat == 7:
        value = 0.92 + 0.16 * stain + 0.05 * grain
        gloss = 0.22
    else:
        value = 0.9 + 0.3 * (stain - 0.5) + 0.08 * grain
        value *= 1 - 0.18 * ramp(0.52, 0.75, streak)
    if mat not in (6, 7):
        value *= 0.72 + 0.28 * ramp(0.0, 0.5, v + 0.25 * (stain - 0.5))  # splashes at the foot
    value = max(value, 0.1)
    for c in range(3):
        out[c] = (c1[c] * (1 - mix) + c2[c] * mix) * value
    return gloss


@njit(cache=True)
def cloth(m: np.ndarray, u: float, v: float, part: int, front: float, side: float, out: np.ndarray) -> float:
    """Write the colour of cloth of the material row `m` into `out`, and return its gloss.

    The position is u around and v along the body part; on the torso, v is the height above the chest. `part` is 0 for
    torso, 1 for skirt, 2 for sleeve and 3 for leg. `front` is 1 on the front to -1 on the back, and `side` the distance
    to the left of the middle line in metres.
    """
    pattern, scale, seed = int(m[10]), m[11], int(m[13])
    mix, mix3, value = 0.0, 0.0, 1.0
    if pattern == 1:
        r = v / scale
        mix = ramp(0.46, 0.5, abs(r - math.floor(r) - 0.5) * 2)
    elif pattern == 2:
        mix = 0.6 * grid_line(u, 0.026, 0.005, 0.003)
    elif pattern == 3:
        a, b = u / scale, v / scale
        wa = ramp(0.45, 0.52, abs(a - math.floor(a) - 0.5) * 2)
        wb = ramp(0.45, 0.52, abs(b - math.floor(b) - 0.5) * 2)
        mix = 0.5 * wa + 0.5 * wb
        mix3 = 0.7 * max(grid_line(u + scale * 0.25, scale, 0.008, 0.004), grid_line(v + scale * 0.25, scale, 0.008, 0.004))
    elif pattern == 4:
        if part == 0 or part == 2:
            edge = 0.02 + 0.10 * (cell(seed, 1, 1) - 0.5)
            level = v if part == 0 else edge - v + 0.12
            mix = ramp(edge - 0.004, edge + 0.004, level)
    elif pattern == 5:
        n = fbm2(u / scale, v / scale, 3, seed)
        k = noise2(u / scale * 1.7 + 5, v / scale * 1.7, seed + 7)
        mix = ramp(0.54, 0.57, n)
        mix3 = ramp(0.62, 0.65, k)
    elif pattern == 6 and part == 0 and (front > 0.15 if seed % 4 else front < -0.15):
        w, h = 0.075 + 0.06 * cell(seed, 2, 1), 0.035 + 0.07 * cell(seed, 3, 1)
        y = v + 0.02 + (0.0 if seed % 4 else -0.03)
        if abs(side) < w and abs(y) < h:
            shape = cell(seed, 4, 1)
            if shape < 0.35:  # letters
                mix = 1.0 if cell(int(math.floor(side / 0.022)), int(math.floor(y / 0.03)), seed) > 0.4 else 0.0
            elif shape < 0.7:  # disc
                mix = 1 - ramp(0.9, 1.0, math.hypot(side / w, y / h))
                mix3 = mix * (1.0 if noise2(side * 40, y * 40, seed) > 0.55 else 0.0)
            else:  # band
                mix = 1.0 if abs(y) < h * 0.5 else 0.0
                mix3 = mix * (1.0 if cell(int(math.floor(side / 0.03)), 1, seed) > 0.5 else 0.0)
    elif pattern == 7 and part == 2:
        mix = 1.0
    elif pattern == 8:
        value = 0.88 + 0.3 * (fbm2(u * 14, v * 9, 3, seed) - 0.5) + 0.16 * (noise2(u * 160, v * 160, seed) - 0.5)
        if part == 3:
            value *= 1 + 0.35 * front * math.exp(-(((v - 0.22) / 0.16) ** 2)) * (1.0 if front > 0 else 0.0)
    elif pattern == 9:
        value = 0.9 + 0.16 * abs(math.sin(u * 220)) * (0.5 + 0.5 * math.sin(v * 400))
    elif pattern == 10:
        a, b = u / 0.05, v / 0.05 + 0.5 * (math.floor(u / 0.05) % 2)
        mix = 1 - ramp(0.24, 0.3, math.hypot(a - math.floor(a) - 0.5, b - math.floor(b) - 0.5))
    elif pattern == 11 and part == 3:
        mix = 1.0 if abs(front) < 0.3 else 0.0
    if part == 0 and m[14] > 0.5 and front > 0:  # front opening: zip, open jacket, or buttons
        if m[14] > 2.5:
            value *= 1 - 0.3 * grid_line(side - 0.014, 1.0, 0.004, 0.004)
            if abs(side) < 0.006 and abs(v / 0.09 - math.floor(v / 0.09) - 0.5) < 0.07:
                value *= 0.6
        elif m[14] > 1.5:
            gap = 0.035 + 0.03 * ramp(0.05, -0.3, v) + 0.03 * cell(seed, 7, 7)
            mix3 = max(mix3, 1 - ramp(gap - 0.004, gap, abs(side)))
            value *= 1 - 0.45 * grid_line(abs(side) - gap, 5.0, 0.012, 0.006)
        else:
            value *= 1 - 0.5 * grid_line(side, 5.0, 0.007, 0.004)
        if m[14] < 2.5:
            value *= 1 - 0.35 * (1.0 if abs(v + 0.19) < 0.005 and 0.07 < abs(side) < 0.15 else 0.0)
    weave = noise2(u * 260, v * 260, seed) - 0.5
    value *= 1 + 0.10 * weave
    for c in range(3):
        base = m[1 + c] * (1 - mix) + m[4 + c] * mix
        out[c] = (base * (1 - mix3) + m[7 + c] * mix3) * value
    return m[12]


@njit(cache=True)
def face(m: np.ndarray, f: float, l: float, z: float, height: float, out: np.ndarray) -> None:  # noqa: E741
    """Paint a face on skin at a point f, l and z metres forward, left and up from the centre of the head."""
    k = height / 1.75
    f, a, z = f / k, abs(l) / k, z / k
    if f < 0.035:
        if m[14] > 0.5 and z < -0.03 and f > 0.0:
            for c in range(3):
                out[c] = out[c] * 0.5 + m[4 + c] * 0.5
        return
    cheek = math.exp(-(((a - 0.045) / 0.02) ** 2) - ((z + 0.025) / 0.02) ** 2)
    out[0] *= 1 + 0.08 * cheek
    out[1] *= 1 - 0.08 * cheek
    out[2] *= 1 - 0.06 * cheek
    socket = math.exp(-(((a - 0.031) / 0.018) ** 2) - ((z - 0.014) / 0.012) ** 2)
    brow = math.exp(-(((a - 0.033) / 0.018) ** 4) - ((z - 0.031 + 0.15 * abs(a - 0.03)) / 0.004) ** 2)
    mouth = math.exp(-((a / 0.021) ** 4) - ((z + 0.056) / 0.006) ** 2)
    under = math.exp(-((a / 0.014) ** 2) - ((z + 0.030) / 0.007) ** 2) + 0.5 * math.exp(-((a / 0.02) ** 2) - ((z + 0.068) / 0.005) ** 2)
    jaw = ramp(-0.055, -0.085, z)
    stubble = m[14] * max(ramp(-0.025, -0.05, z) * ramp(0.008, 0.02, abs(z + 0.056) + a * 0.25), math.exp(-((a / 0.024) ** 4) - ((z + 0.042) / 0.006) ** 2))
    for c in range(3):
        out[c] *= (1 - 0.38 * socket - 0.22 * under) * (1 - 0.2 * jaw)
        out[c] = out[c] * (1 - 0.55 * brow) + 0.7 * m[4 + c] * 0.55 * brow
        lip = m[1 + c] * (0.70 if c == 0 else 0.42)
        out[c] = out[c] * (1 - 0.6 * mouth) + lip * 0.6 * mouth
        out[c] = out[c] * (1 - 0.6 * stubble) + m[4 + c] * 0.6 * stubble
    eye = math.exp(-(((a - 0.031) / 0.0125) ** 4) - ((z - 0.012) / 0.0055) ** 4)
    iris = math.exp(-(((a - 0.031) / 0.0062) ** 4))
    for c in range(3):
        out[c] = out[c] * (1 - 0.8 * eye) + (0.16 * (1 - iris) + 0.012 * iris) * 0.8 * eye
    if m[15] > 0.5:  # Every fourth pair of glasses is dark.
        lens = abs(a - 0.031) < 0.023 and abs(z - 0.010) < 0.0165
        inner = abs(a - 0.031) < 0.019 and abs(z - 0.010) < 0.0125
        dark = int(m[13]) % 4 == 0
        if lens and (dark or not inner):
            for c in range(3):
                out[c] = 0.02 if dark else out[c] * 0.25 + 0.01
        elif a < 0.009 and abs(z - 0.014) < 0.003:
            for c in range(3):
                out[c] *= 0.35


@njit(cache=True)
def car(prims: np.ndarray, i: int, x: float, y: float, z: float, ny: float, m: np.ndarray, out: np.ndarray) -> float:
    """Write the colour of a car at a point in its own coordinates into `out`; return its gloss (above 0.5: glass)."""
    half, belt, roof = prims[i, 3], prims[i, 5], prims[i, 6]
    screen, roof_front, roof_back, tail = prims[i, 7], prims[i, 8], prims[i, 9], prims[i, 10]
    for c in range(3):
        out[c] = m[1 + c]
    gloss = 0.42
    low = z < 0.30
    t = (z - belt) / (roof - belt)
    front = screen + (roof_front - screen) * t
    back = tail + (roof_back - tail) * t
    if 0.08 < t < 0.88:
        on_side = abs(ny) > 0.55
        if on_side and back + 0.1 < x < front - 0.1:
            pillar = min(abs(x - 0.10), abs(x - back - 0.55))
            if pillar > 0.045:
                gloss = 0.9
        elif not on_side and (x > front - 0.25 or x < back + 0.25) and abs(y) < 0.62:
            gloss = 0.9
    if gloss > 0.5:
        dark = 0.015 + 0.03 * noise3(x * 2, y * 2, z * 3, 5)
        out[0], out[1], out[2] = dark, dark * 1.05, dark * 1.1
        return gloss
    if low or (z < 0.42 and abs(x) > half - 0.2):
        out[0], out[1], out[2] = 0.02, 0.02, 0.02
        gloss = 0.08
    elif z < belt:
        seam = min(abs(x - screen + 0.25), min(abs(x - 0.10), abs(x - tail - 0.75)))
        if abs(ny) > 0.6 and (seam < 0.009 or abs(z - 0.42) < 0.006):
            out[0], out[1], out[2] = out[0] * 0.25, out[1] * 0.25, out[2] * 0.25
        if abs(ny) > 0.6 and abs(z - belt + 0.11) < 0.014 and (abs(x + 0.02) < 0.07 or abs(x - tail - 0.95) < 0.07):
            out[0], out[1], out[2] = 0.25, 0.25, 0.25
        if abs(y) > 0.42 and 0.58 < z < 0.74:
            if x > half - 0.3:
                out[0], out[1], out[2] = 0.75, 0.76, 0.78
                gloss = 0.6 * 0.8
            elif x < -half + 0.25:
                out[0], out[1], out[2] = 0.34, 0.01, 0.01
        if abs(y) < 0.27 and 0.44 < z < 0.56 and abs(x) > half - 0.25:
            plate = 0.02 if noise2(y * 45, 1.0, 3) > 0.55 and 0.46 < z < 0.54 else 0.65
            out[0], out[1], out[2] = plate, plate, plate * 0.9
        elif abs(y) < 0.4 and 0.34 < z < 0.62 and x > half - 0.2:
            out[0], out[1], out[2] = 0.015, 0.015, 0.016
    return gloss

"""A small ray tracer for streets: ground, boxes, capsules and solids under one sun and a sky. It runs on the CPU.

Every pixel is the mean of `samples` x `samples` rays. From each surface that a ray hits, another ray is traced to a
jittered sun, so that shadows have soft borders. Results depend only on the arguments and the seed.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from hits import BOX, ROD, SKY, SOLID, nearest, sunlight
from noise import cell
from shading import ambient, sky_colour, surface


@njit(cache=True)
def render(camera, window, width, height, samples, seed, light, boxes, rods, solids, grid, prims, mats, frames, zones, rgb, label):
    """Render a scene into `rgb`, (H, W, 3) linear light, and `label`, (H, W) labels that most rays of each pixel hit.

    Labels are 0 for background, 1 for the person and 2 for an occluder. `camera` (12) has position, right, up and
    forward. `window` has the left, right, bottom and top edge of the image at distance 1. `light` (17) has the sun's
    direction and colour, sky, haze, bounce, haze density and blur of the sun.
    """
    nrm, col, amb, refl = np.empty(3), np.empty(3), np.empty(3), np.empty(3)
    ox, oy, oz = camera[0], camera[1], camera[2]
    spread = (window[1] - window[0]) / width
    rays = samples * samples
    for j in range(height):
        for i in range(width):
            people, occluders = 0, 0
            for s in range(rays):
                jx, jy = cell(i * 7 + s, j, seed), cell(i, j * 7 + s, seed + 1)
                u = window[0] + (window[1] - window[0]) * (i + (s % samples + jx) / samples) / width
                v = window[3] - (window[3] - window[2]) * (j + (s // samples + jy) / samples) / height
                dx = camera[9] + camera[3] * u + camera[6] * v
                dy = camera[10] + camera[4] * u + camera[7] * v
                dz = camera[11] + camera[5] * u + camera[8] * v
                norm = 1 / math.sqrt(dx * dx + dy * dy + dz * dz)
                dx, dy, dz = dx * norm, dy * norm, dz * norm
                t, kind, index, axis, sign = nearest(boxes, rods, solids, grid, ox, oy, oz, dx, dy, dz, -1)
                if kind == SKY or t > 150:
                    sky_colour(dx, dy, dz, light, col)
                    for c in range(3):
                        rgb[j, i, c] += col[c] / rays
                    continue
                mark = 0
                if kind == BOX:
                    mark = int(boxes[index, 17])
                elif kind == ROD:
                    mark = int(rods[index, 14])
                elif kind == SOLID:
                    mark = int(solids[index, 17])
                people += mark == 1
                occluders += mark == 2
                gloss, sky, stuff = surface(kind, index, axis, sign, t, ox, oy, oz, dx, dy, dz, boxes, rods, solids, grid, prims, mats, frames, zones, spread, nrm, col)
                sx = light[0] + light[16] * (cell(i * 7 + s, j, seed + 2) - 0.5)
                sy = light[1] + light[16] * (cell(i, j * 7 + s, seed + 3) - 0.5)
                sz = light[2]
                norm = 1 / math.sqrt(sx * sx + sy * sy + sz * sz)
                sx, sy, sz = sx * norm, sy * norm, sz * norm
                facing = nrm[0] * sx + nrm[1] * sy + nrm[2] * sz
                diffuse = max(0.0, facing)
                if stuff == 0:  # Subsurface scattering in skin.
                    diffuse = max(0.0, (facing + 0.25) / 1.25)
                elif stuff == 5:
                    diffuse = max(0.0, (facing + 0.5) / 1.5)
                shadow = 0.0
                x, y, z = ox + dx * t, oy + dy * t, oz + dz * t
                if diffuse > 0 and light[3] > 0.02:
                    lift = 0.012 if kind != SOLID else 0.02
                    shadow = sunlight(boxes, rods, solids, grid, x + nrm[0] * lift, y + nrm[1] * lift, z + nrm[2] * lift + 0.001, sx, sy, sz)
                ambient(nrm[2], light, sky, amb)
                view = -(dx * nrm[0] + dy * nrm[1] + dz * nrm[2])
                rim = max(0.0, 1 - max(0.0, view))
                hx, hy, hz = sx - dx, sy - dy, sz - dz
                norm = 1 / math.sqrt(hx * hx + hy * hy + hz * hz + 1e-9)
                half = max(0.0, (hx * nrm[0] + hy * nrm[1] + hz * nrm[2]) * norm)
                power = 18.0 + 220.0 * gloss
                spark = gloss * half**power * shadow * 1.6
                sheen = 0.07 * rim**3 if stuff == 1 else 0.0
                for c in range(3):
                    tint = 1.0
                    if stuff == 0:
                        tint = (1.0, 0.93, 0.88)[c] if shadow < 0.99 else 1.0
                    col[c] = col[c] * (light[3 + c] * diffuse * shadow * tint + amb[c]) + sheen * amb[c] * 0.6
                    col[c] += spark * light[3 + c]
                if gloss > 0.06:
                    fresnel = (0.04 + 0.96 * rim**5) * (gloss if gloss < 0.5 else 1.0) * 1.2
                    if gloss > 0.5:
                        fresnel = min(1.0, fresnel + 0.08)
                    k = 2 * view
                    sky_colour(dx + nrm[0] * k, dy + nrm[1] * k, dz + nrm[2] * k, light, refl)
                    for c in range(3):
                        col[c] += refl[c] * min(fresnel, 0.9) * (0.35 + 0.65 * sky)
                haze = 1 - math.exp(-t * light[15])
                for c in range(3):
                    rgb[j, i, c] += (col[c] * (1 - haze) + light[9 + c] * haze) / rays
            label[j, i] = 1 if 2 * people >= rays else (2 if 2 * occluders >= rays else 0)


@njit(cache=True)
def labels(camera, window, width, height, boxes, rods, solids, grid, only, out):
    """Write the label that a single ray per pixel hits into `out`, (H, W); `only` >= 0 ignores all other labels."""
    for j in range(height):
        for i in range(width):
            u = window[0] + (window[1] - window[0]) * (i + 0.5) / width
            v = window[3] - (window[3] - window[2]) * (j + 0.5) / height
            dx = camera[9] + camera[3] * u + camera[6] * v
            dy = camera[10] + camera[4] * u + camera[7] * v
            dz = camera[11] + camera[5] * u + camera[8] * v
            norm = 1 / math.sqrt(dx * dx + dy * dy + dz * dz)
            _, kind, index, _, _ = nearest(boxes, rods, solids, grid, camera[0], camera[1], camera[2], dx * norm, dy * norm, dz * norm, only)
            if kind == BOX:
                out[j, i] = int(boxes[index, 17])
            elif kind == ROD:
                out[j, i] = int(rods[index, 14])
            elif kind == SOLID:
                out[j, i] = int(solids[index, 17])
            else:
                out[j, i] = 0

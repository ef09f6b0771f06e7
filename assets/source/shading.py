"""Compute colour, normal and visible sky at the point where a ray hits a surface; scene.py defines the rows of arrays."""

from __future__ import annotations

import math

from numba import njit

import surfaces
from hits import BOX, GROUND, ROD, sample
from noise import fbm2, noise2, noise3, ramp
from solids import classify


@njit(cache=True)
def sky_colour(dx, dy, dz, light, out):
    """Write the colour of the sky in a direction into `out`; below the horizon, that of a street, for reflections."""
    up = max(0.0, dz)
    for c in range(3):
        haze, zenith = light[9 + c] * 1.25, light[6 + c] * 0.85
        out[c] = haze + (zenith - haze) * up**0.55
    if dz > 0.02:
        cloud = ramp(0.42, 0.75, fbm2(dx / (dz + 0.25) * 1.6, dy / (dz + 0.25) * 1.6, 4, 77))
        for c in range(3):
            out[c] += (light[9 + c] * 1.7 - out[c]) * cloud * 0.7
    skyline = 0.10 + 0.14 * noise2(math.atan2(dy, dx) * 5, 1.0, 9)
    if dz < skyline:
        k = ramp(skyline, skyline - 0.05, dz)
        for c in range(3):
            out[c] = out[c] * (1 - 0.8 * k) + 0.10 * light[6 + c] * k


@njit(cache=True)
def ambient(nz, light, open_sky, out):
    for c in range(3):
        out[c] = (light[6 + c] * (0.5 + 0.5 * nz) + light[12 + c] * (0.5 - 0.5 * nz)) * open_sky


@njit(cache=True)
def crease(x, y, z):
    """Return the height, 0 to 1, of the slanted creases of worn cloth at a point of a body in metres."""
    warp = noise3(x * 6, y * 6, z * 5, 41)
    fold = 1 - abs(2 * noise3(x * 15 + 3 * warp, y * 15 - 3 * warp, z * 11 + (x + y) * 6, 43) - 1)
    return fold * fold


@njit(cache=True)
def _person(s, prims, mats, frames, lx, ly, lz, nx, ny, nz, col):
    """Write the colour at a point of a solid, in its own coordinates, into `col`; return kind of material and gloss."""
    layer, which = classify(prims, int(s[13]), int(s[14]), lx, ly, lz)
    m = mats[int(s[15]) + layer]
    kind = int(m[0])
    for c in range(3):
        col[c] = m[1 + c]
    gloss = m[12]
    chest, head = frames[int(s[16])], frames[int(s[16]) + 1]
    if s[18] == 1:
        if layer == 0:
            gloss = surfaces.car(prims, which, lx, ly, lz, ny, m, col)
        elif kind == 7:
            r = math.hypot(lx - prims[which, 3], lz - prims[which, 5])
            if r < 0.235:
                spoke = abs(math.sin(2.5 * math.atan2(lz - prims[which, 5], lx - prims[which, 3])))
                rim = 0.30 if spoke > 0.5 or r > 0.2 or r < 0.06 else 0.03
                col[0], col[1], col[2], gloss = rim, rim, rim * 1.02, 0.3
        return kind, gloss
    bone = int(prims[which, 17])
    if kind == 0:
        if bone == 4:
            qx, qy, qz = lx - head[0], ly - head[1], lz - head[2]
            f = qx * head[3] + qy * head[4]
            surfaces.face(m, f, qx * head[6] + qy * head[7], qz, s[20], col)
        elif bone == 3 and m[16] > 0.5:
            for c in range(3):
                col[c] = col[c] * 0.25 + 0.008
        blotch = 0.94 + 0.12 * noise3(lx * 25, ly * 25, lz * 25, 3)
        col[0], col[1], col[2] = col[0] * (0.5 + 0.5 * blotch), col[1] * blotch, col[2] * blotch
    elif kind == 1 or kind == 3:
        qx, qy, qz = lx - chest[0], ly - chest[1], lz - chest[2]
        f = qx * chest[3] + qy * chest[4] + qz * chest[5]
        side = qx * chest[6] + qy * chest[7] + qz * chest[8]
        v = qx * chest[9] + qy * chest[10] + qz * chest[11]
        facing = nx * chest[3] + ny * chest[4] + nz * chest[5]
        part = 0
        if bone == 1:
            part = 1
        if bone == 2 or bone == 3:
            part = bone
            ax, ay, az = prims[which, 3], prims[which, 4], prims[which, 5]
            bx, by, bz = prims[which, 6] - ax, prims[which, 7] - ay, prims[which, 8] - az
            length = math.sqrt(bx * bx + by * by + bz * bz) + 1e-9
            v = ((lx - ax) * bx + (ly - ay) * by + (lz - az) * bz) / length
        if bone == 4 and m[16] > 0.5:
            for c in range(3):
                col[c] = m[7 + c] * (0.8 + 0.4 * noise3(lx * 30, ly * 30, lz * 14, 8))
            return kind, 0.02
        u = math.atan2(side, f) * 0.16 if part == 0 else side
        if part == 3 or part == 2:
            u = ly
        gloss = surfaces.cloth(m, u, v, part, f / 0.12 if part == 0 and abs(facing) < 0.2 else facing, side, col)
        if kind == 3:
            gloss = 0.09
        if m[15] > 0.5 and bone == 1 and v > -0.235 - 0.0 * v:
            for c in range(3):
                col[c] = col[c] * 0.4 + 0.01
    elif kind == 2:
        strand = noise3(lx * 90 + ly * 70, ly * 90, lz * 12, int(m[13]))
        for c in range(3):
            col[c] *= 0.55 + 0.9 * strand
    elif kind == 4:
        if lz < 0.022 + 0.008 * m[14]:
            for c in range(3):
                col[c] = m[4 + c]
        elif m[14] > 0.5 and noise2(lz * 60, lx * 14, int(m[13])) > 0.74:
            for c in range(3):
                col[c] = m[7 + c] * 0.7
    elif kind == 5:
        n = noise3(lx * 26, ly * 26, lz * 26, int(m[13]))
        k = noise3(lx * 60, ly * 60, lz * 60, int(m[13]) + 1)
        w = 0.28 + 0.9 * n * (0.5 + k)
        for c in range(3):
            col[c] = (m[1 + c] * (1 - n) + m[4 + c] * n) * w
    elif kind == 8 and m[14] > 1:
        if math.sin(m[14] * math.atan2(ly - prims[which, 4], lx - prims[which, 3])) > 0.985:
            for c in range(3):
                col[c] *= 0.6
        if nz < 0:
            for c in range(3):
                col[c] *= 0.45
    return kind, gloss


@njit(cache=True)
def surface(kind, index, axis, sign, t, ox, oy, oz, dx, dy, dz, boxes, rods, solids, grid, prims, mats, frames, zones, spread, nrm, col):
    """Write normal and colour of a surface into `nrm` and `col`; return gloss, visible sky (0 to 1) and material.

    The material is that of a solid, or -1 for other surfaces.
    """
    x, y, z = ox + dx * t, oy + dy * t, oz + dz * t
    gloss, sky, stuff = 0.02, 1.0, -1
    if kind == GROUND:
        nrm[0], nrm[1], nrm[2] = 0.0, 0.0, 1.0
        which = 0
        for i in range(zones.shape[0]):
            if zones[i, 0] <= x <= zones[i, 1] and zones[i, 2] <= y <= zones[i, 3]:
                which = i
        q = zones[which]
        blur = t * spread / max(0.08, -dz)
        gloss = surfaces.ground(int(q[4]), x, y, q[11], int(q[12]), min(blur, 0.5) * 0.6, q[5:8], q[8:11], col)
    elif kind == BOX:
        b = boxes[index]
        px, py = x - b[0], y - b[1]
        lx, ly = px * b[6] + py * b[7], py * b[6] - px * b[7]
        ex, ey = dx * b[6] + dy * b[7], dy * b[6] - dx * b[7]
        nrm[0], nrm[1], nrm[2] = 0.0, 0.0, 0.0
        if axis == 2:
            nrm[2] = sign
            u, v, du, dv, dn = lx, ly, ex, ey, dz
        elif axis == 0:
            nrm[0], nrm[1] = sign * b[6], sign * b[7]
            u, v, du, dv, dn = ly + 40, z, ey, dz, ex
        else:
            nrm[0], nrm[1] = -sign * b[7], sign * b[6]
            u, v, du, dv, dn = lx + 40, z, ex, dz, ey
        mat = int(b[8])
        if mat == 6:
            u, v = u - 40 + b[3] if axis == 1 else 0.5, z - (b[2] - b[5])
        if axis == 2 and mat in (3, 4):
            mat = 0
        gloss = surfaces.wall(mat, u, v, du, dv, dn, b[15], int(b[16]), t * spread, b[9:12], b[12:15], col)
        sky = 0.62 + 0.38 * ramp(0.0, 1.2, z) if b[5] > 0.3 else 0.9
    elif kind == ROD:
        r = rods[index]
        bx, by, bz = r[3] - r[0], r[4] - r[1], r[5] - r[2]
        h = ((x - r[0]) * bx + (y - r[1]) * by + (z - r[2]) * bz) / (bx * bx + by * by + bz * bz)
        h = min(1.0, max(0.0, h))
        nrm[0], nrm[1], nrm[2] = (x - r[0] - h * bx) / r[6], (y - r[1] - h * by) / r[6], (z - r[2] - h * bz) / r[6]
        band = int(r[7]) == 1 and 0.72 < h < 0.86
        wear = 0.85 + 0.3 * noise3(x * 18, y * 18, z * 9, 31)
        for c in range(3):
            col[c] = (r[11 + c] if band else r[8 + c]) * wear
        gloss = r[15]
    else:
        s = solids[index]
        px, py = x - s[0], y - s[1]
        lx, ly, lz = px * s[3] + py * s[4], py * s[3] - px * s[4], z - s[2]
        inv, off = 1 / s[8], int(s[12])
        nx, ny, nz = int(s[9]), int(s[10]), int(s[11])
        gx, gy, gz = (lx - s[5]) * inv, (ly - s[6]) * inv, (lz - s[7]) * inv
        e = 0.8
        ax = sample(grid, off, nx, ny, nz, gx + e, gy, gz) - sample(grid, off, nx, ny, nz, gx - e, gy, gz)
        ay = sample(grid, off, nx, ny, nz, gx, gy + e, gz) - sample(grid, off, nx, ny, nz, gx, gy - e, gz)
        az = sample(grid, off, nx, ny, nz, gx, gy, gz + e) - sample(grid, off, nx, ny, nz, gx, gy, gz - e)
        norm = 1 / (math.sqrt(ax * ax + ay * ay + az * az) + 1e-9)
        ax, ay, az = ax * norm, ay * norm, az * norm
        stuff, gloss = _person(s, prims, mats, frames, lx, ly, lz, ax, ay, az, col)
        for k in range(1, 4):  # Ambient occlusion: nearby surfaces make distances along the normal shorter than the steps.
            far = 0.028 * k * k
            d = sample(grid, off, nx, ny, nz, gx + ax * far * inv, gy + ay * far * inv, gz + az * far * inv)
            sky -= max(0.0, min(far, 0.115) - d) / min(far, 0.115) * (0.36, 0.26, 0.2)[k - 1]
        sky = max(sky, 0.12) * (0.7 + 0.3 * ramp(0.0, 0.9, z))
        if stuff == 5:
            sky *= 0.55 + 0.45 * ramp(0.2, 1.0, noise3(lx * 9, ly * 9, lz * 9, 4) + 0.3 * az)
        if stuff == 1 or stuff == 3:  # Creases are finer than the grid.
            e = 0.006
            bump = crease(lx, ly, lz)
            depth = (0.0055 if stuff == 1 else 0.002) / e
            ax -= depth * (crease(lx + e, ly, lz) - bump)
            ay -= depth * (crease(lx, ly + e, lz) - bump)
            az -= depth * (crease(lx, ly, lz + e) - bump)
            norm = 1 / math.sqrt(ax * ax + ay * ay + az * az)
            ax, ay, az = ax * norm, ay * norm, az * norm
            sky *= 0.86 + 0.22 * bump
        if stuff == 1 or stuff == 5 or stuff == 2:  # Weave of cloth, leaves and strands of hair.
            f = 70.0 if stuff == 1 else 34.0
            a = 0.10 if stuff == 1 else 0.9
            ax += a * (noise3(lx * f, ly * f, lz * f, 1) - 0.5)
            ay += a * (noise3(lx * f, ly * f, lz * f, 2) - 0.5)
            az += a * (noise3(lx * f, ly * f, lz * f, 3) - 0.5)
            norm = 1 / math.sqrt(ax * ax + ay * ay + az * az)
            ax, ay, az = ax * norm, ay * norm, az * norm
        nrm[0], nrm[1], nrm[2] = ax * s[3] - ay * s[4], ax * s[4] + ay * s[3], az
    if kind in (GROUND, BOX):  # Walls, people and cars hide a part of the sky.
        for i in range(boxes.shape[0]):
            b = boxes[i]
            if b[5] > 0.15 and not (kind == BOX and i == index):
                px, py = x - b[0], y - b[1]
                qx = max(0.0, abs(px * b[6] + py * b[7]) - b[3])
                qy = max(0.0, abs(py * b[6] - px * b[7]) - b[4])
                qz = max(0.0, abs(z - b[2]) - b[5])
                sky *= 1 - 0.4 * math.exp(-math.sqrt(qx * qx + qy * qy + qz * qz) / min(0.5, 0.3 * b[5] + 0.1))
        for i in range(solids.shape[0]):
            s = solids[i]
            px, py = x - s[0], y - s[1]
            lx, ly, lz = px * s[3] + py * s[4], py * s[3] - px * s[4], z - s[2]
            ex, ey, ez = s[8] * (s[9] - 1), s[8] * (s[10] - 1), s[8] * (s[11] - 1)
            qx = max(0.0, abs(lx - s[5] - 0.5 * ex) - 0.5 * ex)
            qy = max(0.0, abs(ly - s[6] - 0.5 * ey) - 0.5 * ey)
            qz = max(0.0, abs(lz - s[7] - 0.5 * ez) - 0.5 * ez)
            d = math.sqrt(qx * qx + qy * qy + qz * qz)
            if d < 1.0 and s[18] == 1:
                sky *= 1 - 0.8 * math.exp(-d / 0.22)
            elif d < 0.9 and kind == GROUND:
                r = math.hypot(lx, ly) / s[19]
                sky *= 1 - 0.42 * math.exp(-r * r)
                inv = 1 / s[8]
                near = sample(grid, int(s[12]), int(s[9]), int(s[10]), int(s[11]), (lx - s[5]) * inv, (ly - s[6]) * inv, (0.02 - s[2] - s[7]) * inv)
                sky *= 1 - 0.75 * max(0.0, 1 - near / 0.11) ** 1.5 * ramp(0.15, 0.0, d)
    return gloss, sky, stuff

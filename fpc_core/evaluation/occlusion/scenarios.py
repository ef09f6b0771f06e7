"""Make the scenes of occlusion curves, and evaluate their results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import cv2
import numpy as np
import pandas as pd

from fpc_core.data.ground_truth import PERSON
from fpc_core.data.occluder_rendering import CutOutImages, coverage
from fpc_core.data.occluders import GREY, Rectangle, Scene, scale_occluders
from fpc_core.evaluation.occlusion.study import NOT_RANKED, RANKINGS, OcclusionResults, OcclusionTask


class GrowthDirection(StrEnum):
    """How the occluded area grows along a curve."""

    OWN = "own"  # Every occluder of the scene grows to its own size.
    BELOW = "below"  # For this and the other sides, a grey rectangle grows over the person's box from that side.
    ABOVE = "above"
    LEFT = "left"
    RIGHT = "right"


@dataclass(frozen=True)
class Box:
    """A box whose coordinates are fractions of the image's width and height."""

    left: float = 0.0
    top: float = 0.0
    right: float = 1.0
    bottom: float = 1.0


def person_pixels(mask: np.ndarray | None, shape: tuple[int, int]) -> np.ndarray:
    """Return which pixels show the visible person, bool (H, W).

    Args:
        mask: Ground-truth mask (`fpc_core.data.ground_truth`); None or a mask without a person selects every pixel.
        shape: Height and width of the result.
    """
    if mask is None or not (mask == PERSON).any():
        return np.ones(shape, bool)
    height, width = shape
    return cv2.resize((mask == PERSON).astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST) > 0


def box_of(person: np.ndarray) -> Box:
    """Return the box around the pixels selected by `person`, bool (H, W) with at least one True."""
    rows, columns = (np.flatnonzero(person.any(axis=axis)) for axis in (1, 0))
    height, width = person.shape
    return Box(columns[0] / width, rows[0] / height, (columns[-1] + 1) / width, (rows[-1] + 1) / height)


def growing(scene: Scene, steps: int) -> tuple[Scene, ...]:
    """Return scenes whose occluded area grows in equal steps.

    Args:
        scene: The last scene.
        steps: Number of scenes after the first, which has no occluder.
    """
    return tuple(scale_occluders(scene, step / steps) for step in range(steps + 1))


def edge_occluders(side: GrowthDirection, box: Box, steps: int, colour: str = GREY) -> tuple[Scene, ...]:
    """Return scenes in which a rectangle grows from one side of a box until it covers the whole box.

    Args:
        side: Side from which the rectangle grows; any direction except OWN.
        box: Box that the last scene covers.
        steps: Number of scenes after the first, which has no occluder.
        colour: Colour of the rectangle as #rrggbb.

    Raises:
        ValueError: The direction is OWN.
    """
    if side is GrowthDirection.OWN:
        raise ValueError(
            "side must be BELOW, ABOVE, LEFT or RIGHT, got OWN; use `growing` for the occluders of a scene"
        )
    width, height = box.right - box.left, box.bottom - box.top
    scenes = [Scene()]
    for step in range(1, steps + 1):
        share = step / steps
        covered = {
            GrowthDirection.BELOW: replace(box, top=box.bottom - share * height),
            GrowthDirection.ABOVE: replace(box, bottom=box.top + share * height),
            GrowthDirection.LEFT: replace(box, right=box.left + share * width),
            GrowthDirection.RIGHT: replace(box, left=box.right - share * width),
        }[side]
        scenes.append(Scene((_filled(covered, colour),)))
    return tuple(scenes)


def covered_shares(scenes: Sequence[Scene], person: np.ndarray, pictures: CutOutImages | None = None) -> np.ndarray:
    """Return the share of the person that each scene covers.

    Args:
        scenes: S scenes.
        person: (H, W) bool, which pixels show the person.
        pictures: Images of the scenes' cut-outs, from `cut_outs`.

    Returns:
        (S,) shares in [0, 1].
    """
    return np.array([coverage(scene, person.shape, pictures)[person].mean() for scene in scenes])


def breakdown_share(shares: np.ndarray, margin: np.ndarray) -> float | None:
    """Return the covered share at which the true match first loses rank 1, interpolated between two steps.

    Args:
        shares: (S,) covered shares.
        margin: (S,) margins of complete `OcclusionResults`.

    Returns:
        The share; the first one if the match has no rank 1 even there, and None if it never loses rank 1. The match may
        regain rank 1 at larger shares.
    """
    lost = np.flatnonzero(margin <= 0)
    if not len(lost):
        return None
    step = int(lost[0])
    if step == 0 or not np.isfinite(margin[step - 1 : step + 1]).all():
        return float(shares[step])
    before, after = margin[step - 1], margin[step]
    return float(shares[step - 1] + before / (before - after) * (shares[step] - shares[step - 1]))


def occlusion_table(task: OcclusionTask, results: OcclusionResults, shares: np.ndarray) -> pd.DataFrame:
    """Return a table with one row per keep rate and scene computed so far.

    Args:
        task: Scenes and keep rates.
        results: Results of the task.
        shares: (S,) shares of the person that each scene covers, from `covered_shares`.
    """
    rows = []
    for rate, scene in np.argwhere(results.known).tolist():
        row: dict[str, float | int | None] = {"keep rate": task.keep_rates[rate], "covered": shares[scene]}
        for index, name in enumerate(RANKINGS):
            rank = int(results.rank[rate, scene, index])
            row[f"rank by {name}"] = None if rank == NOT_RANKED else rank
            row[f"distance by {name}"] = results.distance[rate, scene, index]
        for name, parts in (("match", results.match_parts), ("wrong hit", results.wrong_parts)):
            row[f"D_cos of the {name}"], row[f"D_EMD of the {name}"] = parts[rate, scene]
        rows.append(row)
    table = pd.DataFrame(rows)
    ranks = [name for name in table.columns if name.startswith("rank by")]
    return table.astype(dict.fromkeys(ranks, "Int64"))


def _filled(box: Box, colour: str) -> Rectangle:
    width, height = box.right - box.left, box.bottom - box.top
    return Rectangle((box.left + box.right) / 2, (box.top + box.bottom) / 2, width, height, colour=colour)

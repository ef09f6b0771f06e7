"""Steps 1 to 3: the patches of the query, the attention to them, and which of them are dropped (Sec. 3.1)."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np

from fpc_core.config import DropStrategy
from fpc_core.explain.masks import to_grid
from fpc_core.explain.sentences import drop_sentence
from fpc_core.lessons.context import LessonContext
from fpc_core.lessons.step import (
    Equation,
    Panel,
    PatchMaps,
    Quiz,
    Step,
    choose_near,
    count_choices,
    number,
    patch_name,
    share,
)
from fpc_core.results import DropStage

OTHER_STRIDES = {16: 11, 11: 16}  # The paper uses stride 11; patches do not overlap at stride 16.
SHARES = (0.1, 0.25, 0.5, 0.75, 0.95)
TOP = 10  # Number of patches whose attention is added up.


def patches(case: LessonContext) -> Step:
    """Build the step on patches and positions (Eq. 1)."""
    config = case.config
    (height, width), size, stride = config.image_size, config.patch_size, config.stride
    rows, columns = config.grid
    other = replace(config, stride=OTHER_STRIDES.get(stride, max(1, stride // 2)))
    more = "more" if other.patches > config.patches else "fewer"
    choices, answer = count_choices(
        other.patches, (config.patches, round(config.patches * stride / other.stride), 2 * other.patches)
    )
    overlap = "side by side" if stride == size else f"{stride} pixels from one to the next, so they overlap"
    descriptions = tuple(
        f"Patch {index + 1}, {patch_name(index, columns)}: pixels {top}–{top + size - 1} down, "
        f"{left}–{left + size - 1} across"
        for index in range(config.patches)
        for top, left in [(index // columns * stride, index % columns * stride)]
    )
    camera = " and camera" if config.cameras else ""
    return Step(
        key="patches",
        title="Patches and positions",
        question="How does the model see an image?",
        text=f"The image is cut into **patches** of {size} × {size} pixels, {overlap}. Each becomes a **token**: a "
        f"list of {config.width} numbers. Embeddings of its position{camera} are added, because a token alone does "
        "not encode where its patch was. One extra token, **[cls]**, summarises the whole image.",
        today=f"For this query: {rows} rows of {columns} give {config.patches} patches, plus [cls].",
        equations=(
            Equation(
                "Eq. 1",
                r"Z = \{x_{\text{cls}},\ f(p_1), \dots, f(p_N)\} + P + C_{\text{id}}",
                (rf"(1 + {config.patches}) \text{{ tokens of }} {config.width} \text{{ numbers}}",),
            ),
            Equation(
                "",
                r"N = \left(\left\lfloor \frac{H - p}{s} \right\rfloor + 1\right)"
                r" \cdot \left(\left\lfloor \frac{W - p}{s} \right\rfloor + 1\right)",
                (
                    rf"N = \left(\left\lfloor \frac{{{height} - {size}}}{{{stride}}} \right\rfloor + 1\right)"
                    rf" \cdot \left(\left\lfloor \frac{{{width} - {size}}}{{{stride}}} \right\rfloor + 1\right)"
                    rf" = {rows} \cdot {columns} = {config.patches}",
                ),
            ),
        ),
        quiz=Quiz(
            f"If patches were cut every {other.stride} pixels instead of every {stride}, how many would there be?",
            choices,
            answer,
            f"{other.grid[0]} rows of {other.grid[1]} are {other.patches:,} patches, {more} than the "
            f"{config.patches:,} here. Tokens cost time: every block compares every pair of tokens.",
        ),
        maps=PatchMaps((Panel("query", None, (), descriptions),)),
    )


def attention(case: LessonContext) -> Step:
    """Build the step on the `[cls]` attention (Eq. 2)."""
    encoding, config = case.trace.encoding, case.config
    stage = encoding.stages[0]
    values = stage.attention[0].cpu().numpy().astype(np.float64)
    entered = stage.entered[0].cpu().numpy()
    top = int(values.argmax())
    to_patches = float(values.sum())
    together = float(np.sort(values)[::-1][:TOP].sum())
    answer = choose_near(together, SHARES)
    columns = encoding.grid[1]
    layers = tuple((f"block {each.block}", _grid(each, encoding.grid)) for each in encoding.stages)
    return Step(
        key="attention",
        title="Where [cls] looks",
        question="Where does the model look?",
        text=f"The model has {config.depth} **blocks**. In each block, every token reads all tokens. How much it "
        "takes from each one is called **attention**; these shares add up to 1. What [cls] attends to goes into the "
        "summary of the image.",
        today=f"In block {stage.block} the patch at {patch_name(int(entered[top]), columns)} gets the most: "
        f"{share(values[top])}. An equal share would be {share(1 / (len(values) + 1))}.",
        equations=(
            Equation(
                "Eq. 2",
                r"A_{\text{cls}} = \text{softmax}\left(\frac{q_{\text{cls}} K^\top}{\sqrt{d}}\right)",
                (
                    rf"\sqrt{{d}} = \sqrt{{{config.width // config.heads}}}, \quad"
                    rf" \max_n A_n = {number(values[top])}",
                    rf"A_{{\text{{cls}}}} + \sum_n A_n = {number(1 - to_patches)} + {number(to_patches)} = 1",
                ),
            ),
        ),
        quiz=Quiz(
            f"How much of the attention do the {TOP} most attended patches (of {len(values)}) get in total?",
            tuple(f"about {round(100 * each)} %" for each in SHARES),
            answer,
            f"{share(together)}. Shared equally it would be {share(TOP / (len(values) + 1))}.",
        ),
        maps=PatchMaps(
            (Panel("query", None, layers, _describe_attention(layers, columns)),), "[cls] attention", percent=True
        ),
    )


def dropping(case: LessonContext) -> Step:
    """Build the step on dropping (Sec. 3.1)."""
    encoding, config = case.trace.encoding, case.config
    prune, is_given = encoding.prune, encoding.prune.strategy is DropStrategy.GIVEN
    counts = (config.patches, *(stage.kept.shape[1] for stage in encoding.stages))
    rate = 0.5 if prune.keep_rate > 0.65 else 0.8
    other = replace(prune.of_model, keep_rate=rate).remaining(config.patches)
    choices, answer = count_choices(other[-1], (other[0], math.ceil((1 - rate) * config.patches), *other, counts[-1]))
    blocks = ", ".join(map(str, prune.blocks[:-1])) + f" and {prune.blocks[-1]}" if len(prune.blocks) > 1 else ""
    return Step(
        key="dropping",
        title="Dropping patches",
        question="Which patches were dropped?",
        text=f"In blocks {blocks or prune.blocks[0]} only a fraction γ of the patches (the **keep rate**) "
        f"remains: {_KEPT_PATCHES[prune.strategy]}. All others are removed permanently. Occluders should get little "
        "attention and therefore be dropped.",
        today=drop_sentence(encoding, case.truth),
        equations=(
            Equation(
                "Sec. 3.1",
                r"L = N - D" if is_given else r"L = \lceil \gamma N \rceil",
                (
                    r",\quad ".join(
                        f"{before} - {before - after} = {after}"
                        if is_given
                        else rf"{{\lceil {prune.keep_rate:g} \cdot {before} \rceil}} = {after}"
                        for before, after in pairwise(counts)
                    ),
                ),
            ),
        ),
        quiz=Quiz(
            f"At a keep rate of {rate:g}, how many of the {config.patches} patches would be left at the end?",
            choices,
            answer,
            f"A fraction {rate:g} of the remaining patches is kept, {len(other)} times in a row: "
            f"{config.patches} → {' → '.join(map(str, other))}.",
        ),
    )


_KEPT_PATCHES = {
    DropStrategy.NON_SALIENT: "those with the most [cls] attention",
    DropStrategy.SALIENT: "here, to try the opposite, those with the least [cls] attention",
    DropStrategy.RANDOM: "here, for comparison, chosen at random",
    DropStrategy.GIVEN: "here, for comparison, those that you keep",
}


def _grid(stage: DropStage, grid: tuple[int, int]) -> np.ndarray:
    """Return the attention in a dropping block as a grid.

    Args:
        stage: The dropping block.
        grid: Rows and columns of the grid.

    Returns:
        (rows, columns) float32; NaN for patches that were dropped earlier.
    """
    return to_grid(stage.attention[0].cpu().numpy(), stage.entered[0].cpu().numpy(), grid)


def _describe_attention(layers: tuple[tuple[str, np.ndarray], ...], columns: int) -> tuple[str, ...]:
    descriptions = []
    for index in range(layers[0][1].size):
        values = [(name, float(grid.ravel()[index])) for name, grid in layers]
        parts = [f"{name} {share(value, 2)}" for name, value in values if not math.isnan(value)]
        ending = "" if len(parts) == len(values) else "; then dropped"
        descriptions.append(f"Patch at {patch_name(index, columns)}: {', '.join(parts)}{ending}")
    return tuple(descriptions)

"""Infer image size and stride from the number of position embeddings, or raise an error if several answers fit.

Position embeddings are stored as a list, so a file does not state how many rows and columns they have. A wrong guess
would scramble the grid without an error. Therefore, only sizes that published code uses are assumed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from timm.layers import resample_abs_pos_embed
from torch import Tensor

from fpc_core.config import MAX_SIDE, ModelConfig
from fpc_core.model.weight_files import CheckpointError, label

Size = tuple[int, int]

# Image sizes, height and width in pixels, with which models for person re-identification are trained.
IMAGE_SIZES: tuple[Size, ...] = (
    (256, 128),
    (384, 128),
    (256, 256),
    (384, 192),
    (288, 144),
    (256, 192),
    (224, 112),
    (320, 160),
    (224, 224),
    (384, 384),
    (128, 64),
)
STRIDES = (16, 14, 12, 11, 10, 8)  # Strides in use; that of a plain Vision Transformer is its patch size.
PUBLISHED = ((256, 128), (16, 12, 11))  # Size and strides of FPC and TransReID, which are assumed if they fit.
POSITION = "encoder.position"  # Name of the position embedding in an FPC.


@dataclass(frozen=True)
class Placement:
    """Image size, stride and grid of a model.

    Attributes:
        image_size: Height and width of the input in pixels.
        stride: Stride of the patches in pixels.
        grid: Rows and columns of the position embeddings in the file.
        assumed: Reason for the chosen size and stride; empty if the user gave both.
    """

    image_size: Size
    stride: int
    grid: tuple[int, int]
    assumed: str = ""


def grid_size(size: Size, patch_size: int, stride: int) -> tuple[int, int]:
    """Return rows and columns of the patches of an image.

    Args:
        size: Height and width of the image in pixels.
        patch_size: Height and width of a patch in pixels.
        stride: Stride of the patches in pixels.
    """
    return (size[0] - patch_size) // stride + 1, (size[1] - patch_size) // stride + 1


def place(positions: int, patch_size: int, image_size: Size | None, stride: int | None, *, is_plain: bool) -> Placement:
    """Return image size, stride and grid for a number of positions.

    Args:
        positions: Number of position embeddings without `[cls]`.
        patch_size: Height and width of a patch in pixels.
        image_size: Height and width that the user gave, or None.
        stride: Stride that the user gave, or None.
        is_plain: Whether the file is a plain Vision Transformer, whose positions are resized to any size and stride.

    Raises:
        ValueError: No answer or more than one fits; the message lists the answers and the options.
    """
    if patch_size < 1:
        raise ValueError(f"the patch size must be at least 1, got {patch_size}")
    if image_size is not None and min(image_size) < patch_size:
        raise ValueError(f"image size {format_size(image_size)} is smaller than one patch of {patch_size} pixels")
    if stride is not None and stride < 1:
        raise ValueError(f"the stride must be at least 1, got {stride}")
    if is_plain:
        return _place_plain(positions, patch_size, image_size, stride)
    if image_size is not None and stride is not None:
        grid = grid_size(image_size, patch_size, stride)
        if grid[0] * grid[1] != positions:
            raise ValueError(
                f"{format_size(image_size)} pixels at stride {stride} make {grid[0]} x {grid[1]} = "
                f"{grid[0] * grid[1]} positions, but the file has {positions}; {_advice(positions, patch_size)}"
            )
        return Placement(image_size, stride, grid)
    if image_size is None and stride in (None, *PUBLISHED[1]):
        published = _fitting(positions, patch_size, [PUBLISHED[0]], PUBLISHED[1] if stride is None else [stride])
        if published:
            return Placement(*published[0], grid_size(PUBLISHED[0], patch_size, published[0][1]), _REASON_PUBLISHED)
    strides = _usual_strides(patch_size) if stride is None else (stride,)
    answers = _fitting(positions, patch_size, IMAGE_SIZES if image_size is None else (image_size,), strides)
    if not answers and image_size is not None:
        answers = _fitting(positions, patch_size, (image_size,), range(patch_size, 0, -1))
    if len(answers) != 1:
        raise ValueError(_question(positions, answers, image_size, stride))
    size, stride = answers[0]
    return Placement(size, stride, grid_size(size, patch_size, stride), _REASON_ONLY)


def trained_grid(positions: int, patch_size: int, is_plain: bool) -> tuple[int, int] | None:
    """Return rows and columns of a file's position grid, or None if the number of positions does not determine them.

    Args:
        positions: Number of position embeddings without `[cls]`.
        patch_size: Height and width of a patch in pixels.
        is_plain: Whether the file is a plain Vision Transformer.
    """
    try:
        return place(positions, patch_size, None, None, is_plain=is_plain).grid
    except ValueError:
        return None


def fit_positions(
    state: dict[str, Tensor],
    is_plain: bool,
    config: ModelConfig,
    own_config: ModelConfig | None,
    trained: tuple[int, int] | None,
    path: Path,
) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Resize the position embedding in `state` to the config's grid, and return both grids if they differ.

    Interpolation is bicubic with antialiasing, as in timm's `resample_abs_pos_embed`; TransReID's code resizes
    bilinearly.

    Args:
        state: Tensors by their names in an FPC; the position embedding is replaced.
        is_plain: Whether the file is a plain ViT.
        config: Architecture of the model.
        own_config: Architecture that the file states, or None.
        trained: Grid of the file if it was inferred, or None.
        path: Path of the file, for messages.

    Raises:
        CheckpointError: The embedding has another shape, or its grid is unknown.
    """
    position = state[POSITION]
    if position.ndim != 3 or position.shape[0] != 1 or position.shape[1] < 2 or position.shape[2] != config.width:
        raise CheckpointError(
            f"the position embedding of {label(path)} must be (1, 1 + N, {config.width}), got {tuple(position.shape)}. "
            "Pass the config it was trained with; for training, omit --model"
        )
    grid = own_config.grid if own_config else trained
    if grid is None and position.shape[1] - 1 == config.patches:
        grid = config.grid
    if grid is None:
        grid = trained_grid(position.shape[1] - 1, config.patch_size, is_plain=is_plain)
    if grid is None or grid[0] * grid[1] != position.shape[1] - 1:
        raise CheckpointError(
            f"{label(path)} has {position.shape[1] - 1} positions whose grid is unknown; "
            "pass the config it was trained with (image_size, stride)"
        )
    if grid != config.grid:
        position = resample_abs_pos_embed(position, config.grid, grid, interpolation="bicubic")
    state[POSITION] = position
    return None if grid == config.grid else (grid, config.grid)


def parse_size(text: str) -> Size:
    """Return an image size from text such as "256x128", height first.

    Raises:
        ValueError: The text is not a size of at most `MAX_SIDE` pixels a side.
    """
    match = re.fullmatch(r"(\d{1,5})\s*[x×,]\s*(\d{1,5})", text.strip().lower())
    if not match or not all(1 <= int(side) <= MAX_SIDE for side in match.groups()):
        raise ValueError(
            f"an image size must be HEIGHTxWIDTH in pixels, up to {MAX_SIDE}, such as 256x128, got {text[:40]!r}"
        )
    return int(match[1]), int(match[2])


def format_size(size: Size) -> str:
    """Return an image size as text, such as "256x128"."""
    return f"{size[0]}x{size[1]}"


_REASON_PUBLISHED = "the usual size of FPC and TransReID with this number of positions"
_REASON_ONLY = "the only usual pair with this number of positions"


def _place_plain(positions: int, patch_size: int, image_size: Size | None, stride: int | None) -> Placement:
    """Return image size, stride and grid of a plain Vision Transformer, whose patches do not overlap.

    Args:
        positions: Number of position embeddings without `[cls]`.
        patch_size: Height and width of a patch in pixels.
        image_size: Height and width that the user gave, or None.
        stride: Stride that the user gave, or None.

    Raises:
        ValueError: No answer or more than one fits.
    """
    if image_size is not None:
        rows, columns = grid_size(image_size, patch_size, patch_size)
        if rows * columns == positions:
            reason = "" if stride is not None else "the stride is the patch size"
            return Placement(image_size, stride or patch_size, (rows, columns), reason)
    side = math.isqrt(positions)
    # Pixels beyond the last whole patch would be lost, such as 4 rows of 256 with patches of 14 pixels.
    rows, columns = grid_size(PUBLISHED[0], patch_size, patch_size)
    default = (max(1, rows) * patch_size, max(1, columns) * patch_size)
    size, reason = image_size or default, "position embeddings of a square grid fit any size and stride"
    if side * side == positions:
        return Placement(size, stride or patch_size, (side, side), "" if image_size and stride else reason)
    answers = _fitting(positions, patch_size, IMAGE_SIZES, (patch_size,))
    if len(answers) != 1:
        raise ValueError(_question(positions, answers, image_size, stride))
    trained = answers[0][0]
    return Placement(
        image_size or trained,
        stride or patch_size,
        grid_size(trained, patch_size, patch_size),
        f"trained at {format_size(trained)}, {_REASON_ONLY}",
    )


def _usual_strides(patch_size: int) -> tuple[int, ...]:
    return tuple(sorted({patch_size, *(stride for stride in STRIDES if stride < patch_size)}, reverse=True))


def _fitting(positions: int, patch_size: int, sizes: Sequence[Size], strides: Iterable[int]) -> list[tuple[Size, int]]:
    """Return the pairs of size and stride that give a number of positions.

    Args:
        positions: Number of position embeddings without `[cls]`.
        patch_size: Height and width of a patch in pixels.
        sizes: Image sizes to try.
        strides: Strides to try.
    """
    tried = [(size, stride) for stride in strides for size in sizes if min(size) >= patch_size]
    return [(size, stride) for size, stride in tried if math.prod(grid_size(size, patch_size, stride)) == positions]


def _question(positions: int, answers: Sequence[tuple[Size, int]], size: Size | None, stride: int | None) -> str:
    """Return the message of an error that is fixed by stating the image size and the stride.

    Args:
        positions: Number of position embeddings without `[cls]`.
        answers: Pairs of size and stride that fit; empty if none does.
        size: Image size that the user gave, or None.
        stride: Stride that the user gave, or None.
    """
    if not answers:
        given = "" if size is None else f" at image size {format_size(size)}"
        given += "" if stride is None else f" at stride {stride}"
        return (
            f"the {positions} position embeddings fit no usual image size and stride{given}; state those of the "
            "training with --image-size HEIGHTxWIDTH --stride PIXELS (Data page: Image size and Patch stride)"
        )
    listed = ", ".join(f"{format_size(each)} at stride {step}" for each, step in answers[:6])
    chosen, step = answers[0]
    return (
        f"the {positions} position embeddings fit {listed}; state which is right, such as "
        f"--image-size {format_size(chosen)} --stride {step} (Data page: Image size and Patch stride)"
    )


def _advice(positions: int, patch_size: int) -> str:
    answers = _fitting(positions, patch_size, IMAGE_SIZES, _usual_strides(patch_size))
    if not answers:
        return "state the size and the stride of the training"
    return "possible are " + ", ".join(f"{format_size(size)} at stride {stride}" for size, stride in answers[:6])

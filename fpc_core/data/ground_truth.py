"""What is known of a rendered dataset and of no real one: true masks and occlusions, from `records.parquet`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pyarrow import parquet

from fpc_core.data.datasets import Dataset, DatasetError
from fpc_core.data.images import decode_image

RECORDS = "records.parquet"
BACKGROUND, PERSON, OCCLUDER, OCCLUDER_BEFORE_PERSON = range(4)  # pixel values of a mask


@dataclass(frozen=True)
class Occlusion:
    """kind: of the occluder, "none" without.  visible: share of the person inside the box that is not covered."""

    kind: str
    visible: float


def true_masks(dataset: Dataset) -> dict[Path, np.ndarray]:
    """uint8 (h, w) masks by image path relative to the root, with the four values above; empty for a dataset without.

    Raises DatasetError for a file of records that has no masks, ImageError for a mask that is no image.
    """
    records = _records(dataset, "path", "mask")
    return {Path(each["path"]): decode_image(each["mask"], f"the mask of {each['path']}")[..., 0] for each in records}


def occlusions(dataset: Dataset) -> dict[Path, Occlusion]:
    """By image path relative to the root; empty for a dataset without records.

    Raises DatasetError for a file of records that says nothing of occlusion.
    """
    records = _records(dataset, "path", "occluder", "visible")
    return {Path(each["path"]): Occlusion(each["occluder"], each["visible"]) for each in records}


def _records(dataset: Dataset, *columns: str) -> list[dict[str, Any]]:
    file = dataset.root / RECORDS
    if not file.is_file():
        return []
    try:
        return parquet.read_table(file, columns=list(columns)).to_pylist()
    except (OSError, ValueError) as error:  # pyarrow's own errors are of these kinds
        named = f"{', '.join(columns[:-1])} and {columns[-1]}"
        raise DatasetError(f"{file} cannot be read as Parquet with columns {named}; restore or delete it") from error

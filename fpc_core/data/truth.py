"""True masks of a rendered dataset: what no real dataset has, and the demo's `records.parquet` does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pyarrow import parquet

from fpc_core.data.datasets import Dataset, DatasetError
from fpc_core.data.images import decode_image

RECORDS = "records.parquet"
BACKGROUND, PERSON, OCCLUDER, OCCLUDER_BEFORE_PERSON = range(4)  # pixel values of a mask


def true_masks(dataset: Dataset) -> dict[Path, np.ndarray]:
    """uint8 (h, w) masks by image path relative to the root, with the four values above; empty for a dataset without.

    Raises DatasetError for a file of records that has no masks, ImageError for a mask that is no image.
    """
    file = dataset.root / RECORDS
    if not file.is_file():
        return {}
    try:
        records = parquet.read_table(file, columns=["path", "mask"]).to_pylist()
    except (OSError, ValueError) as error:  # pyarrow's own errors are of these kinds
        raise DatasetError(
            f"{file} cannot be read as Parquet with columns path and mask; restore or delete it"
        ) from error
    return {Path(each["path"]): decode_image(each["mask"], f"the mask of {each['path']}")[..., 0] for each in records}

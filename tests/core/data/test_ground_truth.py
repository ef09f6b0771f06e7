"""Ground-truth masks are read from the records of the demo; other datasets have none."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from fpc_core.data.datasets import DatasetError, open_dataset
from fpc_core.data.ground_truth import RECORDS, occlusions, true_masks
from fpc_core.workspace import DEMO_ROOT


def test_the_demo_has_a_mask_for_every_image():
    dataset = open_dataset(DEMO_ROOT)
    masks = true_masks(dataset)
    assert set(masks) == {record.path for record in (*dataset.query, *dataset.gallery)}
    for record in dataset.query:
        mask = masks[record.path]
        assert mask.shape == (128, 64)
        assert set(np.unique(mask)) <= {0, 1, 2, 3}
        assert (mask >= 2).any(), record.path


def test_a_dataset_without_records_has_no_masks(small_places):
    assert true_masks(open_dataset(small_places.data)) == {}


@pytest.mark.parametrize("broken", ["no masks", "no parquet"])
def test_records_without_masks_are_named_in_the_error(small_places, tmp_path: Path, broken: str):
    if broken == "no masks":
        parquet.write_table(pa.table({"path": ["query/a.jpg"]}), tmp_path / RECORDS)
    else:
        (tmp_path / RECORDS).write_text("hello")
    dataset = replace(open_dataset(small_places.data), root=tmp_path)
    with pytest.raises(DatasetError, match=r"records.parquet cannot be read as Parquet with columns path and mask"):
        true_masks(dataset)


def test_the_demo_has_occluder_and_visible_share_of_every_image():
    dataset = open_dataset(DEMO_ROOT)
    seen = occlusions(dataset)
    assert set(seen) == {record.path for record in (*dataset.query, *dataset.gallery)}
    for record in dataset.query:
        assert seen[record.path].kind not in ("", "none")
        assert 0 < seen[record.path].visible < 1


def test_records_without_occlusions_are_named_in_the_error(small_places, tmp_path: Path):
    parquet.write_table(pa.table({"path": ["query/a.jpg"], "mask": [b""]}), tmp_path / RECORDS)
    dataset = open_dataset(small_places.data)
    assert occlusions(dataset) == {}
    with pytest.raises(DatasetError, match=r"columns path, occluder and visible"):
        occlusions(replace(dataset, root=tmp_path))

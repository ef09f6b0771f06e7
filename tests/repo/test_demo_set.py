"""Layout, records and labels of the shipped demo data agree; nothing is rendered."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from fpc_core.data.datasets import Dataset, Layout, open_dataset

ROOT = Path(__file__).resolve().parents[2] / "assets" / "demo"


@pytest.fixture(scope="module")
def demo() -> Dataset:
    return open_dataset(ROOT)


@pytest.fixture(scope="module")
def records() -> list[dict]:
    return pq.read_table(ROOT / "records.parquet").to_pylist()


def test_the_demo_set_opens_as_synthetic_occluded_duke(demo: Dataset) -> None:
    label = json.loads((ROOT / "dataset.json").read_text())
    assert demo.layout == Layout.OCCLUDED_DUKE
    assert demo.synthetic
    assert label["synthetic"] is True
    assert "synthetic" in demo.name
    assert isinstance(label["seed"], int)
    assert not demo.skipped


def test_the_demo_has_the_proportions_of_occluded_duke(demo: Dataset) -> None:
    query_cameras: dict[int, list[int]] = {}
    for query in demo.query:
        query_cameras.setdefault(query.identity, []).append(query.camera)
    assert len(query_cameras) == 70
    for identity, cameras in query_cameras.items():
        assert len(cameras) == 3
        gallery = [g.camera for g in demo.gallery if g.identity == identity]
        others = [camera for camera in gallery if camera not in cameras]
        assert (len(others), len(set(others))) == (14, 4), identity
        # The other gallery images are junk, as in Duke.
        assert sorted(set(gallery) - set(others)) == sorted(set(cameras)), identity


def test_the_gallery_has_twenty_people_without_a_query(demo: Dataset) -> None:
    distractors = [g.identity for g in demo.gallery if g.identity not in {q.identity for q in demo.query}]
    assert len(distractors) == 40
    assert len(set(distractors)) == 20


def test_all_images_decode_at_the_size_of_the_model(demo: Dataset) -> None:
    for record in (*demo.query, *demo.gallery):
        image = demo.read(record)
        assert image.shape == (256, 128, 3), record.path
        assert image.std() > 5, record.path


def test_records_match_the_files(demo: Dataset, records: list[dict]) -> None:
    files = {r.path.as_posix(): r for r in (*demo.query, *demo.gallery)}
    assert {r["path"] for r in records} == set(files)
    for record in records:
        file = files[record["path"]]
        assert (record["identity"], record["camera"]) == (file.identity, file.camera + 1)


def test_queries_are_occluded_and_most_gallery_images_are_not(demo: Dataset, records: list[dict]) -> None:
    by_path = {r["path"]: r for r in records}
    queries = [by_path[q.path.as_posix()] for q in demo.query]
    assert all(query["occluder"] != "none" for query in queries)
    assert min(query["visible"] for query in queries) < 0.25
    assert max(query["visible"] for query in queries) < 0.85
    identities = {query["identity"] for query in queries}
    gallery = [by_path[g.path.as_posix()] for g in demo.gallery if g.identity in identities]
    occluded = [image for image in gallery if image["occluder"] != "none"]
    assert len(occluded) == 2 * len(identities)
    assert min(image["visible"] for image in occluded) > 0.5


def test_masks_agree_with_the_visible_fraction(records: list[dict]) -> None:
    for record in records:
        mask = np.asarray(Image.open(io.BytesIO(record["mask"])))
        assert mask.shape == (128, 64)
        assert set(np.unique(mask)) <= {0, 1, 2, 3}
        person, covered = int((mask == 1).sum()), int((mask == 3).sum())
        assert person > 0, record["path"]
        assert person / (person + covered) == pytest.approx(record["visible"], abs=0.06), record["path"]


def test_the_demo_set_with_its_weights_stays_small() -> None:
    files = [file for file in ROOT.rglob("*") if file.is_file() and file.parent != ROOT / "memory"]
    assert sum(file.stat().st_size for file in files) <= 25e6

"""What a dataset holds: counted from its records, and every image of it decoded once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fpc_core.data.datasets import NO_CAMERA, Dataset, ImageRecord, Layout
from fpc_core.data.images import ImageError, decode_image
from fpc_core.io.bounded_files import OutsideRootsError

_WITH_DISTRACTORS = (Layout.MARKET_1501, Layout.DUKE, Layout.OCCLUDED_DUKE)


@dataclass(frozen=True)
class SplitCount:
    """Of one split. cameras: numbers in use, counted from 1 as in the file names; empty where there are none."""

    split: str
    images: int
    identities: int
    cameras: tuple[int, ...]


@dataclass(frozen=True)
class Inventory:
    """What stands in a dataset's folders.

    distractors: gallery images of identity 0, which the street layouts give to people that nobody looks for.
    strangers: other gallery images of identities without a query.  unanswered: queries without a true match.
    junk: gallery images that some query leaves out for having its identity and its camera.
    left_out: images of identity -1.  skipped: images whose names do not follow the layout.
    """

    splits: tuple[SplitCount, ...]
    distractors: int
    strangers: int
    unanswered: tuple[Path, ...]
    junk: int
    left_out: int
    skipped: tuple[Path, ...]


@dataclass(frozen=True)
class BrokenImage:
    """An image that cannot be decoded, by its path in the dataset, and why."""

    path: Path
    why: str


def take_inventory(dataset: Dataset) -> Inventory:
    """Count the records of a dataset; no image is opened."""
    shots: dict[int, set[int]] = defaultdict(set)  # cameras that saw an identity of the gallery
    for record in dataset.gallery:
        shots[record.identity].add(record.camera)
    sought = {record.identity for record in dataset.query}
    asked = {(record.identity, record.camera) for record in dataset.query}
    has_distractors = dataset.layout in _WITH_DISTRACTORS and 0 not in sought
    distractors = sum(has_distractors and record.identity == 0 for record in dataset.gallery)
    return Inventory(
        splits=tuple(
            _count(split, records)
            for split, records in (("train", dataset.train), ("query", dataset.query), ("gallery", dataset.gallery))
        ),
        distractors=distractors,
        strangers=sum(record.identity not in sought for record in dataset.gallery) - distractors,
        unanswered=tuple(
            record.path
            for record in dataset.query
            if not shots.get(record.identity, set()) - ({record.camera} if dataset.uses_cameras else set())
        ),
        junk=sum((record.identity, record.camera) in asked for record in dataset.gallery) * dataset.uses_cameras,
        left_out=dataset.junk,
        skipped=dataset.skipped,
    )


def decode_all(dataset: Dataset) -> Iterator[BrokenImage | None]:
    """Decode every image of query, gallery and training split, each file once: None, or what is wrong with it."""
    for record in images_of(dataset):
        try:
            decode_image(dataset.root / record.path, "the file", allowed=dataset.allowed)
        except (ImageError, OutsideRootsError) as error:
            yield BrokenImage(record.path, str(error))
        else:
            yield None


def images_of(dataset: Dataset) -> tuple[ImageRecord, ...]:
    """Every image once, in the order query, gallery, train: in a plain folder a query is a gallery image too."""
    every = (*dataset.query, *dataset.gallery, *dataset.train)
    return tuple({record.path: record for record in every}.values())


def _count(split: str, records: tuple[ImageRecord, ...]) -> SplitCount:
    cameras = {record.camera for record in records} - {NO_CAMERA}
    return SplitCount(
        split, len(records), len({record.identity for record in records}), tuple(sorted(each + 1 for each in cameras))
    )

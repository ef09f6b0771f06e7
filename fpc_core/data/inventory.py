"""Count what a dataset contains, and check that its images can be decoded."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from fpc_core.data.datasets import NO_CAMERA, Dataset, ImageRecord
from fpc_core.data.images import ImageError, decode_image
from fpc_core.data.protocols import Cameras
from fpc_core.io.bounded_files import OutsideRootsError


@dataclass(frozen=True)
class SplitCount:
    """Counts of one split.

    Attributes:
        split: Name of the split.
        images: Number of images.
        identities: Number of identities.
        cameras: Cameras in use, 1-based as in the file names; empty if they are unknown.
    """

    split: str
    images: int
    identities: int
    cameras: tuple[int, ...]


@dataclass(frozen=True)
class Inventory:
    """Counts of a dataset.

    Attributes:
        splits: Counts of each split.
        distractors: Number of gallery images of identity 0, which Market-1501 and DukeMTMC use for distractors.
        without_query: Number of other gallery images whose identity has no query.
        without_match: Paths of the queries without a true match.
        junk: Number of gallery images that at least one query excludes because they have its identity and camera.
        left_out: Number of images of identity -1.
        skipped: Paths of the images whose names do not follow the layout.
    """

    splits: tuple[SplitCount, ...]
    distractors: int
    without_query: int
    without_match: tuple[Path, ...]
    junk: int
    left_out: int
    skipped: tuple[Path, ...]


@dataclass(frozen=True)
class BrokenImage:
    """An image that cannot be decoded.

    Attributes:
        path: Path of the image relative to the dataset's root.
        why: Reason why it cannot be decoded.
    """

    path: Path
    why: str


def take_inventory(dataset: Dataset) -> Inventory:
    """Count the records of a dataset without opening any image."""
    cameras_of: dict[int, set[int]] = defaultdict(set)  # The cameras of each gallery identity.
    for record in dataset.gallery:
        cameras_of[record.identity].add(record.camera)
    images_of_identity = Counter(record.identity for record in dataset.gallery)
    query_identities = {record.identity for record in dataset.query}
    query_pairs = {(record.identity, record.camera) for record in dataset.query}
    has_distractors = dataset.cameras in (Cameras.FROM_0, Cameras.FROM_1) and 0 not in query_identities
    distractors = sum(has_distractors and record.identity == 0 for record in dataset.gallery)
    return Inventory(
        splits=tuple(
            _count(split, records)
            for split, records in (("train", dataset.train), ("query", dataset.query), ("gallery", dataset.gallery))
        ),
        distractors=distractors,
        without_query=sum(record.identity not in query_identities for record in dataset.gallery) - distractors,
        without_match=tuple(
            record.path for record in dataset.query if not _has_match(record, dataset, cameras_of, images_of_identity)
        ),
        junk=sum((record.identity, record.camera) in query_pairs for record in dataset.gallery)
        * dataset.excludes_own_camera,
        left_out=dataset.junk,
        skipped=dataset.skipped,
    )


def decode_all(dataset: Dataset) -> Iterator[BrokenImage | None]:
    """Decode every image of a dataset once, and yield None or a description of the problem for each."""
    for record in images_of(dataset):
        try:
            decode_image(dataset.root / record.path, "the file", allowed=dataset.allowed)
        except (ImageError, OutsideRootsError) as error:
            yield BrokenImage(record.path, str(error))
        else:
            yield None


def images_of(dataset: Dataset) -> tuple[ImageRecord, ...]:
    """Return every image once, in the order query, gallery, train, even if it is in several splits."""
    records = (*dataset.query, *dataset.gallery, *dataset.train)
    return tuple({record.path: record for record in records}.values())


def _has_match(
    record: ImageRecord, dataset: Dataset, cameras_of: Mapping[int, set[int]], images_of_identity: Mapping[int, int]
) -> bool:
    """Return whether a query has a true match: a gallery image of its identity that counts, other than itself.

    Args:
        record: Record of the query.
        dataset: Dataset of the query.
        cameras_of: Cameras of the gallery images of each identity.
        images_of_identity: Number of gallery images of each identity.
    """
    if dataset.excludes_own_camera:  # This excludes the query itself, too.
        return bool(cameras_of.get(record.identity, set()) - {record.camera})
    return images_of_identity.get(record.identity, 0) > (record.path in dataset.own_rows)


def _count(split: str, records: tuple[ImageRecord, ...]) -> SplitCount:
    cameras = {record.camera for record in records} - {NO_CAMERA}
    return SplitCount(
        split, len(records), len({record.identity for record in records}), tuple(sorted(each + 1 for each in cameras))
    )

"""Check the images of a dataset before the first one is encoded, and leave out those that cannot be read.

By default, only the header of every file is read, which takes seconds. If unreadable images are to be left out, every
image is decoded, because a file that is damaged after its header would otherwise stop the build later.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from fpc_core.data.datasets import Dataset, ImageRecord
from fpc_core.data.images import ImageError, check_header, decode_image
from fpc_core.gallery.token_store import GalleryMemoryError
from fpc_core.io.bounded_files import OutsideRootsError, escape_name

MAX_LEFT_OUT = 2_000  # Maximum number of images that a gallery memory records as left out.
_MAX_REASON = 120  # Maximum number of characters of the reason that is recorded.
_EXAMPLES = 3  # Number of images that messages name.
_BATCH = 256  # Number of images after which progress is reported.


@dataclass(frozen=True)
class UnreadableImage:
    """An image that a gallery memory leaves out.

    Attributes:
        path: Path relative to the root of the dataset, with forward slashes.
        why: Reason why it cannot be read.
    """

    path: str
    why: str


class UnreadableImagesError(ImageError):
    """Images of a dataset cannot be read; the message names some of them, and `images` lists all."""

    def __init__(self, message: str, images: tuple[UnreadableImage, ...]) -> None:
        super().__init__(message)
        self.images = images


def readable_dataset(
    dataset: Dataset, skip: bool = False, progress: Callable[[int, int], None] | None = None
) -> tuple[Dataset, tuple[UnreadableImage, ...]]:
    """Check the queries and the gallery of a dataset.

    Args:
        dataset: Dataset to check.
        skip: Whether to leave out images that cannot be read.
        progress: Function that is called with the number of images checked and their total.

    Returns:
        The dataset without the images that are left out, and the images that are left out.

    Raises:
        UnreadableImagesError: Images cannot be read, and `skip` is not set or more than MAX_LEFT_OUT cannot be read.
        GalleryMemoryError: No query or no gallery image remains.
    """
    records = tuple({record.path: record for record in (*dataset.query, *dataset.gallery)}.values())
    unreadable = _unreadable(records, dataset.root, dataset.allowed, skip, progress)
    if not unreadable:
        return dataset, ()
    listed = "; ".join(each.why for each in unreadable[:_EXAMPLES])
    count = f"{len(unreadable):,} of {len(records):,} images of {dataset.name} cannot be read"
    if not skip:
        raise UnreadableImagesError(
            f"{count}: {listed}{' and others' if len(unreadable) > _EXAMPLES else ''}; repair or remove them, or leave "
            "them out with --skip-unreadable (Data page: Build without unreadable images)",
            unreadable,
        )
    if len(unreadable) > MAX_LEFT_OUT:
        raise UnreadableImagesError(
            f"{count}, but at most {MAX_LEFT_OUT:,} can be left out: {listed}; check the dataset", unreadable
        )
    return without(dataset, unreadable), unreadable


def without(dataset: Dataset, left_out: Iterable[UnreadableImage]) -> Dataset:
    """Return a dataset without the images that a gallery memory leaves out.

    Args:
        dataset: Complete dataset.
        left_out: Images to leave out.

    Raises:
        GalleryMemoryError: No query or no gallery image remains.
    """
    paths = {each.path for each in left_out}
    if not paths:
        return dataset
    query, gallery = (
        tuple(record for record in records if record.path.as_posix() not in paths)
        for records in (dataset.query, dataset.gallery)
    )
    if not query or not gallery:
        raise GalleryMemoryError(
            f"no {'query' if gallery else 'gallery'} image of {dataset.name} can be read; repair or replace its images"
        )
    return replace(
        dataset,
        query=query,
        gallery=gallery,
        first_query=query[0].path.as_posix() if dataset.first_query in paths else dataset.first_query,
        examples=tuple(example for example in dataset.examples if example.query not in paths),
        neighbors=min(dataset.neighbors, len(gallery)),
    )


def left_out_note(left_out: Sequence[UnreadableImage]) -> str:
    """Return a sentence on the images that a gallery memory leaves out."""
    several = len(left_out) != 1
    examples = ", ".join(escape_name(each.path) for each in left_out[:_EXAMPLES])
    return (
        f"{len(left_out):,} {'images' if several else 'image'} that could not be read "
        f"{'are' if several else 'is'} left out: {examples}{' and others' if len(left_out) > _EXAMPLES else ''}"
    )


def image_name(record: ImageRecord, root: Path) -> str:
    """Return the path of an image for messages, with its folder.

    Args:
        record: Record of the image.
        root: Folder of the dataset.
    """
    path = record.path if len(record.path.parts) > 1 else Path(root.name) / record.path
    return escape_name(path.as_posix())


def _unreadable(
    records: Sequence[ImageRecord],
    root: Path,
    allowed: Sequence[Path],
    decode: bool,
    progress: Callable[[int, int], None] | None,
) -> tuple[UnreadableImage, ...]:
    def check(record: ImageRecord) -> UnreadableImage | None:
        read = decode_image if decode else check_header
        try:
            read(root / record.path, image_name(record, root), allowed=allowed)
        except (ImageError, OutsideRootsError) as error:
            return UnreadableImage(record.path.as_posix(), str(error)[:_MAX_REASON])
        return None

    found: list[UnreadableImage | None] = []
    with ThreadPoolExecutor(max(1, (os.cpu_count() or 1) // 2), thread_name_prefix="check") as pool:
        for start in range(0, len(records), _BATCH):
            found += pool.map(check, records[start : start + _BATCH])
            if progress:
                progress(len(found), len(records))
    return tuple(each for each in found if each)

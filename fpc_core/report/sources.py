"""Find the images that a report explains: the images in a folder, or the queries of a dataset."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from fpc_core.data.datasets import Dataset
from fpc_core.data.images import SUFFIXES, decode_image
from fpc_core.data.match_label import QueryIdentity, subject_of

DEFAULT_IMAGES = 50  # Number of queries in a report that does not state one.
MAX_IMAGES = 500  # Maximum number of queries in one report, because all of them are in RAM at once.


@dataclass(frozen=True)
class Source:
    """An image to explain.

    Attributes:
        name: Printable name of the image.
        subject: Identity and camera of the query, if they are known.
        read: Function that returns the image as (H, W, 3) uint8, or raises ImageError.
    """

    name: str
    subject: QueryIdentity
    read: Callable[[], np.ndarray]


@dataclass(frozen=True)
class Refused:
    """A file that cannot be explained, and the reason."""

    name: str
    reason: str


@dataclass(frozen=True)
class Sources:
    """Images of a report.

    Attributes:
        title: Title that describes the images.
        images: Images in the order of the report.
        refused: Files that cannot be explained.
        more: Number of further images that exceed the limit.
    """

    title: str
    images: tuple[Source, ...]
    refused: tuple[Refused, ...] = ()
    more: int = 0


def queries_of(dataset: Dataset, limit: int) -> Sources:
    """Return the first queries of a dataset.

    Args:
        dataset: Dataset with the queries.
        limit: Maximum number of queries.

    Raises:
        ValueError: The limit is out of range.
    """
    images = [
        Source(readable(record.path.as_posix()), subject_of(record, dataset), partial(dataset.read, record))
        for record in dataset.query[: _checked(limit)]
    ]
    return Sources(readable(f"queries of {dataset.name}"), tuple(images), more=len(dataset.query) - len(images))


def query_of(path: Path, dataset: Dataset) -> Source:
    """Return a query of the dataset, or any other image file, by its path.

    Args:
        path: Path of any image; that of a query may be relative to the dataset's root. Its existence is not checked.
        dataset: Dataset whose queries are recognised.
    """
    for record in dataset.query:
        if record.path == path or (dataset.root / record.path).resolve() == path.resolve():
            name = readable(record.path.as_posix())
            return Source(name, subject_of(record, dataset), partial(dataset.read, record))
    name = readable(path.name)
    return Source(name, QueryIdentity(), partial(decode_image, path, name))


def images_of(folder: Path, dataset: Dataset, limit: int) -> Sources:
    """Return the first images of a folder and its subfolders, sorted by path, without hidden files.

    Identity and camera are known for images that are queries of the dataset, and unknown for all others.

    Args:
        folder: Folder of images.
        dataset: Dataset whose queries are recognised.
        limit: Maximum number of images.

    Raises:
        ValueError: The path is not a folder, or the folder has no files.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder; pass a folder of images, or none for the queries of the dataset")
    files = sorted(path for home in (folder, *_visible(folder)) for path in _visible(home) if not path.is_dir())
    if not files:
        raise ValueError(f"{folder} contains no files; pass a folder of images")
    known = {(dataset.root / record.path).resolve(): record for record in dataset.query}
    images: list[Source] = []
    refused: list[Refused] = []
    for path in files:
        name = readable(str(path.relative_to(folder)))
        if path.suffix.lower() not in SUFFIXES:
            refused.append(Refused(name, f"does not have one of the suffixes {', '.join(sorted(SUFFIXES))}"))
        elif not path.is_file():
            refused.append(Refused(name, "is not a regular file"))
        else:
            record = known.get(path.resolve())
            subject = subject_of(record, dataset) if record else QueryIdentity()
            images.append(Source(name, subject, partial(decode_image, path, name)))
    shown = images[: _checked(limit)]
    title = readable(f"images of {folder.resolve().name}")
    return Sources(title, tuple(shown), tuple(refused), len(images) - len(shown))


def readable(name: str) -> str:
    """Return a file name as printable text, with control characters and invalid UTF-8 replaced."""
    text = os.fsencode(name).decode("utf-8", "replace")
    return "".join("\ufffd" if unicodedata.category(letter) == "Cc" else letter for letter in text)


def _visible(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [path for path in folder.iterdir() if not path.name.startswith(".")]


def _checked(limit: int) -> int:
    if not 1 <= limit <= MAX_IMAGES:
        raise ValueError(f"the number of queries in a report must be in 1..{MAX_IMAGES}, got {limit}")
    return limit

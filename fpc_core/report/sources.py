"""The images that a report explains: those of a folder, or the queries of the data."""

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
from fpc_core.data.match_label import QueryIdentity

MAX_IMAGES = 500  # queries of one report, all of which are in RAM at once


@dataclass(frozen=True)
class Source:
    """One image to explain; `read` returns (H, W, 3) uint8 or raises ImageError."""

    name: str
    subject: QueryIdentity
    read: Callable[[], np.ndarray]


@dataclass(frozen=True)
class Refused:
    """A file that is not explained, and the reason."""

    name: str
    reason: str


@dataclass(frozen=True)
class Sources:
    """The images of a report.

    Attributes:
        title: What they are.
        images: In order.
        refused: Files that cannot be explained.
        more: How many images the limit left out.
    """

    title: str
    images: tuple[Source, ...]
    refused: tuple[Refused, ...] = ()
    more: int = 0


def queries_of(dataset: Dataset, limit: int) -> Sources:
    """Return the first queries of a dataset, by path."""
    images = [
        Source(
            readable(record.path.as_posix()),
            QueryIdentity(record.identity, record.camera),
            partial(dataset.read, record),
        )
        for record in dataset.query[: _checked(limit)]
    ]
    return Sources(readable(f"queries of {dataset.name}"), tuple(images), more=len(dataset.query) - len(images))


def query_of(path: Path, dataset: Dataset) -> Source:
    """Return one image: a query of the dataset by its path there, or any file; a missing file fails when it is read."""
    for record in dataset.query:
        if record.path == path or (dataset.root / record.path).resolve() == path.resolve():
            name = readable(record.path.as_posix())
            return Source(name, QueryIdentity(record.identity, record.camera), partial(dataset.read, record))
    name = readable(path.name)
    return Source(name, QueryIdentity(), partial(decode_image, path, name))


def images_of(folder: Path, dataset: Dataset, limit: int) -> Sources:
    """Return the first images of a folder and its sub-folders, by path, without hidden files.

    An image that is a query of the dataset keeps its identity and camera. Those of any other image are unknown.

    Args:
        folder: Of images.
        dataset: Where known queries are looked up.
        limit: Maximum number of images.

    Raises:
        ValueError: The path is not a folder, or the folder has no files.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder; give a folder of images, or none for the queries of the dataset")
    files = sorted(path for home in (folder, *_visible(folder)) for path in _visible(home) if not path.is_dir())
    if not files:
        raise ValueError(f"{folder} contains no files; give a folder of images")
    known = {(dataset.root / record.path).resolve(): record for record in dataset.query}
    images: list[Source] = []
    refused: list[Refused] = []
    for path in files:
        name = readable(str(path.relative_to(folder)))
        if path.suffix.lower() not in SUFFIXES:
            refused.append(Refused(name, f"has none of the suffixes {', '.join(sorted(SUFFIXES))}"))
        elif not path.is_file():
            refused.append(Refused(name, "is not a regular file"))
        else:
            record = known.get(path.resolve())
            subject = QueryIdentity(record.identity, record.camera) if record else QueryIdentity()
            images.append(Source(name, subject, partial(decode_image, path, name)))
    shown = images[: _checked(limit)]
    title = readable(f"images of {folder.resolve().name}")
    return Sources(title, tuple(shown), tuple(refused), len(images) - len(shown))


def readable(name: str) -> str:
    """Return a file name as printable text: control characters and invalid UTF-8 are replaced."""
    text = os.fsencode(name).decode("utf-8", "replace")
    return "".join("\ufffd" if unicodedata.category(letter) == "Cc" else letter for letter in text)


def _visible(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [path for path in folder.iterdir() if not path.name.startswith(".")]


def _checked(limit: int) -> int:
    if not 1 <= limit <= MAX_IMAGES:
        raise ValueError(f"a report explains 1 to {MAX_IMAGES} queries, not {limit}; make several reports")
    return limit

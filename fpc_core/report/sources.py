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


def queries_of(dataset: Dataset, most: int) -> Sources:
    """Return the first queries of a dataset, by path."""
    images = [
        Source(
            readable(record.path.as_posix()),
            QueryIdentity(record.identity, record.camera),
            partial(dataset.read, record),
        )
        for record in dataset.query[: _checked(most)]
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


def images_of(folder: Path, dataset: Dataset, most: int) -> Sources:
    """The first `most` images of a folder and of its sub-folders, by path; hidden files are passed over.

    An image that is a query of the data keeps its identity and camera; of any other nothing is known. Raises ValueError
    for what is no folder and for a folder without a single file.
    """
    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder}; give a folder of images, or none for the queries of the data")
    files = sorted(path for home in (folder, *_visible(folder)) for path in _visible(home) if not path.is_dir())
    if not files:
        raise ValueError(f"there are no files in {folder}; give a folder of images")
    known = {(dataset.root / record.path).resolve(): record for record in dataset.query}
    images: list[Source] = []
    refused: list[Refused] = []
    for path in files:
        name = readable(str(path.relative_to(folder)))
        if path.suffix.lower() not in SUFFIXES:
            refused.append(Refused(name, f"its ending is none of {', '.join(sorted(SUFFIXES))}"))
        elif not path.is_file():
            refused.append(Refused(name, "it is no regular file"))
        else:
            record = known.get(path.resolve())
            subject = QueryIdentity(record.identity, record.camera) if record else QueryIdentity()
            images.append(Source(name, subject, partial(decode_image, path, name)))
    shown = images[: _checked(most)]
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


def _checked(most: int) -> int:
    if not 1 <= most <= MAX_IMAGES:
        raise ValueError(f"a report explains 1 to {MAX_IMAGES} queries, not {most}; make several reports")
    return most

"""Sentences on how a dataset was read: its cameras, files left out, and reasons why scores are meaningless."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fpc_core.data.images import MAX_BYTES
from fpc_core.data.layouts.spec import LayoutSpec
from fpc_core.data.protocols import Cameras
from fpc_core.io.bounded_files import read_bytes

if TYPE_CHECKING:
    from fpc_core.data.datasets import Dataset

MANY = 0.01  # Share of the files above which left-out files are a warning with examples.
_EXAMPLES = 3  # Number of examples of left-out files.


@dataclass(frozen=True)
class Note:
    """A sentence on how a dataset was read; `warning` if results may depend on it."""

    text: str
    warning: bool = False


def notes_on(dataset: Dataset, spec: LayoutSpec, remarks: Sequence[str] = ()) -> tuple[Note, ...]:
    """Return the notes on a dataset, warnings first.

    Args:
        dataset: Dataset without notes.
        spec: Layout of the dataset.
        remarks: Sentences of the layout's reader.
    """
    notes = [Note(text) for text in (*remarks, *_camera_notes(dataset, spec))]
    if dataset.queries_are_gallery:
        notes.append(
            Note(
                "There is no split: every image is a query and is compared with all other images, never with itself. "
                "To get comparable scores, add the folders query and gallery."
            )
        )
    if len({record.identity for record in dataset.gallery}) == 1:
        notes.append(
            Note("All gallery images show one person, so every hit is right and scores are meaningless.", True)
        )
    if not dataset.excludes_own_camera and (copies := _copies(dataset)):
        notes.append(
            Note(
                f"{copies:,} of {len(dataset.query):,} queries have a copy in the gallery (same name and content) as "
                "their nearest hit, so scores mean little. Delete these images from the gallery.",
                True,
            )
        )
    if not _has_matches(dataset):
        notes.append(Note(f"No query has a true match: {no_match_reason(dataset)}.", True))
    return tuple(sorted([*_left_out_notes(dataset), *notes], key=lambda note: not note.warning))


def _copies(dataset: Dataset) -> int:
    """Return how many queries have a copy in the gallery: another file with the same name, identity and content."""
    gallery: dict[tuple[str, int], list[Path]] = defaultdict(list)
    for record in dataset.gallery:
        gallery[record.path.name, record.identity].append(record.path)
    return sum(
        any(
            path != record.path and _same_content(dataset, path, record.path)
            for path in gallery.get((record.path.name, record.identity), ())
        )
        for record in dataset.query
    )


def _same_content(dataset: Dataset, one: Path, other: Path) -> bool:
    paths = [dataset.root / one, dataset.root / other]
    try:
        sizes = {path.stat().st_size for path in paths}
        if len(sizes) > 1 or not 0 < max(sizes) <= MAX_BYTES:
            return False
        contents = [read_bytes(path, MAX_BYTES, allowed=dataset.allowed) for path in paths]
    except (OSError, ValueError):  # Files that cannot be read are reported later, when they are checked or encoded.
        return False
    return contents[0] == contents[1]


def no_match_reason(dataset: Dataset) -> str:
    """Return why no query of a dataset has a true match, and how to change that."""
    identities = {record.identity for record in dataset.gallery}
    if dataset.excludes_own_camera and any(record.identity in identities for record in dataset.query):
        return (
            "gallery images from the query's own camera do not count, and no person was seen by two cameras; to count "
            "them, use the protocol no-cameras (--protocol, or Protocol on the Data page)"
        )
    if dataset.queries_are_gallery:
        return "no person is in two images; put all images of a person into one folder"
    return "queries and gallery have no identity in common; check the names of their files or folders"


def _has_matches(dataset: Dataset) -> bool:
    """Return whether at least one query has a true match."""
    images = Counter((record.identity, record.camera) for record in dataset.gallery)
    total = Counter(record.identity for record in dataset.gallery)
    return any(
        total[record.identity]
        > (
            images[record.identity, record.camera]
            if dataset.excludes_own_camera
            else int(record.path in dataset.own_rows)
        )
        for record in dataset.query
    )


def _camera_notes(dataset: Dataset, spec: LayoutSpec) -> list[str]:
    if dataset.cameras is Cameras.FROM_0:
        return ["The names count cameras from 0; camera 0 is shown as camera 1, and so on."]
    if dataset.cameras is Cameras.RELEASED:
        return [
            "Cameras are numbered as in the released code: camera 1 for queries, camera 2 for gallery images. "
            "Use --cameras none for the mean camera embedding."
        ]
    if spec.released_cameras:
        return [
            "The names have no cameras, so the mean camera embedding is used. The released code gives queries "
            "camera 1 and the gallery camera 2; use --variant released or --cameras released to do the same."
        ]
    return []


def _left_out_notes(dataset: Dataset) -> list[Note]:
    """Return one note per reason for leaving files out; it is a warning if the share of the files exceeds MANY."""
    by_reason: dict[str, list[Path]] = defaultdict(list)
    for each in dataset.left_out:
        by_reason[each.reason].append(each.path)
    used = len({record.path for record in (*dataset.train, *dataset.query, *dataset.gallery)}) + dataset.junk
    notes = []
    for reason, paths in by_reason.items():
        share = len(paths) / (used + len(dataset.left_out))
        text = f"{len(paths):,} {'file is' if len(paths) == 1 else 'files are'} left out: {reason}"
        if share <= MANY:
            notes.append(Note(f"{text}."))
            continue
        examples = ", ".join(path.as_posix() for path in paths[:_EXAMPLES])
        notes.append(Note(f"{text}, {share:.0%} of all, such as {examples}.", True))
    return notes

"""Inspect chosen weights and gallery memories before a workspace is opened with them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from fpc_core.data.datasets import Dataset
from fpc_core.gallery.builder import images_done, memory_bytes
from fpc_core.gallery.manifest import read_fingerprint, read_left_out
from fpc_core.gallery.memory import GalleryMemoryError, fingerprint_of, open_memory
from fpc_core.gallery.readable import UnreadableImage, without
from fpc_core.model.checkpoint import LoadReport, weights_fingerprint
from fpc_core.workspace.workspace import Places, load_model


class MemoryStatus(StrEnum):
    """Whether a gallery memory belongs to the chosen dataset and weights."""

    FITS = "fits"
    OTHER = "other"  # It was built from another dataset, other weights or other settings.
    UNFINISHED = "unfinished"  # Its build was interrupted.
    MISSING = "missing"
    UNUSABLE = "unusable"  # The folder cannot be opened as a gallery memory.


@dataclass(frozen=True)
class WeightsInfo:
    """Description of a checkpoint.

    Attributes:
        report: Report of what was loaded from the checkpoint.
        fingerprint: `weights_fingerprint` of the model.
    """

    report: LoadReport
    fingerprint: str


@dataclass(frozen=True)
class MemoryInfo:
    """State of a gallery memory.

    Attributes:
        status: Whether the gallery memory belongs to the chosen dataset and weights.
        images: Number of images that a matching gallery memory has.
        size: Size of a matching gallery memory in bytes.
        differs: Names of the fingerprint parts (weights, settings, files) that differ.
        done: Number of images that an unfinished build has encoded.
        why: Reason why the gallery memory is unusable, or empty.
        left_out: Images that a matching gallery memory leaves out because they could not be read.
    """

    status: MemoryStatus
    images: int
    size: int
    differs: tuple[str, ...] = ()
    done: int = 0
    why: str = ""
    left_out: tuple[UnreadableImage, ...] = ()


def inspect_weights(places: Places) -> WeightsInfo:
    """Load a checkpoint, and return its description.

    Raises:
        CheckpointError: The checkpoint cannot be used.
    """
    model, report = load_model(places)
    return WeightsInfo(report, weights_fingerprint(model))


def inspect_memory(directory: Path, dataset: Dataset, weights: WeightsInfo) -> MemoryInfo:
    """Check whether a gallery memory belongs to a dataset and weights.

    Args:
        directory: Folder of the gallery memory.
        dataset: Chosen dataset.
        weights: Description of the chosen weights.

    Raises:
        GalleryMemoryError: An image of the dataset does not exist.
    """
    left_out = read_left_out(directory)
    dataset = without(dataset, left_out)
    config, images = weights.report.config, len(dataset.gallery)
    expected = fingerprint_of(weights.fingerprint, config, dataset.gallery, dataset.root)
    size = memory_bytes(config, images)
    done = images_done(directory, expected)
    if done:
        return MemoryInfo(MemoryStatus.UNFINISHED, images, size, done=done, left_out=left_out)
    if not directory.exists():
        return MemoryInfo(MemoryStatus.MISSING, images, size)
    try:
        differs = read_fingerprint(directory).differences(expected)
        if not differs:
            open_memory(directory, expect=expected, records=dataset.gallery)  # This raises an error for damaged files.
    except GalleryMemoryError as error:
        return MemoryInfo(MemoryStatus.UNUSABLE, images, size, why=str(error))
    status = MemoryStatus.OTHER if differs else MemoryStatus.FITS
    return MemoryInfo(status, images, size, differs=tuple(differs), left_out=left_out)

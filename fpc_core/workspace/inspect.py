"""What stands in chosen places before anything is opened: which weights, and whether the memory belongs to them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from fpc_core.data.datasets import Dataset
from fpc_core.gallery.builder import images_done, memory_bytes
from fpc_core.gallery.memory import GalleryMemoryError, fingerprint_of, open_memory, read_fingerprint
from fpc_core.model.checkpoint import LoadReport, weights_fingerprint
from fpc_core.workspace.workspace import Places, load_model


class MemoryStatus(StrEnum):
    """Of a memory, towards the data and weights chosen."""

    FITS = "fits"
    OTHER = "other"  # a whole memory, made from something else
    UNFINISHED = "unfinished"  # a build of the very memory was interrupted
    MISSING = "missing"
    UNUSABLE = "unusable"  # there is something that cannot be opened


@dataclass(frozen=True)
class WeightsInfo:
    """report: what came out of the checkpoint.  fingerprint: of the tensors, as `weights_fingerprint`."""

    report: LoadReport
    fingerprint: str


@dataclass(frozen=True)
class MemoryInfo:
    """differs: which of weights, settings and files differ from those chosen.  done: images of an unfinished build.

    images, size: of the memory that belongs there, the latter in bytes.  why: what makes it unusable.
    """

    standing: MemoryStatus
    images: int
    size: int
    differs: tuple[str, ...] = ()
    done: int = 0
    why: str = ""


def inspect_weights(places: Places) -> WeightsInfo:
    """Load the checkpoint of these places to see what it is. Raises CheckpointError."""
    model, report = load_model(places)
    return WeightsInfo(report, weights_fingerprint(model))


def inspect_memory(directory: Path, dataset: Dataset, weights: WeightsInfo) -> MemoryInfo:
    """How the memory in `directory` stands to gallery and weights. Raises GalleryMemoryError for a lost image."""
    config, images = weights.report.config, len(dataset.gallery)
    wanted = fingerprint_of(weights.fingerprint, config, dataset.gallery, dataset.root)
    size = memory_bytes(config, images)
    done = images_done(directory, wanted)
    if done:
        return MemoryInfo(MemoryStatus.UNFINISHED, images, size, done=done)
    if not directory.exists():
        return MemoryInfo(MemoryStatus.MISSING, images, size)
    try:
        differs = read_fingerprint(directory).differences(wanted)
        if not differs:
            open_memory(directory, expect=wanted, records=dataset.gallery)  # raises where it is damaged
    except GalleryMemoryError as error:
        return MemoryInfo(MemoryStatus.UNUSABLE, images, size, why=str(error))
    return MemoryInfo(MemoryStatus.OTHER if differs else MemoryStatus.FITS, images, size, differs=tuple(differs))

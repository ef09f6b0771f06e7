"""Opens what a session works on: a dataset, a checkpoint and the gallery memory that belongs to both.

The app and the CLI open the same three things in the same order, with the same checks.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import platformdirs
import torch

from fpc_core.config import ModelConfig, Precision
from fpc_core.data.datasets import Dataset, open_dataset
from fpc_core.gallery.memory import fingerprint, open_memory
from fpc_core.matching.shortlist import IndexKind, open_index
from fpc_core.model.checkpoint import LoadReport, load_checkpoint, weights_fingerprint
from fpc_core.model.fpc import FPC
from fpc_core.retrieval import Retriever
from fpc_core.workspace.allowed_roots import CACHE, Root, named_roots

_DEPTH = 3  # folders below a dataset that images are read from: archive/query/0001
DEMO_ROOT = Path(__file__).resolve().parents[2] / "assets" / "demo"


@dataclass(frozen=True)
class Places:
    """Where a workspace lies: by default the demo; `from_environment` reads FPC_DATA, FPC_WEIGHTS, FPC_MEMORY and
    FPC_PRECISION.

    stride: of the patches, for weights that leave it open; None for their own.  precision: the name of the encoder's (a
    `Precision`); a memory made at another one does not fit.
    """

    data: Path = DEMO_ROOT
    weights: Path = DEMO_ROOT / "model.safetensors"
    memory: Path = DEMO_ROOT / "memory"
    stride: int | None = None
    precision: str = Precision.FLOAT32.value

    @classmethod
    def from_environment(cls) -> Places:
        """As the variables say; where one is not set, or empty, the demo."""
        return cls(
            Path(os.environ.get("FPC_DATA") or cls.data),
            Path(os.environ.get("FPC_WEIGHTS") or cls.weights),
            Path(os.environ.get("FPC_MEMORY") or cls.memory),
            precision=os.environ.get("FPC_PRECISION") or cls.precision,
        )


@dataclass(frozen=True, eq=False)
class Workspace:
    """A dataset, its weights and its memory, checked against each other.

    read_only: nothing that is computed with it is kept on disk.
    """

    places: Places
    dataset: Dataset
    weights: LoadReport
    retriever: Retriever
    device: torch.device
    read_only: bool = False

    @cached_property
    def key(self) -> str:
        """Tells workspaces apart by content: two of the same key give the same results to the same questions."""
        told = (
            self.retriever.memory.fingerprint,
            self.dataset.root.resolve(),
            self.device,
            self.retriever.index.exactness,
        )
        return hashlib.sha256(repr(told).encode()).hexdigest()[:16]

    @property
    def weights_fingerprint(self) -> str:
        """Of weights and precision, as the memory was checked against it."""
        made_from = self.retriever.memory.fingerprint
        return made_from.weights if made_from else weights_fingerprint(self.retriever.model)

    @property
    def computing(self) -> str:
        """The device and, where it is not float32, the precision: "cuda:0 in bfloat16"."""
        precision = self.retriever.model.encoder.precision
        return str(self.device) if precision is Precision.FLOAT32 else f"{self.device} in {precision.value}"


def cache_folder() -> Path:
    """Where results are kept between sessions: FPC_CACHE, else this user's cache folder. It need not exist yet."""
    return Path(os.environ.get("FPC_CACHE") or platformdirs.user_cache_path("fpc-explorer"))


def roots_in_use() -> tuple[Root, ...]:
    """Where visitors may choose: the roots of FPC_ROOTS, the demo, and the memories built into the cache folder."""
    return (*named_roots(DEMO_ROOT), Root(CACHE, (cache_folder() / "memories").resolve()))


def own_memory(places: Places) -> Path:
    """The folder in the cache for the memory of these data and weights, where no other one is named."""
    told = f"{places.data.resolve()} {places.weights.resolve()} {places.stride}"
    if places.precision != Precision.FLOAT32:
        told += f" {places.precision}"
    digest = hashlib.sha256(told.encode()).hexdigest()[:8]
    return cache_folder() / "memories" / f"{places.data.resolve().name[:60]}-{places.weights.stem[:60]}-{digest}"


def stamp(places: Places) -> tuple[int, ...]:
    """Changes when images come into or leave the data, or weights or memory are replaced."""
    return (*data_stamp(places.data), *(file_stamp(path) for path in (places.weights, places.memory / "manifest.json")))


def data_stamp(folder: Path) -> tuple[int, ...]:
    """Of a dataset: when each of its folders, as deep as images are read from, and its labels were last changed."""
    stamps = [file_stamp(folder / "dataset.json")]
    level = [folder]
    for depth in range(_DEPTH + 1):
        changed = [file_stamp(each) for each in level]
        stamps += changed
        if depth < _DEPTH:
            level = [inner for each, when in zip(level, changed, strict=True) for inner in _folders_in(each, when)]
        if depth == 0:
            stamps += [file_stamp(each / "dataset.json") for each in level]
    return tuple(stamps)


@lru_cache(maxsize=20_000)
def _folders_in(folder: Path, changed: int) -> tuple[Path, ...]:
    """Its sub-folders. They are others only where the folder has `changed`, so that a large one is listed once."""
    try:
        with os.scandir(folder) as entries:
            return tuple(sorted(Path(each.path) for each in entries if each.is_dir() and not each.name.startswith(".")))
    except OSError:  # not there, or not ours to read: opening it says so
        return ()


def file_stamp(path: Path) -> int:
    """Nanoseconds of the last change, 0 where there is nothing."""
    return path.stat().st_mtime_ns if path.exists() else 0


def devices() -> tuple[str, ...]:
    """What `choose_device` can be asked for here."""
    return ("auto", "cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count())))


def choose_device(name: str = "auto") -> torch.device:
    """`auto` takes CUDA where there is one, else the CPU. Raises ValueError for a device that is not here."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError("no CUDA device is available to this torch; use --device cpu")
    if name not in (*devices(), "cuda"):
        raise ValueError(f"unknown device {name[:40]!r}; use {', '.join(devices())}")
    return torch.device(name)


def precision_of(name: str) -> Precision:
    """Raises ValueError for a precision that there is not."""
    try:
        return Precision(name)
    except ValueError as error:
        raise ValueError(f"unknown precision {name[:40]!r}; use {', '.join(Precision)} (FPC_PRECISION)") from error


def load_model(places: Places) -> tuple[FPC, LoadReport]:
    """The model of these places in eval mode on the CPU, set to their precision. Raises CheckpointError, or ValueError
    for a precision that there is not."""
    precision = precision_of(places.precision)
    model, report = load_checkpoint(places.weights, stride=places.stride)
    model.encoder.precision = precision
    return model, report


def open_workspace(
    places: Places,
    device: str = "auto",
    *,
    shortlist: str | None = None,
    read_only: bool = False,
    allowed: Sequence[Path] = (),
) -> Workspace:
    """Open dataset, weights and memory; the memory must have been built from exactly these two.

    shortlist: what finds it, see `IndexKind`; None for FPC_SHORTLIST, else plain torch.  allowed: real folders in which
    every file of the dataset must lie, see `open_dataset`.
    Raises DatasetError, CheckpointError, GalleryMemoryError or ShortlistError, and ValueError for a precision or device
    that there is not and for cameras that the weights do not know; each names what is wrong and the remedy.
    """
    dataset = open_dataset(places.data, allowed)
    model, report = load_model(places)
    check_cameras(dataset, model.config)
    made_from = fingerprint(model, dataset.gallery, dataset.root)
    memory = open_memory(places.memory, expect=made_from, records=dataset.gallery)
    kind = shortlist or os.environ.get("FPC_SHORTLIST") or IndexKind.TORCH
    name = hashlib.sha256(repr(made_from).encode()).hexdigest()[:16]
    folder = None if read_only else cache_folder() / "indexes"
    index = open_index(kind, memory.cls, lambda: memory.unit_cls, name, folder)
    chosen = choose_device(device)
    return Workspace(places, dataset, report, Retriever(model.to(chosen).eval(), memory, index), chosen, read_only)


def check_cameras(dataset: Dataset, config: ModelConfig) -> None:
    """Raises ValueError where the data has cameras that the weights have no embedding of."""
    most = max(record.camera for record in (*dataset.query, *dataset.gallery)) + 1
    if dataset.uses_cameras and config.cameras and most > config.cameras:
        raise ValueError(
            f"{dataset.name} has images of camera {most} and the weights know {config.cameras} cameras; choose weights "
            "that were trained on as many, or on none"
        )

"""Open a workspace: a dataset, a checkpoint and the gallery memory that was built from both."""

from __future__ import annotations

import hashlib
import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import platformdirs
import torch

from fpc_core.config import ModelConfig, Precision, QuerySettings, Variant
from fpc_core.data.datasets import Dataset, DatasetError, ImageRecord, open_dataset
from fpc_core.data.images import resize_image
from fpc_core.data.match_label import QueryIdentity, subject_of
from fpc_core.data.protocols import AUTO, Cameras
from fpc_core.gallery.manifest import read_fingerprint, read_left_out
from fpc_core.gallery.memory import Fingerprint, fingerprint, fingerprint_of, open_memory
from fpc_core.gallery.readable import left_out_note, without
from fpc_core.gallery.token_store import BUILD_COMMAND, GalleryMemoryError
from fpc_core.matching.shortlist import IndexKind, open_index
from fpc_core.model.checkpoint import LoadReport, load_checkpoint, weights_fingerprint
from fpc_core.model.fpc import FPC
from fpc_core.model.positions import Size, format_size
from fpc_core.retrieval import Retriever
from fpc_core.search import ImageLike, SearchResult, search_image
from fpc_core.workspace.allowed_roots import CACHE, Root, named_roots

_DEPTH = 5  # Maximum depth of folders with images below a dataset's folder, as in archive/query/0001.
_ABOVE = Path(__file__).resolve().parents[2]
APP_ROOT = _ABOVE if (_ABOVE / "streamlit_app.py").is_file() else _ABOVE / "fpc_explorer"
"""Folder with the app and the demo: the clone, or a folder beside the installed package (see pyproject.toml)."""
DEMO_ROOT = APP_ROOT / "assets" / "demo"


@dataclass(frozen=True)
class Places:
    """Paths of a workspace, and options of its dataset and encoder; by default those of the demo.

    Attributes:
        data: Folder of the dataset.
        weights: Path of the checkpoint.
        memory: Folder of the gallery memory.
        stride: Stride of the patches in pixels, for weights that work with any stride; None for the default stride.
        precision: Name of the encoder's `Precision`, which must be that of the gallery memory.
        image_size: Height and width of the input in pixels, for weights that do not determine them; otherwise None.
        heads: Number of attention heads, for weights whose width does not determine it; otherwise None.
        mean_camera: Whether every image gets the mean of the weights' camera embeddings.
        protocol: Name of the evaluation `Protocol`, or "auto".
        cameras: Name of the `Cameras` of the dataset, or "auto".
        variant: Name of the `Variant` that "auto" follows for the cameras of a dataset without camera numbers.
    """

    data: Path = DEMO_ROOT
    weights: Path = DEMO_ROOT / "model.safetensors"
    memory: Path = field(default_factory=lambda: demo_memory_folder())  # noqa: PLW0108 - defined below
    stride: int | None = None
    precision: str = Precision.FLOAT32.value
    image_size: Size | None = None
    heads: int | None = None
    mean_camera: bool = False
    protocol: str = AUTO
    cameras: str = AUTO
    variant: str = QuerySettings.variant.value

    def open_dataset(self, allowed: Sequence[Path] = ()) -> Dataset:
        """Open the dataset with these options; see `datasets.open_dataset` for `allowed` and errors."""
        variant = Variant(self.variant)
        return open_dataset(self.data, allowed, protocol=self.protocol, cameras=self.cameras, variant=variant)

    @classmethod
    def from_environment(cls) -> Places:
        """Read FPC_DATA, FPC_WEIGHTS, FPC_MEMORY and FPC_PRECISION; the demo replaces unset or empty variables."""
        return cls(
            Path(os.environ.get("FPC_DATA") or cls.data),
            Path(os.environ.get("FPC_WEIGHTS") or cls.weights),
            Path(os.environ.get("FPC_MEMORY") or demo_memory_folder()),
            precision=os.environ.get("FPC_PRECISION") or cls.precision,
        )


@dataclass(frozen=True, eq=False)
class Workspace:
    """A dataset, its weights and its gallery memory, checked against each other.

    Attributes:
        places: Paths from which the workspace was opened.
        dataset: Dataset of the workspace.
        weights: Report of what was loaded from the checkpoint.
        retriever: Retriever that runs searches.
        device: Device of the model.
        read_only: Whether results stay in RAM instead of being stored on disk.
    """

    places: Places
    dataset: Dataset
    weights: LoadReport
    retriever: Retriever
    device: torch.device
    read_only: bool = False

    @cached_property
    def key(self) -> str:
        """Key for caches; workspaces with the same key give the same results."""
        content = (
            self.retriever.memory.fingerprint,
            self.dataset.root.resolve(),
            self.device,
            self.retriever.index.exactness,
            self.dataset.protocol,
        )
        return hashlib.sha256(repr(content).encode()).hexdigest()[:16]

    @property
    def weights_fingerprint(self) -> str:
        """Fingerprint of the weights and the precision, which the gallery memory shares."""
        provenance = self.retriever.memory.fingerprint
        return provenance.weights if provenance else weights_fingerprint(self.retriever.model)

    def retriever_for(self, query: Path | None) -> Retriever:
        """Return the retriever for a query by its path in the dataset; the query's own file is excluded."""
        return self.retriever.without(None if query is None else self.dataset.own_rows.get(query))

    def subject_of(self, record: ImageRecord) -> QueryIdentity:
        """Return the identity and the camera of a query of the dataset."""
        return subject_of(record, self.dataset)

    def shortlist_for(self, query: Path | None) -> int:
        """Return the size of the shortlist for a query, given by its path in the gallery (None if it is not there)."""
        return self.dataset.shortlist

    def search(
        self,
        image: ImageLike,
        settings: QuerySettings | None = None,
        *,
        keep_rate: float | None = None,
        alpha: float | None = None,
        k: int | None = None,
        camera: int | None = None,
    ) -> SearchResult:
        """Search the gallery for one image.

        Args:
            image: Path of an image file or of a query in the dataset, PIL image, (H, W, 3) array or (3, H, W) tensor;
                pixels are uint8, or floating point in [0, 1].
            settings: Settings to start from; by default those of the paper, with the dataset's shortlist and K.
            keep_rate: Keep rate in (0, 1], if it differs from that of the settings.
            alpha: Weight of D_EMD in [0, 1], if it differs from that of the settings.
            k: Number of neighbours K, if it differs from that of the settings.
            camera: Camera of the image, from 1; by default that of a query of the dataset, otherwise unknown.

        Raises:
            ImageError: The image cannot be read or used.
            ValueError: A setting or the camera is out of range.
        """
        return search_image(self, image, settings, keep_rate=keep_rate, alpha=alpha, k=k, camera=camera)

    def image(self, record: ImageRecord) -> np.ndarray:
        """Read an image of the dataset, and resize it to the model's input size, (H, W, 3) uint8."""
        return resize_image(self.dataset.read(record), self.retriever.model.config.image_size)

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences to show under every ranking and score: parts of the weights and images that are missing."""
        left_out = self.retriever.memory.left_out
        return (*self.weights.notes, *((left_out_note(left_out),) if left_out else ()))

    @property
    def device_label(self) -> str:
        """Name of the device and, if it is not float32, the precision, such as "cuda:0 in bfloat16"."""
        precision = self.retriever.model.encoder.precision
        return str(self.device) if precision is Precision.FLOAT32 else f"{self.device} in {precision.value}"


def cache_folder() -> Path:
    """Return the folder for stored results, which need not exist: FPC_CACHE or the user's cache folder."""
    return Path(os.environ.get("FPC_CACHE") or platformdirs.user_cache_path("fpc-explorer"))


def roots_in_use() -> tuple[Root, ...]:
    """Return the roots: the demo, those in FPC_ROOTS, and the folder of gallery memories in the cache folder."""
    return (*named_roots(DEMO_ROOT), Root(CACHE, (cache_folder() / "memories").resolve()))


def demo_memory_folder() -> Path:
    """Return the folder of the demo's gallery memory: beside its images, or in the cache folder if it is read-only."""
    beside = DEMO_ROOT / "memory"
    return beside if beside.exists() or os.access(DEMO_ROOT, os.W_OK) else cache_folder() / "memories" / "demo"


def default_memory_folder(places: Places) -> Path:
    """Return the default folder, below the cache folder, for the gallery memory of a dataset and weights."""
    key = f"{places.data.resolve()} {places.weights.resolve()} {places.stride}"
    key += f" {places.precision}" if places.precision != Precision.FLOAT32 else ""
    # Options that are not set are left out, so that folders of earlier versions are still found.
    options = {"image size": places.image_size, "heads": places.heads, "mean camera": places.mean_camera or None}
    key += "".join(f" {name} {value}" for name, value in options.items() if value is not None)
    if places.cameras != AUTO:
        key += f" cameras {places.cameras}"
    digest = hashlib.sha256(key.encode()).hexdigest()[:8]
    return cache_folder() / "memories" / f"{places.data.resolve().name[:60]}-{places.weights.stem[:60]}-{digest}"


def stamp(places: Places) -> tuple[int, ...]:
    """Return a value that changes if images are added or removed, or if weights or gallery memory are replaced."""
    return (*data_stamp(places.data), *(file_stamp(path) for path in (places.weights, places.memory / "manifest.json")))


def data_stamp(folder: Path) -> tuple[int, ...]:
    """Return the modification times of a dataset's folders, as deep as images are read, and of its `dataset.json`."""
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
    """Return the subfolders of a folder, cached until its modification time `changed` differs."""
    try:
        with os.scandir(folder) as entries:
            return tuple(sorted(Path(each.path) for each in entries if each.is_dir() and not each.name.startswith(".")))
    except OSError:  # The folder is missing or not readable; `open_dataset` reports that.
        return ()


def file_stamp(path: Path) -> int:
    """Return the modification time of a path in nanoseconds, or 0 if the path does not exist."""
    return path.stat().st_mtime_ns if path.exists() else 0


def devices() -> tuple[str, ...]:
    """Return the device names that `choose_device` accepts on this machine."""
    return ("auto", "cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count())))


def choose_device(name: str = "auto") -> torch.device:
    """Return a device by name.

    Args:
        name: Name of the device, one of `devices()`; "auto" means CUDA if available, otherwise the CPU.

    Raises:
        ValueError: The device does not exist.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError("torch finds no CUDA device; use --device cpu")
    if name not in (*devices(), "cuda"):
        raise ValueError(f"unknown device {name[:40]!r}; use {', '.join(devices())}")
    return torch.device(name)


def build_options(places: Places) -> str:
    """Return the options of the command line that differ from the defaults, such as " --stride 12"."""
    values = {
        "precision": None if places.precision == Precision.FLOAT32 else places.precision,
        "image-size": format_size(places.image_size) if places.image_size else None,
        "stride": places.stride,
        "heads": places.heads,
    }
    options = "".join(f" --{name} {shlex.quote(str(value))}" for name, value in values.items() if value is not None)
    return f"{options} --mean-camera" if places.mean_camera else options


def precision_of(name: str) -> Precision:
    """Return a precision by name.

    Raises:
        ValueError: The name is unknown.
    """
    try:
        return Precision(name)
    except ValueError as error:
        raise ValueError(f"unknown precision {name[:40]!r}; use {', '.join(Precision)} (FPC_PRECISION)") from error


def load_model(places: Places) -> tuple[FPC, LoadReport]:
    """Load the model in eval mode on the CPU, and set its precision.

    Raises:
        CheckpointError: The weights cannot be used.
        ValueError: The precision is unknown.
    """
    precision = precision_of(places.precision)
    model, report = load_checkpoint(
        places.weights,
        image_size=places.image_size,
        stride=places.stride,
        heads=places.heads,
        mean_camera=places.mean_camera,
    )
    model.encoder.precision = precision
    return model, report


def open_workspace(
    places: Places | None = None,
    device: str = "auto",
    *,
    shortlist: str | None = None,
    read_only: bool = False,
    allowed: Sequence[Path] = (),
) -> Workspace:
    """Open a dataset, weights and a gallery memory that was built from both.

    Args:
        places: Paths of the workspace; by default those of `Places.from_environment`, which are those of the app.
        device: Name of the device, one of `devices()`.
        shortlist: Kind of shortlist index (see `IndexKind`); by default FPC_SHORTLIST, otherwise torch.
        read_only: Whether to store nothing on disk.
        allowed: Real folders in which every file of the dataset must be (see `open_dataset`).

    Raises:
        DatasetError: The dataset cannot be opened.
        CheckpointError: The weights cannot be used.
        GalleryMemoryError: The gallery memory cannot be used, or was not built from this dataset and weights.
        ShortlistError: The shortlist index is not available.
        ValueError: The precision or device does not exist, or the weights have too few camera embeddings.
    """
    places = places or Places.from_environment()
    dataset = without(places.open_dataset(allowed), read_left_out(places.memory))
    model, report = load_model(places)
    check_cameras(dataset, model.config)
    provenance = fingerprint(model, dataset.gallery, dataset.root)
    _check_memory_cameras(places, dataset, model.config, provenance, allowed)
    memory = open_memory(places.memory, expect=provenance, records=dataset.gallery)
    kind = shortlist or os.environ.get("FPC_SHORTLIST") or IndexKind.TORCH
    name = hashlib.sha256(repr(provenance).encode()).hexdigest()[:16]
    folder = None if read_only else cache_folder() / "indexes"
    index = open_index(kind, memory.cls, lambda: memory.unit_cls, name, folder)
    target = choose_device(device)
    return Workspace(places, dataset, report, Retriever(model.to(target).eval(), memory, index), target, read_only)


def _check_memory_cameras(
    places: Places, dataset: Dataset, config: ModelConfig, expected: Fingerprint, allowed: Sequence[Path]
) -> None:
    """Check that the gallery memory was not built from the same images with other cameras.

    Args:
        places: Paths and options in use.
        dataset: Dataset that was opened with them.
        config: Architecture of the model.
        expected: Fingerprint that the gallery memory must have.
        allowed: Real folders in which every file of the dataset must be (see `open_dataset`).

    Raises:
        GalleryMemoryError: It was built with other cameras; the message names the option for these.
    """
    try:
        stored = read_fingerprint(places.memory)
    except GalleryMemoryError:  # `open_memory` reports it with more detail.
        return
    if stored.differences(expected) != ["files"]:
        return
    for cameras in Cameras:
        try:
            other = replace(places, cameras=cameras.value, protocol=AUTO).open_dataset(allowed)
        except DatasetError:
            continue
        if stored == fingerprint_of(stored.weights, config, other.gallery, other.root):
            raise GalleryMemoryError(
                f"the gallery memory {places.memory} was built with --cameras {other.cameras}, but --cameras "
                f"{dataset.cameras} is in use; use --cameras {other.cameras} (on the Data page: Cameras) or build it "
                f"again: {BUILD_COMMAND}"
            )


def check_cameras(dataset: Dataset, config: ModelConfig) -> None:
    """Check that the weights have an embedding for every camera of the data.

    Args:
        dataset: Dataset to check.
        config: Architecture of the model.

    Raises:
        ValueError: The dataset has more cameras than the weights.
    """
    last = max((*dataset.query, *dataset.gallery), key=lambda record: record.camera)
    cameras = last.camera + 1
    if dataset.uses_cameras and config.cameras and cameras > config.cameras:
        raise ValueError(
            f"{dataset.name} has images of camera {cameras}, but the weights have embeddings for {config.cameras} "
            f"cameras (see {last.path.as_posix()}); use --mean-camera (Data page: Mean camera embedding), or choose "
            "weights trained with at least as many cameras, or without cameras"
        )

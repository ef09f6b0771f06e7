"""Replace the gallery of a workspace by a visitor's own images, which are stored only in RAM."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch  # noqa: F401 - types of inherited fields, which pdoc looks up in this module

from fpc_core.config import QuerySettings
from fpc_core.data.datasets import NO_CAMERA, Dataset, ImageRecord  # noqa: F401
from fpc_core.data.images import content_hash, to_tensor
from fpc_core.data.match_label import QueryIdentity
from fpc_core.data.protocols import Protocol
from fpc_core.data.records import NO_IDENTITY
from fpc_core.gallery.encoder import GalleryEncoder, GalleryFeatures
from fpc_core.gallery.memory import Fingerprint, GalleryMemory
from fpc_core.model.checkpoint import LoadReport  # noqa: F401
from fpc_core.retrieval import Retriever
from fpc_core.workspace.workspace import Places, Workspace  # noqa: F401

_FOLDER = Path("your gallery")  # Folder in the paths of the images; it does not exist.


@dataclass(frozen=True, eq=False)
class PersonalWorkspace(Workspace):
    """A workspace whose gallery consists of a visitor's own images of unknown people, so no hit is right or wrong.

    Attributes:
        images: Images of the gallery at the model's input size, (H, W, 3) uint8, by the path of their records.
    """

    images: Mapping[Path, np.ndarray] = field(default_factory=dict)

    @cached_property
    def _rows(self) -> Mapping[Path, int]:
        return {record.path: row for row, record in enumerate(self.retriever.memory.records)}

    def subject_of(self, record: ImageRecord) -> QueryIdentity:
        """Return the camera of a query of the dataset, without its identity, which does not occur in this gallery."""
        return QueryIdentity(camera=record.camera)

    def own_path(self, image: np.ndarray) -> Path | None:
        """Return the path of the gallery image with exactly these pixels, (H, W, 3) uint8, or None."""
        path = _path_of(image)
        return path if path in self.images else None

    def retriever_for(self, query: Path | None) -> Retriever:
        """Return the retriever for a query, which excludes the query itself unless it is the only gallery image.

        Args:
            query: Path of the query in the gallery, or None if it is not there.
        """
        row = None if query is None or len(self._rows) == 1 else self._rows.get(query)
        return self.retriever.without(row)

    def shortlist_for(self, query: Path | None) -> int:
        """Return the size of the shortlist for a query: the number of other gallery images, up to a limit.

        Args:
            query: Path of the query in the gallery, or None if it is not there.
        """
        others = len(self._rows) - (query in self._rows)
        return max(1, min(QuerySettings.shortlist, others))

    def image(self, record: ImageRecord) -> np.ndarray:
        """Return an image of the gallery or of the dataset at the model's input size, (H, W, 3) uint8."""
        own = self.images.get(record.path)
        return super().image(record) if own is None else own


def encode_images(workspace: Workspace, images: Sequence[np.ndarray]) -> list[GalleryFeatures]:
    """Encode images at keep rate 1 and without cameras, as for a gallery memory.

    Args:
        workspace: Workspace with the model.
        images: Images at the model's input size, (H, W, 3) uint8.

    Returns:
        Tokens and features of every image, each as a batch of one.

    Raises:
        ValueError: Tokens exceed the range of float16.
        OutOfMemoryError: The CPU runs out of memory.
    """
    if not images:
        return []
    model = workspace.retriever.model
    encoded = GalleryEncoder(model)(to_tensor(images, model.config), None)
    rows = [slice(row, row + 1) for row in range(len(images))]
    # Each image gets copies, so that the tokens of a removed image are freed.
    return [
        GalleryFeatures(*(part[row].copy() for part in (encoded.cls, encoded.patches, encoded.features)))
        for row in rows
    ]


def with_gallery(
    workspace: Workspace, names: Sequence[str], images: Sequence[np.ndarray], features: Sequence[GalleryFeatures]
) -> PersonalWorkspace:
    """Return a workspace with the same model and queries that searches these images only.

    Args:
        workspace: Workspace with the model.
        names: Names of the images, which are shown in place of people's names.
        images: Different images at the model's input size, (H, W, 3) uint8.
        features: Result of `encode_images` for these images.

    Raises:
        ValueError: There are no images, or two of them are equal.
    """
    paths = [_path_of(image) for image in images]
    if not paths or len(set(paths)) != len(paths):
        different = len(set(paths))
        raise ValueError(
            f"a gallery needs at least one image and no duplicates, got {len(paths)} images ({different} different)"
        )
    records = tuple(
        ImageRecord(path, NO_IDENTITY, NO_CAMERA, "gallery", person=name)
        for path, name in zip(paths, names, strict=True)
    )
    whole, base = GalleryFeatures.join(features), workspace.retriever.memory
    content = repr([(record.path.name, record.person) for record in records])
    provenance = base.fingerprint and Fingerprint(
        base.fingerprint.weights, base.fingerprint.settings, hashlib.sha256(content.encode()).hexdigest()
    )
    memory = GalleryMemory(whole.cls, whole.patches, whole.features, records, base.grid, provenance)
    dataset = replace(
        workspace.dataset,
        gallery=records,
        protocol=Protocol.NO_CAMERAS,
        neighbors=min(workspace.dataset.neighbors, len(records)),
    )
    return PersonalWorkspace(
        workspace.places,
        dataset,
        workspace.weights,
        Retriever(workspace.retriever.model, memory),
        workspace.device,
        workspace.read_only,
        images=dict(zip(paths, images, strict=True)),
    )


def _path_of(image: np.ndarray) -> Path:
    return _FOLDER / content_hash(image.tobytes())

"""From records to encoder states, from features and distances to scores, with the junk rule of the dataset."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from fpc_core.data.datasets import Dataset, ImageRecord
from fpc_core.data.images import resize_image, to_tensor
from fpc_core.evaluation.metrics.retrieval import evaluate
from fpc_core.results import EncoderState, Scores
from fpc_core.retrieval import Retriever

BATCH = 16  # images encoded together


def encoder_state(retriever: Retriever, dataset: Dataset, records: Sequence[ImageRecord], block: int) -> EncoderState:
    """Some images of the dataset, encoded up to the first drop at `block`."""
    config = retriever.model.config
    images = to_tensor([resize_image(dataset.read(record), config.image_size) for record in records], config)
    cameras = torch.tensor([record.camera for record in records]) if dataset.uses_cameras else None
    return retriever.prepare(images, cameras, block)


def feature_distance(features: np.ndarray, unit_gallery: np.ndarray) -> np.ndarray:
    """(Q, G) Euclidean distance of L2-normalised features; unit_gallery (G, C) is normalised already."""
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    return np.sqrt(np.maximum(2.0 - 2.0 * (unit @ unit_gallery.T), 0.0))


def score_distance(distance: np.ndarray, queries: Sequence[ImageRecord], dataset: Dataset) -> Scores:
    """Scores of the distances (Q, G) of these queries to the gallery of the dataset."""
    cameras = dataset.uses_cameras
    return evaluate(
        distance,
        identities_of(queries),
        identities_of(dataset.gallery),
        cameras_of(queries) if cameras else None,
        cameras_of(dataset.gallery) if cameras else None,
    )


def identities_of(records: Sequence[ImageRecord]) -> np.ndarray:
    """(n,) identities of n records."""
    return np.array([record.identity for record in records])


def cameras_of(records: Sequence[ImageRecord]) -> np.ndarray:
    """(n,) 0-based cameras of n records."""
    return np.array([record.camera for record in records])

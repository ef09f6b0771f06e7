"""Encode records of a dataset, and score features and distances under the dataset's junk rule."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from fpc_core.data.datasets import Dataset, ImageRecord
from fpc_core.data.images import resize_image, to_tensor
from fpc_core.data.protocols import PROTOCOL_TEXT
from fpc_core.data.reading_notes import no_match_reason
from fpc_core.evaluation.metrics.retrieval import evaluate
from fpc_core.results import EncoderState, Scores
from fpc_core.retrieval import Retriever

BATCH = 16  # Number of images that are encoded together.


def encoder_state(retriever: Retriever, dataset: Dataset, records: Sequence[ImageRecord], block: int) -> EncoderState:
    """Encode images of a dataset up to the first drop.

    Args:
        retriever: Model and gallery memory.
        dataset: Dataset that the records belong to.
        records: Records of the B images.
        block: Index of the first dropping block.
    """
    config = retriever.model.config
    images = to_tensor([resize_image(dataset.read(record), config.image_size) for record in records], config)
    cameras = torch.tensor([record.camera for record in records]) if dataset.uses_cameras else None
    return retriever.prepare(images, cameras, block)


def feature_distance(features: np.ndarray, unit_gallery: np.ndarray) -> np.ndarray:
    """Return Euclidean distances of L2-normalised features.

    Args:
        features: (Q, C) query features, which need not be normalised.
        unit_gallery: (G, C) normalised gallery features.

    Returns:
        (Q, G) distances.
    """
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    return np.sqrt(np.maximum(2.0 - 2.0 * (unit @ unit_gallery.T), 0.0))


def score_distance(distance: np.ndarray, queries: Sequence[ImageRecord], dataset: Dataset) -> Scores:
    """Score distances under the dataset's junk rule.

    Args:
        distance: (Q, G) distances.
        queries: Records of the Q queries.
        dataset: Dataset whose gallery has G images.
    """
    cameras = dataset.excludes_own_camera
    return evaluate(
        distance,
        identities_of(queries),
        identities_of(dataset.gallery),
        cameras_of(queries) if cameras else None,
        cameras_of(dataset.gallery) if cameras else None,
        own_rows=own_rows_of(queries, dataset),
    )


def own_rows_of(queries: Sequence[ImageRecord], dataset: Dataset) -> np.ndarray:
    """Return the gallery rows of the queries that are gallery images themselves.

    Args:
        queries: Records of the Q queries.
        dataset: Dataset of the queries.

    Returns:
        (Q,) int64 rows; -1 for queries that are not in the gallery.
    """
    return np.array([dataset.own_rows.get(record.path, -1) for record in queries], np.int64)


def protocol_notes(dataset: Dataset) -> tuple[str, ...]:
    """Return the sentences to show next to every score: the protocol, and reasons why scores are meaningless."""
    warnings = (note.text for note in dataset.notes if note.warning)
    return (f"Protocol {PROTOCOL_TEXT[dataset.protocol]}.", *warnings)


def nothing_to(do: str, dataset: Dataset) -> str:
    """Return the message for a dataset in which no query has a true match.

    Args:
        do: What cannot be done, such as "score".
        dataset: Dataset without true matches; the message names the reason and how to fix it.
    """
    return f"no query has a true match in the gallery, so there is nothing to {do}: {no_match_reason(dataset)}"


def identities_of(records: Sequence[ImageRecord]) -> np.ndarray:
    """Return the identities of n records, (n,)."""
    return np.array([record.identity for record in records])


def cameras_of(records: Sequence[ImageRecord]) -> np.ndarray:
    """Return the 0-based cameras of n records, (n,)."""
    return np.array([record.camera for record in records])

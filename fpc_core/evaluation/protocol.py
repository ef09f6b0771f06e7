"""Runs the queries of a dataset through a retriever and scores every stage (the rows of Table 4)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from fpc_core.config import QuerySettings
from fpc_core.data.datasets import Dataset, ImageRecord
from fpc_core.data.images import resize_image, to_tensor
from fpc_core.evaluation.metrics import evaluate
from fpc_core.results import EncoderState, Scores
from fpc_core.retrieval import Retriever

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class StageScores:
    """Scores of one row: `label` as in Table 4, the settings it ran with."""

    label: str
    settings: QuerySettings
    scores: Scores


@dataclass(frozen=True, eq=False)
class QueryFeatures:
    """Features of Q queries, in dataset order: what a distance to the gallery needs.

    encoder: (Q, C) global features of the sparse encoder.  consolidated: per alpha, (Q, C) features after the decoder.
    """

    encoder: np.ndarray
    consolidated: dict[float, np.ndarray]


def query_features(
    retriever: Retriever,
    dataset: Dataset,
    settings: QuerySettings,
    alphas: Sequence[float] = (),
    *,
    batch_size: int = 16,
    progress: Progress | None = None,
) -> QueryFeatures:
    """Encode all queries once; consolidate once per alpha from the same matching."""
    encoder: list[np.ndarray] = []
    consolidated: dict[float, list[np.ndarray]] = {alpha: [] for alpha in alphas}
    for states in query_states(retriever, dataset, settings.prune.blocks[0], batch_size):
        encodings = retriever.encode(states, settings.prune)
        for row in range(len(states.tokens)):
            encoding = encodings[row : row + 1]
            encoder.append(retriever.global_feature(encoding))
            if alphas:
                match = retriever.match(encoding, settings)
                for alpha in alphas:
                    neighbors = retriever.by_distance(match, alpha).indices[: settings.neighbors]
                    feature = retriever.consolidate(encoding, neighbors, settings.variant).feature
                    consolidated[alpha].append(feature)
            if progress:
                progress(len(encoder), len(dataset.query))
    return QueryFeatures(np.stack(encoder), {alpha: np.stack(rows) for alpha, rows in consolidated.items()})


def query_states(retriever: Retriever, dataset: Dataset, block: int, batch_size: int = 16) -> Iterator[EncoderState]:
    """All queries in dataset order, encoded up to the first drop at `block`, in batches."""
    config = retriever.model.config
    for start in range(0, len(dataset.query), batch_size):
        batch = dataset.query[start : start + batch_size]
        images = to_tensor([resize_image(dataset.read(record), config.image_size) for record in batch], config)
        cameras = torch.tensor([record.camera for record in batch]) if dataset.uses_cameras else None
        yield retriever.prepare(images, cameras, block)


def feature_distance(features: np.ndarray, unit_gallery: np.ndarray) -> np.ndarray:
    """(Q, G) Euclidean distance of L2-normalised features; unit_gallery (G, C) is normalised already."""
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    return np.sqrt(np.maximum(2.0 - 2.0 * (unit @ unit_gallery.T), 0.0))


def score_features(features: np.ndarray, retriever: Retriever, dataset: Dataset) -> Scores:
    """Scores of query features (Q, C) against the memory, with the junk rule of the dataset."""
    return score_distance(feature_distance(features, np.asarray(retriever.memory.unit_features)), dataset)


def score_distance(distance: np.ndarray, dataset: Dataset) -> Scores:
    """Scores of a (Q, G) distance in dataset order, with the junk rule of the dataset."""
    return evaluate(
        distance,
        _identities(dataset.query),
        _identities(dataset.gallery),
        _cameras(dataset.query) if dataset.uses_cameras else None,
        _cameras(dataset.gallery) if dataset.uses_cameras else None,
    )


def ablation(
    retriever: Retriever, dataset: Dataset, settings: QuerySettings, *, progress: Progress | None = None
) -> list[StageScores]:
    """The four rows of Table 4: none, S, S+C (neighbours by cosine alone), S+M+C (neighbours by D)."""
    holistic = settings.with_keep_rate(1.0)
    cosine_only = replace(settings, alpha=0.0)
    plain = query_features(retriever, dataset, holistic, progress=progress)
    sparse = query_features(retriever, dataset, settings, (0.0, settings.alpha), progress=progress)
    rows = (
        ("none", holistic, plain.encoder),
        ("S", settings, sparse.encoder),
        ("S+C", cosine_only, sparse.consolidated[0.0]),
        ("S+M+C", settings, sparse.consolidated[settings.alpha]),
    )
    return [StageScores(label, used, score_features(features, retriever, dataset)) for label, used, features in rows]


def _identities(records: Sequence[ImageRecord]) -> np.ndarray:
    return np.array([record.identity for record in records])


def _cameras(records: Sequence[ImageRecord]) -> np.ndarray:
    return np.array([record.camera for record in records])

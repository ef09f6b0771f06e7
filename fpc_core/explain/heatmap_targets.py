"""Targets of heat maps as functions of a feature."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from fpc_core.config import MapSettings, MapTarget
from fpc_core.model.fpc import FPC
from fpc_core.results import QueryTrace
from fpc_core.retrieval import Retriever

Target = Callable[[Tensor], Tensor]  # Maps features (..., C) to the numbers to explain (...).


def similarity_to(feature: np.ndarray) -> Target:
    """Return the target that measures the cosine to a feature, (C,)."""
    reference = torch.from_numpy(np.array(feature, dtype=np.float32))
    return lambda features: torch.cosine_similarity(features, reference.to(features), dim=-1)


def identity_logit(model: FPC, identity: int) -> Target:
    """Return the target that computes the logit of a training identity in `rec_classifier`.

    Args:
        model: Model with the classifier.
        identity: Index of the training identity.

    Raises:
        ValueError: The classifier has no such identity.
    """
    classes = model.rec_classifier.out_features
    if not 0 <= identity < classes:
        raise ValueError(f"identity must be a training identity in 0..{classes - 1}, got {identity}")
    weight = model.rec_classifier.weight[identity].detach().clone()
    return lambda features: features @ weight.to(features)


def explained_index(retriever: Retriever, trace: QueryTrace, how: MapSettings) -> int:
    """Return the gallery row or the training identity that a map explains.

    Args:
        retriever: Retriever that computed the trace.
        trace: Results of a search.
        how: Settings of the heat map. Without an index, the map explains the image that is ranked first or the identity
            with the largest logit.
    """
    if how.index is not None:
        return how.index
    if how.target is MapTarget.SIMILARITY:
        return int(trace.final.first(1).indices[0])
    weight = retriever.model.rec_classifier.weight.detach().float().cpu().numpy()
    return int((weight @ trace.consolidation.feature).argmax())


def decoder_target(retriever: Retriever, trace: QueryTrace, how: MapSettings) -> Target:
    """Return the target of `decoder_map` as a function of the consolidated feature, (C,) after the BNNeck.

    Args:
        retriever: Model and gallery memory.
        trace: Results of a search.
        how: Settings of the heat map; only target and index are used.

    Raises:
        ValueError: The index is not a row of the gallery memory, or not a training identity.
    """
    index = explained_index(retriever, trace, how)
    if how.target is MapTarget.IDENTITY:
        return identity_logit(retriever.model, index)
    return similarity_to(retriever.memory.features[known_row(retriever, index)])


def known_row(retriever: Retriever, row: int) -> int:
    """Check that the gallery memory has a row, and return it.

    Args:
        retriever: Retriever with the gallery memory.
        row: Row to check.

    Raises:
        ValueError: The gallery memory has no such row.
    """
    if not 0 <= row < len(retriever.memory):
        raise ValueError(f"the image must be a row of the gallery memory in 0..{len(retriever.memory) - 1}, got {row}")
    return row

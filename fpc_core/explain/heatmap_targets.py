"""What a heat map explains, as a function of a feature; light to import, for a page asks before it waits for a map."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from fpc_core.config import MapSettings, MapTarget
from fpc_core.model.fpc import FPC
from fpc_core.results import QueryTrace
from fpc_core.retrieval import Retriever

Target = Callable[[Tensor], Tensor]  # features (..., C) -> the numbers to explain (...)


def similarity_to(feature: np.ndarray) -> Target:
    """The cosine to this feature (C,)."""
    reference = torch.from_numpy(np.array(feature, dtype=np.float32))
    return lambda found: torch.cosine_similarity(found, reference.to(found), dim=-1)


def identity_logit(model: FPC, identity: int) -> Target:
    """The logit of a training identity in `rec_classifier`. Raises ValueError for an unknown one."""
    classes = model.rec_classifier.out_features
    if not 0 <= identity < classes:
        raise ValueError(f"identity must be a training class in 0..{classes - 1}, not {identity}")
    weight = model.rec_classifier.weight[identity].detach().clone()
    return lambda found: found @ weight.to(found)


def explained_index(retriever: Retriever, trace: QueryTrace, how: MapSettings) -> int:
    """The row of the memory or the training identity that `how` asks for; its own where it names none."""
    if how.index is not None:
        return how.index
    if how.target is MapTarget.SIMILARITY:
        return int(trace.final.indices[0])
    weight = retriever.model.rec_classifier.weight.detach().float().cpu().numpy()
    return int((weight @ trace.consolidation.feature).argmax())


def decoder_target(retriever: Retriever, trace: QueryTrace, how: MapSettings) -> Target:
    """What `decoder_map` explains, as a function of the consolidated feature (C,) after the BNNeck.

    Raises ValueError for an index that is no row of the memory or no training identity.
    """
    index = explained_index(retriever, trace, how)
    if how.target is MapTarget.IDENTITY:
        return identity_logit(retriever.model, index)
    return similarity_to(retriever.memory.features[known_row(retriever, index)])


def known_row(retriever: Retriever, row: int) -> int:
    """The same row. Raises ValueError for one that the memory does not have."""
    if not 0 <= row < len(retriever.memory):
        raise ValueError(f"the image must be a row of the memory in 0..{len(retriever.memory) - 1}, not {row}")
    return row

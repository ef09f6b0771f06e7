"""Heat maps of the decoder over query and neighbours (Fig. 7), and of the encoder over the query.

`attribution.py` computes one value per token. This module chooses block, tokens and target, and arranges the values in
patch grids.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from fpc_core.config import MapSettings, MapTarget, PruneSettings, Variant
from fpc_core.explain.attribution import relevance
from fpc_core.explain.heatmap_methods import DECODER_METHODS
from fpc_core.explain.heatmap_targets import Target, decoder_target, known_row, similarity_to
from fpc_core.explain.masks import to_grid
from fpc_core.model.decoder import decoder_input
from fpc_core.results import EncoderState, QueryTrace
from fpc_core.retrieval import Retriever
from fpc_core.runtime.out_of_memory import out_of_memory_fallback


@dataclass(frozen=True, eq=False)
class PatchMap:
    """One value per patch, comparable across all grids.

    Attributes:
        query_grid: (rows, columns) values of the query's patches. NaN where the patch was dropped; all NaN for the
            decoder of the released variant, which does not read the query.
        neighbor_grids: (K, rows, columns) values of the neighbours' patches; K is 0 for the encoder.
    """

    query_grid: np.ndarray
    neighbor_grids: np.ndarray

    @property
    def peak(self) -> float:
        """Largest value of all grids, or 0 if none is positive."""
        values = np.concatenate([self.query_grid.ravel(), self.neighbor_grids.ravel()])
        return max(float(np.nanmax(values)), 0.0)

    def scaled(self) -> PatchMap:
        """Return the map with negative values set to 0, scaled so that the peak of all grids is 1."""
        peak = self.peak or 1.0
        grids = (np.maximum(grid, 0.0) / peak for grid in (self.query_grid, self.neighbor_grids))
        return PatchMap(*grids)


def decoder_map(retriever: Retriever, trace: QueryTrace, how: MapSettings) -> PatchMap:
    """Attribute a target to the decoder's input tokens at the first norm of its block (Fig. 7).

    Args:
        retriever: Retriever that computed the trace.
        trace: Results of a search.
        how: Method, target and index of the map.

    Raises:
        ValueError: The method does not depend on the decoder (see `DECODER_METHODS`), or the index does not exist.
    """
    if how.method not in DECODER_METHODS:
        raise ValueError(
            f"{how.method} cannot explain the decoder, because its maps do not depend on the decoder's attention, MLP "
            f"and target; use one of {', '.join(DECODER_METHODS)}"
        )
    return _decoder_map(retriever, trace, how)


@out_of_memory_fallback("the heat map")
def _decoder_map(retriever: Retriever, trace: QueryTrace, how: MapSettings) -> PatchMap:
    trace = replace(trace, encoding=trace.encoding.to(retriever.device))
    model, memory = retriever.model, retriever.memory
    target = decoder_target(retriever, trace, how)
    neighbors = trace.consolidation.neighbors
    cls = torch.from_numpy(np.array(memory.cls[neighbors])).to(retriever.device)
    with torch.inference_mode():
        tokens = decoder_input(
            trace.encoding.cls[0],
            trace.encoding.patches[0],
            cls,
            memory.patches(neighbors, retriever.device),
            trace.settings.variant,
        )
    head = nn.Sequential(model.decoder.norm, model.rec_bottleneck)
    values = _values(model.decoder.block, head, tokens, target, how)
    on_query, on_neighbors = np.split(values, [len(values) - len(neighbors) * memory.grid[0] * memory.grid[1]])
    positions = (
        trace.encoding.positions[0] if trace.settings.variant is Variant.PAPER else torch.empty(0, dtype=torch.int64)
    )
    grids = on_neighbors.reshape(len(neighbors), *memory.grid)
    return PatchMap(to_grid(on_query, positions.cpu().numpy(), memory.grid), grids)


def encoder_map(retriever: Retriever, state: EncoderState, prune: PruneSettings, how: MapSettings) -> PatchMap:
    """Attribute the similarity to the gallery image `how.index` (1 - D_cos, Eq. 4) to the query's patches.

    The map explains only the last block of the encoder, at its input tokens.

    Args:
        retriever: Model and gallery memory.
        state: State of one image, from `Retriever.prepare`.
        prune: Settings of dropping patches.
        how: Method and index of the map; the target must be SIMILARITY.

    Raises:
        ValueError: The image does not exist, the target is not SIMILARITY, or the last block drops patches.
    """
    if how.target is not MapTarget.SIMILARITY or how.index is None:
        raise ValueError(
            "a map of the encoder needs the target similarity and the row of a gallery image as index, got "
            f"{how.target} and {how.index}"
        )
    if len(state.tokens) != 1:
        raise ValueError(f"state must be of one query, got {len(state.tokens)} queries; slice it first")
    target = similarity_to(retriever.memory.cls[known_row(retriever, how.index)])
    return _encoder_map(retriever, state, prune, how, target)


@out_of_memory_fallback("the heat map")
def _encoder_map(
    retriever: Retriever, state: EncoderState, prune: PruneSettings, how: MapSettings, target: Target
) -> PatchMap:
    encoder, memory = retriever.model.encoder, retriever.memory
    with torch.inference_mode():
        entering = encoder.finish(state.to(retriever.device), prune, until=len(encoder.blocks) - 1)
    values = _values(encoder.blocks[-1], nn.Identity(), entering.tokens[0], target, how, extra=entering.extra)
    grid = to_grid(values, entering.positions[0].cpu().numpy(), memory.grid)
    return PatchMap(grid, np.empty((0, *memory.grid), np.float32))


def _values(
    block: nn.Module, head: nn.Module, tokens: Tensor, target: Target, how: MapSettings, extra: int = 0
) -> np.ndarray:
    """Return one value per patch token.

    Args:
        block: A timm Block in eval mode.
        head: Module that maps (B, C) `[cls]` rows to features.
        tokens: (T, C) input tokens of the block, `[cls]` first.
        target: Function to explain.
        how: Method of the map, and whether values are relative to their mean.
        extra: Number of tokens after `[cls]` that are not patches.
    """
    values = relevance(block, head, tokens, target, how.method)[extra:]
    return values - values.mean() if how.relative else values

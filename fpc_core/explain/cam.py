"""Grad-CAM of the consolidation decoder over the patch grids of the query and its neighbours (Fig. 7).

The decoder sees a bag of tokens. For the grad-cam library they are laid out as one tall image, grid below grid, with
zeros where a patch was dropped, and one normalisation covers all of it, so the maps of different neighbours compare.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from pytorch_grad_cam import GradCAM
from torch import Tensor, nn

from fpc_core.config import Variant
from fpc_core.model.fpc import FPC, decoder_input
from fpc_core.results import QueryTrace
from fpc_core.retrieval import Retriever

Target = Callable[[Tensor], Tensor]  # consolidated feature (C,) -> the scalar to explain


@dataclass(frozen=True, eq=False)
class DecoderCam:
    """Grad-CAM in [0, 1], 1 at the strongest patch of all grids (all 0 where nothing speaks for the target).

    query_grid: (rows, columns), NaN where the patch was dropped, all NaN in the released variant.
    neighbor_grids: (K, rows, columns).
    """

    query_grid: np.ndarray
    neighbor_grids: np.ndarray


def similarity_to(feature: np.ndarray) -> Target:
    """What in the decoder's input speaks for this gallery image: the cosine to its feature (C,) after the BNNeck."""
    reference = torch.from_numpy(np.array(feature, dtype=np.float32))
    return lambda consolidated: torch.cosine_similarity(consolidated, reference.to(consolidated.device), dim=-1)


def identity_logit(model: FPC, identity: int) -> Target:
    """What speaks for a training identity: its logit of `rec_classifier`. Raises ValueError for an unknown one."""
    classes = model.rec_classifier.out_features
    if not 0 <= identity < classes:
        raise ValueError(f"identity must be a training class in 0..{classes - 1}, not {identity}")
    weight = model.rec_classifier.weight[identity].detach().clone()
    return lambda consolidated: consolidated @ weight


def decoder_cam(retriever: Retriever, trace: QueryTrace, target: Target | None = None) -> DecoderCam:
    """Grad-CAM (Selvaraju et al. 2017) at the first norm of the decoder block.

    target: by default `similarity_to` the gallery image that the consolidated feature ranks first.
    Works on a copy of the decoder: the library hooks what it explains, and the model serves other threads meanwhile.
    """
    model, memory = retriever.model, retriever.memory
    if target is None:
        target = similarity_to(memory.features[int(trace.final.indices[0])])
    neighbors = trace.consolidation.neighbors
    paper = trace.settings.variant is Variant.PAPER
    rows, columns = memory.grid
    patches = rows * columns

    with torch.inference_mode(False), torch.enable_grad():
        cls = torch.from_numpy(np.array(memory.cls[neighbors])).to(retriever.device)
        tokens = decoder_input(
            trace.encoding.cls[0].clone(),
            trace.encoding.patches[0].clone(),
            cls,
            memory.patches(neighbors, retriever.device),
            trace.settings.variant,
        )
        on_neighbors = torch.arange(len(neighbors) * patches, device=tokens.device)
        on_query = trace.encoding.positions[0].clone() if paper else on_neighbors[:0]
        positions = torch.cat((on_query, on_neighbors + paper * patches))  # the query's grid stands first
        layout = _Layout(positions, (len(neighbors) + paper) * rows, columns)
        explained = _OnGrid(model, tokens[0], layout)
        image = layout.scatter(tokens[1:].unsqueeze(0))
        with GradCAM(explained, [explained.decoder.block.norm1], lambda x: layout.scatter(x[:, 1:])) as cam:
            heat = cam(input_tensor=image, targets=[target])[0]

    grids = heat.reshape(-1, rows, columns)
    query_grid = np.full((rows, columns), np.nan, dtype=np.float32)
    if paper:
        kept = np.unravel_index(trace.encoding.positions[0].cpu().numpy(), (rows, columns))
        query_grid[kept] = grids[0][kept]
    return DecoderCam(query_grid, grids[1:] if paper else grids)


@dataclass(frozen=True, eq=False)
class _Layout:
    """Where every token stands in the tall image: positions (T - 1,) of its cells."""

    positions: Tensor
    height: int
    width: int

    def scatter(self, tokens: Tensor) -> Tensor:
        """(1, T - 1, C) -> (1, C, height, width), zeros elsewhere."""
        flat = tokens.new_zeros(1, self.height * self.width, tokens.shape[2])
        flat = flat.index_copy(1, self.positions, tokens)
        return flat.transpose(1, 2).unflatten(2, (self.height, self.width))

    def gather(self, image: Tensor) -> Tensor:
        return image.flatten(2).transpose(1, 2)[:, self.positions]


class _OnGrid(nn.Module):
    """The decoder and its BNNeck as a network on the tall image; gradients on, whatever the model's are."""

    def __init__(self, model: FPC, cls: Tensor, layout: _Layout) -> None:
        super().__init__()
        self.decoder = deepcopy(model.decoder).requires_grad_(True).eval()
        self.bottleneck = deepcopy(model.rec_bottleneck).eval()
        self._cls = cls
        self._layout = layout

    def forward(self, image: Tensor) -> Tensor:
        tokens = torch.cat((self._cls.expand(1, 1, -1), self._layout.gather(image)), dim=1)
        return self.bottleneck(self.decoder(tokens))

"""Compare a device and precision with the CPU in float32, and limit how far its results may differ.

Both search the same gallery memory for the same images, and every kind of number that the app shows is compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass, fields

import numpy as np
import torch
from torch import Tensor

from fpc_core.config import Precision, QuerySettings
from fpc_core.data.images import resize_image, to_tensor
from fpc_core.results import Encoding, QueryTrace
from fpc_core.retrieval import Retriever
from fpc_core.workspace import Workspace


@dataclass(frozen=True)
class Parity:
    """Largest differences between a retriever and a reference over some queries, or bounds on these differences.

    Attributes:
        tokens: Difference of the tokens that both keep, relative to the standard deviation of the reference's tokens.
        dropped: Share of the patches kept by the reference that the other retriever dropped.
        d_cos: Difference in D_cos of the candidates that both shortlist.
        d_emd: Difference in D_EMD of the candidates that both shortlist.
        plan: L1 difference of the plans to the same candidate, at most 2; 0 if the two keep different patches.
        feature: 1 - cosine of the consolidated features; 0 if the two consolidate different neighbours.
        hits: Share of the reference's ten nearest images by D that are not among the other retriever's ten nearest.
    """

    tokens: float
    dropped: float
    d_cos: float
    d_emd: float
    plan: float
    feature: float
    hits: float

    def beyond(self, bounds: Parity) -> list[str]:
        """Return a short description of every difference that exceeds its bound."""
        return [
            f"{each.name} {getattr(self, each.name):.1g} > {getattr(bounds, each.name):g}"
            for each in fields(self)
            if not getattr(self, each.name) <= getattr(bounds, each.name)
        ]

    def __str__(self) -> str:
        return ", ".join(f"{each.name} {getattr(self, each.name):.1g}" for each in fields(self))


# The bounds hold for trained weights. They are not 0 for float32, because another device may break a near tie
# differently, and the solver's result may differ by its tolerance.
BOUNDS: Mapping[Precision, Parity] = {
    Precision.FLOAT32: Parity(tokens=1e-3, dropped=0.02, d_cos=1e-5, d_emd=2e-3, plan=4e-3, feature=1e-6, hits=0.1),
    Precision.FLOAT16: Parity(tokens=0.02, dropped=0.03, d_cos=2e-3, d_emd=4e-3, plan=1e-2, feature=1e-5, hits=0.2),
    Precision.BFLOAT16: Parity(tokens=0.06, dropped=0.05, d_cos=1e-2, d_emd=1e-2, plan=4e-2, feature=1e-4, hits=0.3),
}


def on_cpu(retriever: Retriever) -> Retriever:
    """Return the reference for a comparison: the same weights and gallery memory on the CPU in float32."""
    model = retriever.model.copy_on_cpu()
    model.encoder.precision = Precision.FLOAT32
    return Retriever(model, retriever.memory, retriever.index)


def parity(
    reference: Retriever, other: Retriever, images: Tensor, cameras: Tensor | None, settings: QuerySettings
) -> Parity:
    """Compare two retrievers on some queries.

    Args:
        reference: Retriever to compare with, usually from `on_cpu`.
        other: Retriever with the device or precision to check.
        images: (B, 3, H, W) normalised query images.
        cameras: (B,) cameras of the queries, or None.
        settings: Settings of the searches.
    """
    differences = []
    for row in range(len(images)):
        camera = None if cameras is None else cameras[row : row + 1]
        traces = [retriever.search(images[row : row + 1], settings, camera) for retriever in (reference, other)]
        differences.append(astuple(_differences(traces[0], traces[1], (reference, other))))
    return Parity(*np.max(differences, axis=0).tolist())


def checked_parity(workspace: Workspace, queries: int = 4) -> Parity:
    """Compare a workspace with the CPU in float32.

    Args:
        workspace: Workspace whose device and precision to check.
        queries: Number of its queries to search for.

    Raises:
        ValueError: A difference exceeds `BOUNDS`.
    """
    retriever, dataset = workspace.retriever, workspace.dataset
    records, config = dataset.query[:queries], retriever.model.config
    images = to_tensor([resize_image(dataset.read(record), config.image_size) for record in records], config)
    cameras = torch.tensor([record.camera for record in records]) if dataset.uses_cameras else None
    settings = QuerySettings(neighbors=min(dataset.neighbors, len(retriever.memory)))
    result = parity(on_cpu(retriever), retriever, images, cameras, settings)
    if beyond := result.beyond(BOUNDS[retriever.model.encoder.precision]):
        raise ValueError(
            f"{workspace.device_label} differs more from the CPU in float32 than allowed: {', '.join(beyond)}; "
            "use --precision float32, or --device cpu"
        )
    return result


def _differences(a: QueryTrace, b: QueryTrace, retrievers: tuple[Retriever, Retriever]) -> Parity:
    (tokens_a, kept_a), (tokens_b, kept_b) = _on_grid(a.encoding), _on_grid(b.encoding)
    both = kept_a & kept_b
    spread = float(tokens_a[kept_a].std())
    shared, positions_a, positions_b = np.intersect1d(
        a.match.shortlist.indices, b.match.shortlist.indices, return_indices=True
    )
    same_patches = bool((kept_a == kept_b).all())
    same_neighbors = set(a.consolidation.neighbors.tolist()) == set(b.consolidation.neighbors.tolist())
    top_a, top_b = (each.by_distance.indices[:10] for each in (a, b))
    return Parity(
        tokens=float(np.abs(tokens_a[both] - tokens_b[both]).max()) / spread,
        dropped=1 - both.sum() / kept_a.sum(),
        d_cos=_largest(a.match.shortlist.d_cos[positions_a] - b.match.shortlist.d_cos[positions_b]),
        d_emd=_largest(a.match.transport.distance[positions_a] - b.match.transport.distance[positions_b]),
        plan=_plan_difference(a, b, retrievers, int(shared[0])) if same_patches and len(shared) else 0.0,
        feature=_angle(a.consolidation.feature, b.consolidation.feature) if same_neighbors else 0.0,
        hits=1 - len(np.intersect1d(top_a, top_b)) / len(top_a),
    )


def _on_grid(encoding: Encoding) -> tuple[np.ndarray, np.ndarray]:
    """Return `[cls]` and patch tokens by grid position, (1 + N, C), and whether each was kept, (1 + N,) bool."""
    tokens = torch.cat((encoding.cls, encoding.patches[0])).float().cpu().numpy()
    rows = np.concatenate([[0], 1 + encoding.positions[0].cpu().numpy()])
    whole = np.zeros((1 + encoding.grid[0] * encoding.grid[1], tokens.shape[1]), np.float32)
    present = np.zeros(len(whole), bool)
    whole[rows], present[rows] = tokens, True
    return whole, present


def _plan_difference(a: QueryTrace, b: QueryTrace, retrievers: tuple[Retriever, Retriever], row: int) -> float:
    plans = []
    for trace, retriever in zip((a, b), retrievers, strict=True):
        position = trace.match.shortlist.position(row)
        result = retriever.plan(trace.encoding, trace.match, position, trace.settings)
        plans.append(result.plan[np.argsort(result.query_positions)])
    return float(np.abs(plans[0] - plans[1]).sum())


def _angle(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a.astype(np.float64), b.astype(np.float64)
    return float(1 - a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def _largest(difference: np.ndarray) -> float:
    return float(np.abs(difference).max(initial=0.0))

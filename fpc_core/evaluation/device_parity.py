"""How far another device or precision is from the CPU in float32, and how far it may be.

Both ways search the same images in the same memory; what is compared is every number that a page shows.
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
    """The largest differences over some queries; as a bound, what they may reach.

    tokens: of a token that both keep, over the spread of the reference's tokens.  dropped: share of the surviving
    patches that the other way dropped.  d_cos, d_emd: of the candidates that both shortlist.  plan: L1, of 2 at most,
    of the plans to the same candidate, where both keep the same patches, else 0.  feature: 1 - cosine of the
    consolidated features, where both consolidate the same neighbours, else 0.  hits: share of the ten nearest by D
    that the other way has not.
    """

    tokens: float
    dropped: float
    d_cos: float
    d_emd: float
    plan: float
    feature: float
    hits: float

    def beyond(self, bounds: Parity) -> list[str]:
        """A few words for every difference larger than its bound."""
        return [
            f"{each.name} {getattr(self, each.name):.1g} > {getattr(bounds, each.name):g}"
            for each in fields(self)
            if not getattr(self, each.name) <= getattr(bounds, each.name)
        ]

    def __str__(self) -> str:
        return ", ".join(f"{each.name} {getattr(self, each.name):.1g}" for each in fields(self))


# For trained weights. One near tie may fall the other way in float32; the solver alone may differ by its tolerance.
BOUNDS: Mapping[Precision, Parity] = {
    Precision.FLOAT32: Parity(tokens=1e-3, dropped=0.02, d_cos=1e-5, d_emd=2e-3, plan=4e-3, feature=1e-6, hits=0.1),
    Precision.FLOAT16: Parity(tokens=0.02, dropped=0.03, d_cos=2e-3, d_emd=4e-3, plan=1e-2, feature=1e-5, hits=0.2),
    Precision.BFLOAT16: Parity(tokens=0.06, dropped=0.05, d_cos=1e-2, d_emd=1e-2, plan=4e-2, feature=1e-4, hits=0.3),
}


def on_cpu(retriever: Retriever) -> Retriever:
    """The reference: the same weights and memory on the CPU in float32."""
    model = retriever.model.copy_on_cpu()
    model.encoder.precision = Precision.FLOAT32
    return Retriever(model, retriever.memory, retriever.index)


def parity(
    reference: Retriever, other: Retriever, images: Tensor, cameras: Tensor | None, settings: QuerySettings
) -> Parity:
    """images: (B, 3, H, W) normalised, cameras: (B,) or None; each is a query of its own."""
    found = []
    for row in range(len(images)):
        camera = None if cameras is None else cameras[row : row + 1]
        traces = [way.search(images[row : row + 1], settings, camera) for way in (reference, other)]
        found.append(astuple(_between(traces[0], traces[1], (reference, other))))
    return Parity(*np.max(found, axis=0).tolist())


def checked_parity(workspace: Workspace, queries: int = 4) -> Parity:
    """The parity of a workspace with the CPU in float32 over some of its queries. Raises ValueError beyond BOUNDS."""
    retriever, dataset = workspace.retriever, workspace.dataset
    records, config = dataset.query[:queries], retriever.model.config
    images = to_tensor([resize_image(dataset.read(record), config.image_size) for record in records], config)
    cameras = torch.tensor([record.camera for record in records]) if dataset.uses_cameras else None
    settings = QuerySettings(neighbors=min(dataset.neighbors, len(retriever.memory)))
    found = parity(on_cpu(retriever), retriever, images, cameras, settings)
    if beyond := found.beyond(BOUNDS[retriever.model.encoder.precision]):
        raise ValueError(
            f"{workspace.device_label} is further from the CPU in float32 than it may be: {', '.join(beyond)}; "
            "use --precision float32, or --device cpu"
        )
    return found


def _between(a: QueryTrace, b: QueryTrace, ways: tuple[Retriever, Retriever]) -> Parity:
    (tokens_a, kept_a), (tokens_b, kept_b) = _on_grid(a.encoding), _on_grid(b.encoding)
    both = kept_a & kept_b
    spread = float(tokens_a[kept_a].std())
    shared, places_a, places_b = np.intersect1d(
        a.match.shortlist.indices, b.match.shortlist.indices, return_indices=True
    )
    same_patches = bool((kept_a == kept_b).all())
    same_neighbors = set(a.consolidation.neighbors.tolist()) == set(b.consolidation.neighbors.tolist())
    top_a, top_b = (each.by_distance.indices[:10] for each in (a, b))
    return Parity(
        tokens=float(np.abs(tokens_a[both] - tokens_b[both]).max()) / spread,
        dropped=1 - both.sum() / kept_a.sum(),
        d_cos=_largest(a.match.shortlist.d_cos[places_a] - b.match.shortlist.d_cos[places_b]),
        d_emd=_largest(a.match.transport.distance[places_a] - b.match.transport.distance[places_b]),
        plan=_plans_apart(a, b, ways, int(shared[0])) if same_patches and len(shared) else 0.0,
        feature=_angle(a.consolidation.feature, b.consolidation.feature) if same_neighbors else 0.0,
        hits=1 - len(np.intersect1d(top_a, top_b)) / len(top_a),
    )


def _on_grid(encoding: Encoding) -> tuple[np.ndarray, np.ndarray]:
    """`[cls]` and patch tokens by grid position (1 + N, C), and which of them are there (1 + N,)."""
    tokens = encoding.tokens[0].float().cpu().numpy()
    where = np.concatenate([[0], 1 + encoding.positions[0].cpu().numpy()])
    whole = np.zeros((1 + encoding.grid[0] * encoding.grid[1], tokens.shape[1]), np.float32)
    there = np.zeros(len(whole), bool)
    whole[where], there[where] = tokens, True
    return whole, there


def _plans_apart(a: QueryTrace, b: QueryTrace, ways: tuple[Retriever, Retriever], row: int) -> float:
    plans = []
    for trace, way in zip((a, b), ways, strict=True):
        place = trace.match.shortlist.position(row)
        found = way.plan(trace.encoding, trace.match, place, trace.settings)
        plans.append(found.plan[np.argsort(found.query_positions)])
    return float(np.abs(plans[0] - plans[1]).sum())


def _angle(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a.astype(np.float64), b.astype(np.float64)
    return float(1 - a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def _largest(difference: np.ndarray) -> float:
    return float(np.abs(difference).max(initial=0.0))

"""Compare the transport of the `paper` variant, which normalises both marginals, with the paper's Eq. 7 to 9.

In these equations, weights are not normalised and limit the flows, and the total flow is the smaller of the two total
weights. The cost of the partial plan is divided by this total, as in the definition of the EMD by Rubner et al. (2000).
Both problems are solved exactly.

    python -m benchmarks.partial_transport
"""

from __future__ import annotations

import argparse

import numpy as np
import torch

from fpc_core.config import QuerySettings, Variant
from fpc_core.data.images import resize_image, to_tensor
from fpc_core.matching.ranking import combined_distance
from fpc_core.matching.transport import MAX_PIVOTS, ground_cost, marginals, solve_exact
from fpc_core.workspace import Places, open_workspace

SETTINGS = QuerySettings(variant=Variant.PAPER)


def partial_cost(cost: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
    """Return the cost of the cheapest plan under Eq. 6 to 9, divided by its total flow.

    The weight that is not moved goes, at no cost, to a dummy patch of the image with the smaller total.

    Args:
        cost: (M, N) ground cost.
        a: (M,) weights of the query.
        b: (N,) weights of the gallery image.
    """
    import ot

    a, b, cost = (np.asarray(each, np.float64) for each in (a, b, cost))
    total, rest = min(a.sum(), b.sum()), a.sum() - b.sum()
    if rest > 0:
        b, cost = np.append(b, rest), np.pad(cost, ((0, 0), (0, 1)))
    elif rest < 0:
        a, cost = np.append(a, -rest), np.pad(cost, ((0, 1), (0, 0)))
    return float(ot.emd2(a / a.sum(), b / b.sum(), cost, numItermax=MAX_PIVOTS)) * max(a.sum(), b.sum()) / total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=50)
    args = parser.parse_args()
    workspace = open_workspace(Places(), "cpu")
    retriever, dataset = workspace.retriever, workspace.dataset
    step = max(1, len(dataset.query) // args.queries)
    lower, ratios, same, tops = [], [], [], []
    for record in dataset.query[::step][: args.queries]:
        image = to_tensor(
            [resize_image(dataset.read(record), retriever.model.config.image_size)], retriever.model.config
        )
        encoding = retriever.encode(retriever.prepare(image, torch.tensor([record.camera])), SETTINGS.prune)
        short = retriever.match(encoding, SETTINGS).shortlist
        query, gallery = encoding.patches[0].float(), retriever.memory.patches(short.indices)
        cost = ground_cost(query, gallery).numpy()
        cls = torch.from_numpy(np.array(retriever.memory.cls[short.indices], np.float32))
        normalised = marginals(encoding.cls[0], query, cls, gallery, Variant.PAPER)
        raw = (gallery.mean(1) @ query.T).relu().numpy(), (gallery @ query.mean(0)).relu().numpy()
        exact = np.array([solve_exact(c, *(side[s].numpy() for side in normalised))[1] for s, c in enumerate(cost)])
        partial = np.array([partial_cost(c, *(side[s] for side in raw)) for s, c in enumerate(cost)])
        sums = np.stack([side.sum(1) for side in raw])
        ratios += (sums.min(0) / sums.max(0)).tolist()
        lower += (1 - partial / exact).tolist()
        distances = (combined_distance(short.d_cos, each, SETTINGS.alpha) for each in (exact, partial))
        orders = [np.argsort(each, kind="stable") for each in distances]
        same.append(len({*orders[0][:10]} & {*orders[1][:10]}) / 10)
        tops.append(orders[0][0] == orders[1][0])
    print(f"{len(same)} queries, {len(lower):,} pairs")
    print(f"smaller total / larger total: median {np.median(ratios):.3f}, 5 % quantile {np.quantile(ratios, 0.05):.3f}")
    print(f"partial D_EMD lower by: median {np.median(lower):.2%}, 95 % quantile {np.quantile(lower, 0.95):.2%}")
    print(f"of the ten nearest by D, the same: {np.mean(same):.1%}; same first image: {np.mean(tops):.1%}")


if __name__ == "__main__":
    main()

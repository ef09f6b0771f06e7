"""Compare Sinkhorn solvers on 100 candidates: ours, POT's batch solver and the loop of the released code.

    python -m benchmarks.transport [--repeat 7]

Costs and marginals come from random tokens that are clustered, as those of an encoder, or spread out. Every solver gets
the same ground cost, and its error is measured on its plans. The script also checks that the tolerance is small enough:
it compares the ten nearest images by D with those of the converged solver, for the queries of the demo.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import ot
import torch

from fpc_core.config import QuerySettings, Solver, TransportSettings, Variant
from fpc_core.data.images import resize_image, to_tensor
from fpc_core.matching.transport import ground_cost, marginals, solve
from fpc_core.workspace import Places, open_workspace

QUERY_PATCHES, GALLERY_PATCHES, CHANNELS, CANDIDATES = 125, 242, 768, 100
EPSILON = 0.05


def tokens(kind: str, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return random tokens of a query, (M, C), and of the gallery, (S, N, C).

    Args:
        kind: "clustered" for tokens around a dozen common centres, or "spread".
        seed: Seed of the random generator.
    """
    generator = torch.Generator().manual_seed(seed)
    parts = torch.randn(12, CHANNELS, generator=generator) + torch.randn(CHANNELS, generator=generator)
    noise = 0.7 if kind == "clustered" else 3.0

    def draw(*shape: int) -> torch.Tensor:
        which = torch.randint(0, len(parts), shape, generator=generator)
        return parts[which] + noise * torch.randn(*shape, CHANNELS, generator=generator)

    return draw(QUERY_PATCHES), draw(CANDIDATES, GALLERY_PATCHES)


def worst_error(plans: np.ndarray, a: torch.Tensor, b: torch.Tensor) -> float:
    """Return the largest L1 error of a marginal over all plans.

    Args:
        plans: (S, M, N) transport plans.
        a: (S, M) row marginals.
        b: (S, N) column marginals.
    """
    on_a, on_b = np.abs(plans.sum(2) - a.numpy()).sum(1), np.abs(plans.sum(1) - b.numpy()).sum(1)
    return float(np.maximum(on_a, on_b).max())


def released_100(cost: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> None:
    """Run 100 iterations of the released loop, without its stopping rule.

    Args:
        cost: (S, M, N) ground cost.
        a: (S, M) query marginals.
        b: (S, N) gallery marginals.
    """
    kernel = torch.exp(-cost / EPSILON).transpose(1, 2)
    u, v = torch.ones_like(b).unsqueeze(2), torch.ones_like(a).unsqueeze(2)
    for _ in range(100):
        u = b.unsqueeze(2) / (kernel @ v)
        v = a.unsqueeze(2) / (kernel.transpose(1, 2) @ u)
    _ = u * kernel * v.transpose(1, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=7)
    repeat = parser.parse_args().repeat
    print(f"{CANDIDATES} candidates, {QUERY_PATCHES} x {GALLERY_PATCHES} patches, {torch.get_num_threads()} threads\n")
    print("| tokens | solver | ms (median) | times ours | worst L1 marginal error |\n|---|---|---|---|---|")
    for kind in ("clustered", "spread"):
        query, gallery = tokens(kind, 0)
        cost = ground_cost(query, gallery)
        a, b = marginals(query.mean(0), query, gallery.mean(1), gallery, Variant.RELEASED)
        ours = TransportSettings(epsilon=EPSILON)
        # POT has a different stopping criterion, so its tolerance is reduced until its plans are as accurate as ours.
        tolerance, reached = 1e-3, np.inf
        while reached > 1e-3:
            plans = ot.batch.solve_batch(cost, EPSILON, a, b, max_iter=1000, tol=tolerance).plan.numpy()
            reached = worst_error(plans, a, b)
            tolerance /= 2
        tolerance *= 2
        released = TransportSettings(solver=Solver.RELEASED, epsilon=EPSILON)
        solvers: dict[str, tuple[Callable[[], object], float | str]] = {
            "ours, L1 error <= 1e-3": (
                lambda: solve(cost, a, b, ours),
                float(solve(cost, a, b, ours).marginal_error.max()),
            ),
            f"POT ot.batch, tol {tolerance:.0e}": (
                lambda: ot.batch.solve_batch(cost, EPSILON, a, b, max_iter=1000, tol=tolerance),
                reached,
            ),
            "released loop, own stop": (
                lambda: solve(cost, a, b, released),
                float(solve(cost, a, b, released).marginal_error.max()),
            ),
            "released loop, 100 iterations": (lambda: released_100(cost, a, b), "-"),
        }
        times: dict[str, list[float]] = {name: [] for name in solvers}
        for _ in range(repeat):
            for name, (run, _error) in solvers.items():
                start = time.perf_counter()
                run()
                times[name].append(1000 * (time.perf_counter() - start))
        base = statistics.median(next(iter(times.values())))
        for name, (_run, error) in solvers.items():
            median = statistics.median(times[name])
            shown = error if isinstance(error, str) else f"{error:.1e}"
            print(f"| {kind} | {name} | {median:.1f} | {median / base:.1f} | {shown} |")
    same_top_10()


def same_top_10() -> None:
    """Print for how many demo queries the ten nearest images by D are the same at tolerance 1e-3 and at convergence."""
    workspace = open_workspace(Places())
    retriever = workspace.retriever
    for variant in Variant:
        settings = replace(QuerySettings(), variant=variant)
        converged = replace(settings, transport=TransportSettings(tolerance=1e-6, max_iterations=20_000))
        same = 0
        for record in workspace.dataset.query:
            image = resize_image(workspace.dataset.read(record), retriever.model.config.image_size)
            pixels = to_tensor([image], retriever.model.config)
            encoding = retriever.encode(retriever.prepare(pixels, torch.tensor([record.camera])), settings.prune)
            tops = [
                set(retriever.by_distance(retriever.match(encoding, choice), settings.alpha).indices[:10].tolist())
                for choice in (settings, converged)
            ]
            same += tops[0] == tops[1]
        line = f"top 10 by D ({variant}) at 1e-3 equal to the converged one"
        print(f"\n{line}: {same} of {len(workspace.dataset.query)} queries")


if __name__ == "__main__":
    main()

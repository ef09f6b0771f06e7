"""Measure what int8 gallery tokens would save and change: `python -m benchmarks.int8_tokens [--repeat 9]`.

Every token has a scale of its own, its largest absolute value / 127. The first table compares distances and rankings on
the demo with those of the stored float16 tokens. The second table has the time to read 100 candidates from the page
cache and to compute their ground cost, at the size of ViT-Base with stride 11. It compares float16 tokens as stored
now, int8 tokens converted to float32, and products of int8 tokens, for which the query is quantised as well. All ways
run in turn.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from fpc_core.config import QuerySettings
from fpc_core.data.images import to_tensor
from fpc_core.matching.transport import ground_cost
from fpc_core.retrieval import Retriever
from fpc_core.workspace import Places, open_workspace

QUERY_PATCHES, GALLERY_PATCHES, CHANNELS, CANDIDATES, IMAGES = 125, 242, 768, 100, 2_000
QUERIES = 60  # Queries of the demo that are compared.


def quantised(tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (..., C) int8 tokens and their (..., 1) float32 scales."""
    scale = tokens.abs().amax(-1, keepdim=True).clamp_min(1e-12) / 127
    return (tokens / scale).round().to(torch.int8), scale


def integer_cost(query: torch.Tensor, gallery: torch.Tensor) -> torch.Tensor:
    """Return the ground cost (S, M, N), computed from int8 tokens, whose scales cancel in the cosine.

    Args:
        query: (M, C) float query tokens.
        gallery: (S, N, C) int8 gallery tokens.
    """
    whole, _ = quantised(query)
    images, patches, channels = gallery.shape
    products = torch._int_mm(whole, gallery.view(-1, channels).T).view(len(query), images, patches)
    norms = torch.linalg.vector_norm(gallery.float(), dim=2)
    own = torch.linalg.vector_norm(whole.float(), dim=1)
    cosine = products.permute(1, 0, 2).float() / norms.unsqueeze(1) / own[None, :, None]
    return (1 - cosine).clamp(0.0, 2.0)


def parity() -> None:
    """Print how distances and rankings of the demo change."""
    workspace = open_workspace(Places(), "cpu")
    retriever = workspace.retriever
    stored = torch.from_numpy(np.asarray(retriever.memory.tokens[list(range(len(retriever.memory)))]))
    whole, scale = quantised(stored.float())
    changed = Retriever(retriever.model, retriever.memory, retriever.index)
    restored = whole.float() * scale
    changed.tokens.patches = lambda rows: restored[torch.as_tensor(np.asarray(rows))]
    differences, by_d, final, first = [], 0, 0, 0
    for record in workspace.dataset.query[:QUERIES]:
        image = to_tensor([workspace.image(record)], retriever.model.config)
        traces = [each.search(image, QuerySettings(), torch.tensor([record.camera])) for each in (retriever, changed)]
        distances = [trace.match.transport.distance for trace in traces]
        differences.append(np.abs(distances[0] - distances[1]).max())
        by_d += np.array_equal(*(trace.by_distance.indices[:10] for trace in traces))
        final += np.array_equal(*(trace.final.indices[:10] for trace in traces))
        first += int(traces[0].final.indices[0] == traces[1].final.indices[0])
    print(f"| demo, {QUERIES} queries | int8 and float16 |\n|---|---|")
    print(f"| largest difference of D_EMD | {max(differences):.1e} |")
    print(f"| equal first ten by D, in order | {by_d} of {QUERIES} |")
    print(f"| equal first ten after consolidation, in order | {final} of {QUERIES} |")
    print(f"| equal first image after consolidation | {first} of {QUERIES} |")
    saved = stored.numel() + 4 * scale.numel()
    print(f"| size of the tokens | {saved / 1e6:.1f} MB instead of {2 * stored.numel() / 1e6:.1f} MB |\n")


def timings(repeat: int) -> None:
    """Print the time to read and compare 100 candidates."""
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(QUERY_PATCHES, CHANNELS, generator=generator)
    with tempfile.TemporaryDirectory() as folder:
        files = {}
        for name, kind in (("half", np.float16), ("whole", np.int8)):
            files[name] = np.lib.format.open_memmap(
                Path(folder) / f"{name}.npy", "w+", kind, (IMAGES, GALLERY_PATCHES, CHANNELS)
            )
        for at in range(IMAGES):
            tokens = torch.randn(GALLERY_PATCHES, CHANNELS, generator=generator)
            files["half"][at], files["whole"][at] = tokens.half().numpy(), quantised(tokens)[0].numpy()
        rng = np.random.default_rng(0)

        def half(rows: np.ndarray) -> torch.Tensor:
            return ground_cost(query, torch.from_numpy(files["half"][rows]).float())

        def converted(rows: np.ndarray) -> torch.Tensor:
            return ground_cost(query, torch.from_numpy(files["whole"][rows]).float())

        def integer(rows: np.ndarray) -> torch.Tensor:
            return integer_cost(query, torch.from_numpy(files["whole"][rows]))

        ways: dict[str, Callable[[np.ndarray], torch.Tensor]] = {
            "float16, as now": half,
            "int8 to float32": converted,
            "int8 x int8": integer,
        }
        times: dict[str, list[float]] = {name: [] for name in ways}
        worst = dict.fromkeys(ways, 0.0)
        for _ in range(repeat):
            rows = np.sort(rng.choice(IMAGES, CANDIDATES, replace=False))
            exact = half(rows)
            for name, way in ways.items():
                start = time.perf_counter()
                cost = way(rows)
                times[name].append(1000 * (time.perf_counter() - start))
                worst[name] = max(worst[name], float((cost - exact).abs().max()))
    print("| 100 candidates of 242 x 768 | ms, median | largest difference of the cost |\n|---|---|---|")
    for name in ways:
        print(f"| {name} | {statistics.median(times[name]):.1f} | {worst[name]:.1e} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=9)
    repeat = parser.parse_args().repeat
    torch.set_grad_enabled(False)
    parity()
    timings(repeat)


if __name__ == "__main__":
    main()

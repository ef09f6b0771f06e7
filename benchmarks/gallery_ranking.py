"""Compare sorting a whole gallery by distance with selecting the first ranks, at 519,000 images, in CPU time.

python -m benchmarks.gallery_ranking [--images 519000] [--channels 32] [--repeat 30]
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from fpc_core.matching.ranking import rank_by_feature

SHOWN = 10  # Hits on the Explore page.


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=519_000)
    parser.add_argument("--channels", type=int, default=32, help="that of benchmarks.half_million by default")
    parser.add_argument("--repeat", type=int, default=30)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    gallery = rng.standard_normal((args.images, args.channels), np.float32)
    gallery /= np.linalg.norm(gallery, axis=1, keepdims=True)
    taken: dict[str, list[float]] = {"distances alone": [], "first ranks": [], "everything sorted": []}
    for query in rng.standard_normal((args.repeat, args.channels), np.float32):
        start = time.process_time()
        ranking = rank_by_feature(query, gallery)
        distances = time.process_time()
        first = ranking.first(SHOWN)
        selected = time.process_time()
        whole = ranking.indices
        ended = time.process_time()
        assert np.array_equal(first.indices, whole[:SHOWN])
        sums = (distances - start, selected - start, distances - start + ended - selected)
        for name, seconds in zip(taken, sums, strict=True):
            taken[name].append(1000 * seconds)
    for name, times in taken.items():
        print(f"{name}: {np.median(times):.1f} CPU ms in the median, p95 {np.percentile(times, 95):.1f}")
    ratio = np.median(np.array(taken["everything sorted"]) / np.array(taken["first ranks"]))
    print(f"first {SHOWN} of {args.images:,}: {ratio:.1f} times faster")


if __name__ == "__main__":
    main()

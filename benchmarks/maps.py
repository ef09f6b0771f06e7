"""Compare heat-map methods on the demo with leaving out each patch, and with maps for random weights.

    python -m benchmarks.maps [--queries 20]

The script prints a Markdown table for the decoder and one for the encoder. All values are Spearman rank correlations
between two maps of the same query over all patches, averaged over queries:

- order: the whole map and the exact loss from leaving out each patch.
- shown, relative: the map as it is drawn, clipped at 0 or at its mean, and the clipped loss.
- random: the map and that of the same block with random weights (sanity check of Adebayo et al. 2018; 0 is best).
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import replace

import numpy as np
import torch
from scipy.stats import spearmanr

from fpc_core.config import MapMethod, MapSettings, MapTarget, QuerySettings
from fpc_core.data.images import resize_image, to_tensor
from fpc_core.explain.heatmap_methods import DECODER_METHODS, NAMES, TARGETED
from fpc_core.explain.heatmap_targets import explained_index
from fpc_core.explain.heatmaps import PatchMap, decoder_map, encoder_map
from fpc_core.model.fpc import FPC
from fpc_core.retrieval import Retriever
from fpc_core.workspace import Places, open_workspace

COLUMNS = ("order", "shown", "relative", "random", "ms")
Mapped = Callable[[Retriever, MapSettings], PatchMap]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--queries", type=int, default=20)
    wanted = parser.parse_args().queries
    workspace = open_workspace(Places(), "cpu")
    config, records = workspace.retriever.model.config, workspace.dataset.query
    other = _with_fresh_blocks(workspace.retriever)
    tables: dict[str, dict[str, list[list[float]]]] = {"decoder": defaultdict(list), "encoder": defaultdict(list)}
    for record in records[:: max(1, len(records) // wanted)][:wanted]:
        image = to_tensor([resize_image(workspace.dataset.read(record), config.image_size)], config)
        state = workspace.retriever.prepare(image, torch.tensor([record.camera]))
        trace = workspace.retriever.search(state, QuerySettings())

        def of_decoder(retriever: Retriever, how: MapSettings) -> PatchMap:
            return decoder_map(retriever, trace, how)

        def of_encoder(retriever: Retriever, how: MapSettings) -> PatchMap:
            return encoder_map(retriever, state, trace.settings.prune, how)

        for target in MapTarget:
            named = MapSettings(target=target)
            named = replace(named, index=explained_index(workspace.retriever, trace, named))
            for line, numbers in _compared(of_decoder, workspace.retriever, other, named, DECODER_METHODS):
                tables["decoder"][line].append(numbers)
        nearest = MapSettings(index=int(trace.by_distance.indices[0]))
        for line, numbers in _compared(of_encoder, workspace.retriever, other, nearest, MapMethod):
            tables["encoder"][line].append(numbers)
    for name, lines in tables.items():
        print(f"\n| {name} | {' | '.join(COLUMNS)} |\n|---|" + "---|" * len(COLUMNS))
        for line, numbers in lines.items():
            *means, seconds = np.nanmean(numbers, axis=0)
            print(f"| {line} | " + " | ".join(f"{mean:.2f}" for mean in means) + f" | {1000 * seconds:.0f} |")


def _compared(
    mapped: Mapped, retriever: Retriever, other: Retriever, named: MapSettings, methods: Iterable[MapMethod]
) -> Iterable[tuple[str, list[float]]]:
    """Yield the name and the five values of each method for one query.

    Args:
        mapped: Function that computes a map, given a retriever and the settings of the map.
        retriever: Retriever with the trained weights.
        other: Retriever with random weights.
        named: Settings of the map, whose method is replaced.
        methods: Methods to compare.
    """
    lost = _flat(mapped(retriever, replace(named, method=MapMethod.LEFT_OUT)))
    for method in methods:
        how = replace(named, method=method)
        start = time.perf_counter()
        values = _flat(mapped(retriever, how))
        seconds = time.perf_counter() - start
        relative, random = _flat(mapped(retriever, replace(how, relative=True))), _flat(mapped(other, how))
        line = f"{NAMES[method]}, {named.target}" if method in TARGETED else NAMES[method]
        if method in TARGETED or named.target is MapTarget.SIMILARITY:
            pairs = ((values, lost), (_clipped(values), _clipped(lost)), (_clipped(relative), _clipped(lost)))
            yield line, [*(_rank(*pair) for pair in pairs), abs(_rank(values, random)), seconds]


def _with_fresh_blocks(retriever: Retriever) -> Retriever:
    """Return a copy in which decoder, its BNNeck and the last encoder block have new random weights."""
    torch.manual_seed(0)
    model, fresh = deepcopy(retriever.model), FPC(retriever.model.config).eval()
    model.decoder, model.rec_bottleneck = fresh.decoder, fresh.rec_bottleneck
    model.encoder.blocks[-1] = fresh.encoder.blocks[-1]
    return Retriever(model, retriever.memory)


def _flat(patch_map: PatchMap) -> np.ndarray:
    values = np.concatenate([patch_map.query_grid.ravel(), patch_map.neighbor_grids.ravel()])
    return values[np.isfinite(values)]


def _clipped(values: np.ndarray) -> np.ndarray:
    return np.maximum(values, 0.0)


def _rank(one: np.ndarray, other: np.ndarray) -> float:
    """Return the rank correlation of two maps, or NaN if one of them is constant and therefore has no order."""
    return float(spearmanr(one, other)[0]) if np.ptp(one) > 0 and np.ptp(other) > 0 else float("nan")


if __name__ == "__main__":
    main()

"""Compare all stages on a GPU with the released code, and their results with those of the CPU.

    python -m benchmarks.gpu [--device cuda] [--models vit-b vit-tiny] [--share 1] [--evaluate vit-b]

The script needs no data. It uses random weights and noise images with the layout and size of Occluded-Duke (2,210
queries, 17,661 gallery images). Parity is measured on the demo, whose weights are trained. It prints Markdown tables of
the encoder (images per second), the matching of a query with its shortlist of 100, the decoder, a whole query and a
whole evaluation. The implementations run in turn, in the evaluation step by step. `--share` evaluates a part of queries
and gallery; no time is extrapolated. The script fails if a result differs from that of the CPU in float32 by more than
`fpc_core.evaluation.device_parity.BOUNDS`.

The released code computes in float32. With a current version of torch its matrix products are float32 too, but with
the version of its time they were TF32, so the table of the encoder has both. The released code's log is quoted below
the evaluation; it does not name the hardware.
"""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from benchmarks import decoder, transport
from benchmarks.query import Bench, milliseconds, prepare
from benchmarks.released_evaluation import ReleasedEvaluation
from benchmarks.released_path import encode, find_by_both, find_by_cosine, released_query
from benchmarks.world import SPLITS, make_dataset
from fpc_core.config import (
    VIT_BASE_STRIDE_11,
    VIT_TINY,
    ModelConfig,
    Precision,
    PruneSettings,
    QuerySettings,
    Solver,
    TransportSettings,
    Variant,
)
from fpc_core.data.datasets import Dataset, open_dataset
from fpc_core.data.images import resize_image, to_tensor
from fpc_core.evaluation.device_parity import BOUNDS, Parity, parity
from fpc_core.evaluation.engine.passes import Pass, PassTask, Point
from fpc_core.evaluation.engine.runner import run_with_store
from fpc_core.gallery.builder import build_memory
from fpc_core.gallery.memory import GalleryMemory
from fpc_core.matching.transport import ground_cost, marginals, solve
from fpc_core.model.fpc import FPC
from fpc_core.results import Transport
from fpc_core.retrieval import Retriever
from fpc_core.workspace import Places, choose_device, open_workspace

MODELS = {"vit-b": VIT_BASE_STRIDE_11, "vit-tiny": VIT_TINY}
LOG = (
    "The released code's own log (`logs/occ_duke/test_log.txt`, 2023-12-20, hardware not named) says 128.8 s for 2,210 "
    "queries and 17,661 gallery images, without the gallery memory. No ratio in this table uses that time."
)
BUILD_BATCH = 128
SETTINGS = QuerySettings()
LEAST_SHARE = (SETTINGS.shortlist + 1) / SPLITS["bounding_box_test"][0]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark and return its exit status, which is 1 if a difference exceeds its bound, else 0."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--evaluate", default="vit-b", choices=[*MODELS, "none"], help="model to evaluate")
    parser.add_argument("--share", type=float, default=1.0, help="share of queries and gallery to evaluate, up to 1")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 16, 64, 256])
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--queries", type=int, default=16, help="number of demo queries for the parity table")
    parser.add_argument("--folder", type=Path, help="folder for temporary files (default: the system's)")
    args = parser.parse_args(arguments)
    if not LEAST_SHARE <= args.share <= 1:
        parser.error(
            f"--share must be in {LEAST_SHARE:.4f}..1, got {args.share:g}: the released code needs more gallery "
            "images than its shortlist has"
        )
    start, device = time.perf_counter(), choose_device(args.device)
    print(
        f"{named(device)}, torch {torch.__version__}, {datetime.now(UTC):%Y-%m-%d}, {torch.get_num_threads()} threads"
    )
    print(f"Median of {args.repeats} runs; all implementations run in turn.", flush=True)
    beyond = parity_table(device, args.queries)
    for name in args.models:
        print(f"\n## {name}, {MODELS[name].patches} patches x {MODELS[name].width} channels", flush=True)
        encoder_table(MODELS[name], device, args.batches, args.repeats)
        bench = prepare(MODELS[name], device)
        beyond += matching_table(bench, device, args.repeats)
        decoder_table(MODELS[name], device, args.repeats)
        query_table(bench, device, args.repeats)
    if args.evaluate != "none":
        with tempfile.TemporaryDirectory(dir=args.folder) as folder:
            evaluation_table(args.evaluate, device, args.share, Path(folder))
    print(f"\nThe whole run took {time.perf_counter() - start:.0f} s.")
    for each in beyond:
        print(f"Beyond its bound: {each}", file=sys.stderr)
    return bool(beyond)


def named(device: torch.device) -> str:
    """Return the name of the hardware of a device."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"CPU ({names[0] if names else platform.machine()})"


def at(model: FPC, precision: Precision) -> FPC:
    """Return a copy of the model whose encoder computes matrix products in a given precision."""
    copy = deepcopy(model)
    copy.encoder.precision = precision
    return copy


def parity_table(device: torch.device, queries: int) -> list[str]:
    """Print differences from the CPU in float32 on the demo, for every precision and variant.

    Args:
        device: Device to compare with the CPU.
        queries: Number of demo queries.

    Returns:
        A text for each difference that exceeds its bound.
    """
    here, there = open_workspace(Places(), "cpu"), open_workspace(Places(), str(device))
    config, records = here.retriever.model.config, here.dataset.query[:queries]
    images = to_tensor([resize_image(here.dataset.read(record), config.image_size) for record in records], config)
    cameras = torch.tensor([record.camera for record in records])
    print(f"\n## Parity with the CPU in float32: largest of {len(records)} demo queries / bound\n")
    print(f"| precision | variant | {' | '.join(each.name for each in fields(Parity))} |")
    print(f"|---|---|{'---|' * len(fields(Parity))}")
    beyond = []
    for precision in Precision:
        other = Retriever(at(there.retriever.model, precision), there.retriever.memory, there.retriever.index)
        for variant in Variant:
            settings = replace(SETTINGS, variant=variant, neighbors=here.dataset.neighbors)
            difference, bound = parity(here.retriever, other, images, cameras, settings), BOUNDS[precision]
            pairs = [(getattr(difference, each.name), getattr(bound, each.name)) for each in fields(Parity)]
            cells = " | ".join(
                f"{value:.1e} / {most:g}{'' if value <= most else ' **beyond**'}" for value, most in pairs
            )
            print(f"| {precision.value} | {variant.value} | {cells} |", flush=True)
            beyond += [f"{precision.value}, {variant.value}: {each}" for each in difference.beyond(bound)]
    return beyond


@torch.inference_mode()
def encoder_table(config: ModelConfig, device: torch.device, batches: Sequence[int], repeats: int) -> None:
    """Print how many images the encoder processes per second, at keep rate 1 (gallery) and 0.8 (query).

    Args:
        config: Architecture of the model.
        device: Device to measure.
        batches: Numbers of images that are encoded together.
        repeats: Number of timed runs.
    """
    torch.manual_seed(0)
    model = FPC(config).eval().to(device)
    models = {precision: at(model, precision) for precision in Precision}
    print(
        "\n| images a second | keep rate | released | " + ("released, TF32 | " if device.type == "cuda" else ""), end=""
    )
    print(" | ".join(f"ours, {precision.value} | times" for precision in Precision) + " |")
    print("|---|---|---|" + ("---|" if device.type == "cuda" else "") + "---|---|" * len(Precision))
    for count in batches:
        images = torch.rand(count, 3, *config.image_size, device=device) * 2 - 1
        cameras = torch.arange(count, device=device) % config.cameras
        for keep_rate in (1.0, SETTINGS.prune.keep_rate):
            released = partial(encode, model, images, cameras, keep_rate)
            ways: dict[str, Callable[[], object]] = {"released": released}
            if device.type == "cuda":
                ways["TF32"] = partial(_in_tf32, released)
            for precision, each in models.items():
                ways[precision.value] = partial(each.encode, images, cameras, PruneSettings(keep_rate))
            rates = {way: 1000 * count / taken for way, taken in milliseconds(ways, repeats, device).items()}
            theirs = [f"{rates[way]:,.1f}" for way in ways if way not in list(Precision)]
            ours = [f"{rates[each.value]:,.1f} | {rates[each.value] / rates['released']:.1f}" for each in Precision]
            print(f"| {count} at once | {keep_rate:g} | {' | '.join([*theirs, *ours])} |", flush=True)


def _in_tf32(run: Callable[[], Tensor]) -> Tensor:
    """Run a function with TF32 matrix products, which were the default before torch 1.12."""
    before, torch.backends.cuda.matmul.allow_tf32 = torch.backends.cuda.matmul.allow_tf32, True
    try:
        return run()
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


@torch.inference_mode()
def matching_table(bench: Bench, device: torch.device, repeats: int) -> list[str]:
    """Print times of matching a query with its shortlist, and of the solver alone.

    Args:
        bench: Model, gallery and query.
        device: Device to measure.
        repeats: Number of timed runs.

    Returns:
        A text for each solver result whose distances exceed their bound.
    """
    retriever, gallery = bench.retriever, bench.gallery
    encoding = retriever.encode(retriever.prepare(bench.image, bench.camera), SETTINGS.prune)
    cls, patches = encoding.cls[0], encoding.patches[0]

    def theirs() -> None:
        rows = find_by_cosine(cls, gallery.cls, SETTINGS.shortlist)
        find_by_both(cls, patches, gallery, rows, SETTINGS.alpha, SETTINGS.neighbors)

    def ours(way: Retriever) -> None:
        way.by_distance(way.match(encoding, SETTINGS), SETTINGS.alpha)

    sending = Retriever(retriever.model, retriever.memory, retriever.index)
    with retriever.tokens.pinned() as on_device:
        ways: dict[str, Callable[[], object]] = {"released": theirs}
        ways["ours, tokens from main memory"] = partial(ours, sending)
        if on_device:
            ways["ours, tokens on the device"] = partial(ours, retriever)
        took = milliseconds(ways, repeats, device)
    print(f"\n| matching, {len(patches)} x {gallery.patches.shape[1]} patches, 100 candidates | ms | released / it |")
    print("|---|---|---|")
    for name, taken in took.items():
        print(f"| {name} | {taken:.1f} | {took['released'] / taken:.1f} |")
    beyond = []
    channels, count = patches.shape[1], gallery.patches.shape[1]
    for kind in ("clustered", "spread"):
        query, candidates = (each[..., :channels].to(device) for each in transport.tokens(kind, 0))
        query, candidates = query[: len(patches)], candidates[:, :count]
        cost = ground_cost(query, candidates)
        a, b = marginals(query.mean(0), query, candidates.mean(1), candidates, Variant.RELEASED)
        released = TransportSettings(Solver.RELEASED)
        took = milliseconds(
            {
                "ours": partial(solve, cost, a, b, SETTINGS.transport),
                "released loop, own stop": partial(solve, cost, a, b, released),
                "released loop, 100 iterations": partial(transport.released_100, cost, a, b),
            },
            repeats,
            device,
        )
        result = solve(cost, a, b, SETTINGS.transport)
        apart, most = solver_apart(result, cost, a, b), BOUNDS[Precision.FLOAT32].d_emd
        for name, taken in took.items():
            print(
                f"| solver alone, {kind} tokens: {name} | {taken:.1f} | {took['released loop, own stop'] / taken:.1f} |"
            )
        print(f"| difference of its distances from the CPU / bound: {apart:.1e} / {most:g} | | |", flush=True)
        if not apart <= most:
            beyond.append(f"solver, {kind} tokens: {apart:.1e} > {most:g}")
    return beyond


def solver_apart(result: Transport, cost: Tensor, a: Tensor, b: Tensor) -> float:
    """Return the largest difference in D_EMD from the CPU for the same ground cost and marginals.

    Args:
        result: Result of the solver.
        cost: (S, M, N) ground cost.
        a: (S, M) query marginals.
        b: (S, N) gallery marginals.
    """
    exact = solve(cost.cpu(), a.cpu(), b.cpu(), SETTINGS.transport)
    return float(abs(result.distance - exact.distance).max())


def decoder_table(config: ModelConfig, device: torch.device, repeats: int) -> None:
    """Print times and differences of three implementations of the decoder's `[cls]` row.

    Args:
        config: Architecture of the model.
        device: Device to measure.
        repeats: Number of timed runs.
    """
    with torch.inference_mode():
        ways = decoder.ways(config, SETTINGS.neighbors, device)
        took = milliseconds(ways, repeats, device)
        rows = [way() for way in ways.values()]
    print(
        f"\n| decoder, {1 + SETTINGS.neighbors * config.patches:,} tokens | ms | released / it | largest difference |"
    )
    print("|---|---|---|---|")
    whole = next(iter(took.values()))
    for (name, taken), row in zip(took.items(), rows, strict=True):
        print(f"| {name} | {taken:.2f} | {whole / taken:.1f} | {float((row - rows[0]).abs().max()):.0e} |")


def query_table(bench: Bench, device: torch.device, repeats: int) -> None:
    """Print times of a whole query, from the image to the ranking of the gallery.

    Args:
        bench: Model, gallery and query.
        device: Device to measure.
        repeats: Number of timed runs.
    """
    ours = partial(bench.retriever.search, bench.image, SETTINGS, bench.camera)
    theirs = partial(released_query, bench.retriever.model, bench.gallery, bench.image, bench.camera)
    same = replace(SETTINGS, transport=TransportSettings(Solver.RELEASED))
    feature = bench.retriever.search(bench.image, same, bench.camera).consolidation.feature
    difference = float((torch.from_numpy(feature) - theirs().feature.cpu()).abs().max())
    took = milliseconds({"released path": theirs, "ours": ours}, repeats, device)
    print("\n| a whole query | ms | released / it |\n|---|---|---|")
    for name, taken in took.items():
        print(f"| {name} | {taken:.1f} | {took['released path'] / taken:.1f} |")
    print(f"\nLargest difference of the features, with the released solver in both: {difference:.0e}.", flush=True)


@dataclass(eq=False)
class OurEvaluation:
    """Our evaluation of a dataset: `memory build`, then `evaluate`.

    Attributes:
        model: Model in eval mode.
        dataset: Dataset to evaluate.
        folder: Folder of the gallery memory.
        seconds: Duration of each step.
        memory: Gallery memory after `make_memory`.
    """

    model: FPC
    dataset: Dataset
    folder: Path
    seconds: dict[str, float]
    memory: GalleryMemory | None = None

    def make_memory(self) -> None:
        """Encode every gallery image once and write the gallery memory to disk."""
        start = time.perf_counter()
        self.memory = build_memory(
            self.model, self.dataset.gallery, self.dataset.root, self.folder, batch_size=BUILD_BATCH
        )
        self.seconds["memory"] = time.perf_counter() - start

    def infer(self) -> None:
        """Encode, match, consolidate, rank and score every query."""
        start = time.perf_counter()
        assert self.memory is not None
        eval_pass = Pass(SETTINGS, (Point(SETTINGS.alpha, SETTINGS.neighbors),))
        task = PassTask(Retriever(self.model, self.memory), self.dataset, self.dataset.query, (eval_pass,))
        run_with_store(task).known[eval_pass].scores(0)
        self.seconds["queries"] = time.perf_counter() - start


def evaluation_table(name: str, device: torch.device, share: float, folder: Path) -> None:
    """Print the duration of an evaluation of all queries, including the gallery memory.

    Args:
        name: Name of the model.
        device: Device to measure.
        share: Share of the queries and gallery images of Occluded-Duke.
        folder: Folder for the generated dataset and the gallery memories.
    """
    dataset = open_dataset(make_dataset(folder / "noise", share))
    torch.manual_seed(0)
    model = FPC(MODELS[name]).eval().to(device)
    ways: dict[str, ReleasedEvaluation | OurEvaluation] = {"released, float32": ReleasedEvaluation(model, dataset)}
    for precision in (Precision.FLOAT32, Precision.FLOAT16):
        ways[f"ours, {precision.value}"] = OurEvaluation(at(model, precision), dataset, folder / precision.value, {})
    for way in ways.values():
        way.make_memory()
    for way in ways.values():
        way.infer()
    whole = {name: sum(way.seconds.values()) for name, way in ways.items()}
    part = {name: whole[name] - way.seconds["memory"] for name, way in ways.items()}
    theirs = next(iter(ways))
    print(
        f"\n## Evaluation, {name}: {len(dataset.query):,} queries, {len(dataset.gallery):,} gallery images "
        f"(share {share:g})\n\n"
        "| way | memory s | queries and scores s | whole s | released / it, whole | without the memory |"
        "\n|---|---|---|---|---|---|"
    )
    for each, way in ways.items():
        ratios = f"{whole[theirs] / whole[each]:.1f} | {part[theirs] / part[each]:.1f}"
        print(f"| {each} | {way.seconds['memory']:.1f} | {part[each]:.1f} | {whole[each]:.1f} | {ratios} |")
    steps = ", ".join(f"{step} {taken:.1f} s" for step, taken in ways[theirs].seconds.items())
    print(f"\nThe released steps: {steps}. Times are for this share and not extrapolated.\n\n{LOG}", flush=True)


if __name__ == "__main__":
    sys.exit(main())

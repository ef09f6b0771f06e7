"""Define the options of the command line; defaults come from the settings classes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from fpc_core import __version__
from fpc_core.config import (
    MODEL_STRATEGIES,
    VIT_BASE_STRIDE_11,
    VIT_BASE_STRIDE_16,
    VIT_SMALL,
    VIT_TINY,
    MapMethod,
    MapSettings,
    MapTarget,
    Precision,
    QuerySettings,
    Solver,
    Variant,
)
from fpc_core.data.protocols import AUTO, Cameras, Protocol
from fpc_core.evaluation.metrics.bootstrap import Bootstrap, Unit
from fpc_core.evaluation.paper_tables.definitions import NAMES
from fpc_core.evaluation.paper_tables.export import FORMATS
from fpc_core.evaluation.sweep.task import SweepGrid
from fpc_core.explain.heatmap_methods import DECODER_METHODS
from fpc_core.gallery.builder import BATCH_SIZE, SHARD_IMAGES
from fpc_core.matching.shortlist import IndexKind
from fpc_core.model.positions import Size, parse_size
from fpc_core.report.sources import DEFAULT_IMAGES, MAX_IMAGES
from fpc_core.training.settings import TrainSettings

MODELS = {"tiny": VIT_TINY, "small": VIT_SMALL, "base-16": VIT_BASE_STRIDE_16, "base-11": VIT_BASE_STRIDE_11}


def build_parser(commands: Mapping[str, Callable[..., int | None]]) -> argparse.ArgumentParser:
    """Build the parser; the attribute `run` of parsed arguments is the command's function in `commands`."""
    defaults = QuerySettings()
    device = argparse.ArgumentParser(add_help=False)
    device.add_argument("--device", default="auto", help="auto (CUDA if available), cpu or cuda")
    paths = _path_options(device)
    workspace = argparse.ArgumentParser(add_help=False, parents=[paths])
    workspace.add_argument(
        "--shortlist",
        choices=list(IndexKind),
        metavar="INDEX",
        help=f"shortlist index: {', '.join(IndexKind)} (default: FPC_SHORTLIST, otherwise torch)",
    )
    matching = argparse.ArgumentParser(add_help=False, parents=[workspace])
    matching.add_argument("--solver", choices=[each.value for each in Solver], default=defaults.transport.solver.value)
    search = _search_options(matching)
    name = "fpc" if Path(sys.argv[0]).stem == "fpc" else "python -m fpc_core"
    parser = argparse.ArgumentParser(prog=name, description="Run FPC from the command line")
    parser.add_argument("--version", action="version", version=f"FPC Explorer {__version__}")
    subcommands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, summary: str, *parents: argparse.ArgumentParser) -> argparse.ArgumentParser:
        command = subcommands.add_parser(name, help=summary, description=summary, parents=parents)
        command.set_defaults(run=commands[name])
        return command

    app = add("app", "open the app in the browser; FPC_DATA, FPC_WEIGHTS and FPC_MEMORY set what it opens first")
    app.add_argument("--port", type=int, default=8501)
    app.add_argument("--address", help="address to listen on, such as 127.0.0.1 (default: all network interfaces)")
    query = add("query", "search the gallery for one image", search)
    query.add_argument("image", type=Path)
    query.add_argument(
        "--camera",
        type=int,
        help="camera of the image, 1-based (default: that of a query of the data, otherwise unknown)",
    )
    query.add_argument("--top", type=int, default=10, help="number of ranks to print")
    memory = subcommands.add_parser("memory", help="manage the gallery memory").add_subparsers(
        required=True, metavar="ACTION"
    )
    _build_options(memory.add_parser("build", help="encode the gallery; resumes an interrupted build", parents=[paths]))
    memory.choices["build"].set_defaults(run=commands["memory build"])
    lesson = add("lesson", "write a lesson in ten steps on one query as a self-contained HTML file", search)
    lesson.add_argument(
        "--query",
        type=Path,
        help="image file, or path of a query in the dataset (default: the query that the app shows first)",
    )
    lesson.add_argument("--out", type=Path, default=Path("lesson.html"))
    explain = add("explain", "write a report on many queries as a self-contained HTML file", search)
    explain.add_argument("folder", type=Path, nargs="?", help="folder of images (default: the queries of the data)")
    explain.add_argument("--out", type=Path, default=Path("report.html"))
    explain.add_argument(
        "--queries",
        type=int,
        default=DEFAULT_IMAGES,
        metavar="N",
        help=f"maximum number of queries, up to {MAX_IMAGES} (default: {DEFAULT_IMAGES})",
    )
    explain.add_argument(
        "--method",
        choices=[each.value for each in DECODER_METHODS],
        default=MapMethod.LEFT_OUT.value,
        help="method of the decoder's heat maps",
    )
    explain.add_argument(
        "--target",
        choices=[each.value for each in MapTarget],
        default=MapSettings().target.value,
        help="what heat maps explain: the cosine to the image ranked first, or the most likely training identity",
    )
    explain.add_argument("--relative", action="store_true", help="show heat maps relative to the mean patch")
    _evaluate_options(add("evaluate", "compute CMC and mAP over all queries, or the paper's tables", search))
    _sweep_axes(add("sweep", "score all queries over keep rate x alpha x K; resumes a stopped sweep", matching))
    figure = add("figure", "draw a publication figure from a recipe: PDF, SVG, PNG, data and LaTeX", workspace)
    figure.add_argument("recipe", type=Path, help="JSON file exported by the Figures page")
    figure.add_argument("--out", type=Path, default=Path("figures"))
    flops = add("flops", "compute the FLOPs of Table 3 in two ways, next to the paper's")
    flops.add_argument("--model", choices=list(MODELS), default="base-11")
    summary = (
        "train both stages; run it again to resume; on several GPUs: torchrun --nproc-per-node N -m fpc_core train ..."
    )
    _training_options(add("train", summary, device))
    add("doctor", "check installation, device, and whether data, weights and gallery memory match", workspace)
    return parser


def _build_options(build: argparse.ArgumentParser) -> None:
    build.add_argument("--batch-size", type=int, default=BATCH_SIZE)
    build.add_argument("--shard-images", type=int, default=SHARD_IMAGES, help="number of images in each file of tokens")
    build.add_argument(
        "--skip-unreadable",
        action="store_true",
        help="leave out queries and gallery images that cannot be read; the gallery memory records them",
    )


def _search_options(matching: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Return the options of commands that search: those of `matching`, keep rate, drop strategy, alpha and K."""
    defaults = QuerySettings()
    search = argparse.ArgumentParser(add_help=False, parents=[matching])
    search.add_argument("--keep-rate", type=float, default=defaults.prune.keep_rate)
    strategies = [each.value for each in MODEL_STRATEGIES]
    search.add_argument(
        "--drop", choices=strategies, default=defaults.prune.strategy.value, help="which patches are dropped"
    )
    search.add_argument("--alpha", type=float, default=defaults.alpha, help="weight of D_EMD in D (Eq. 10)")
    search.add_argument(
        "--neighbors", "-k", type=int, help="number of neighbours K (default: from the dataset, otherwise 10)"
    )
    return search


def _path_options(device: argparse.ArgumentParser) -> argparse.ArgumentParser:
    paths = argparse.ArgumentParser(add_help=False, parents=[device])
    paths.add_argument("--data", type=Path, help="dataset folder (default: FPC_DATA, otherwise the demo)")
    paths.add_argument("--weights", type=Path, help="checkpoint (default: FPC_WEIGHTS, otherwise the demo)")
    paths.add_argument("--memory", type=Path, help="gallery memory (default: FPC_MEMORY, otherwise the demo)")
    paths.add_argument(
        "--variant",
        choices=[each.value for each in Variant],
        default=QuerySettings.variant.value,
        help="implementation to follow where the paper and the released code differ, also in the cameras of sets "
        "without camera numbers",
    )
    paths.add_argument(
        "--protocol",
        choices=[AUTO, *Protocol],
        metavar="PROTOCOL",
        default=AUTO,
        help=f"which gallery images count: {', '.join(Protocol)} (default: from dataset.json, otherwise from the data)",
    )
    paths.add_argument(
        "--cameras",
        choices=[AUTO, *Cameras],
        metavar="CAMERAS",
        default=AUTO,
        help=f"where cameras come from: {', '.join(Cameras)} (default: from dataset.json, otherwise from the layout); "
        "the gallery memory must be built with the same value",
    )
    paths.add_argument(
        "--precision",
        choices=[each.value for each in Precision],
        help="precision of the encoder (default: FPC_PRECISION, otherwise float32); must match the gallery memory",
    )
    _geometry_options(paths)
    paths.add_argument(
        "--stride", type=int, metavar="PIXELS", help="stride of the patches, if the weights leave it open"
    )
    paths.add_argument(
        "--mean-camera",
        action="store_true",
        help="use the mean camera embedding for every image, for data with cameras that the weights do not have",
    )
    return paths


def _geometry_options(command: argparse.ArgumentParser) -> None:
    """Add the options for what a checkpoint may not determine."""
    command.add_argument(
        "--image-size",
        type=_image_size,
        metavar="HEIGHTxWIDTH",
        help="input size of the weights in pixels, such as 384x192, if the weights leave it open",
    )
    command.add_argument(
        "--heads", type=int, metavar="N", help="number of attention heads, if the width of the weights leaves it open"
    )


def _image_size(text: str) -> Size:
    try:
        return parse_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _evaluate_options(evaluate: argparse.ArgumentParser) -> None:
    evaluate.add_argument(
        "--tables",
        nargs="+",
        choices=[*NAMES, "all"],
        metavar="TABLE",
        help=f"tables of the paper: {', '.join(NAMES)}, all",
    )
    evaluate.add_argument("--recipe", type=Path, help="compute the score of a JSON file exported by the Evaluate page")
    evaluate.add_argument(
        "--format", nargs="+", choices=list(FORMATS), help="output formats (default: text, with --out all of them)"
    )
    evaluate.add_argument("--out", type=Path, help="write a file per table and format into this folder")
    evaluate.add_argument(
        "--resamples", type=int, default=Bootstrap().resamples, help="number of resamples of the bootstrap"
    )
    evaluate.add_argument(
        "--intervals",
        choices=[each.value for each in Unit],
        default=Bootstrap().unit.value,
        help="resample people with all their queries (default), or queries as if they were independent",
    )
    evaluate.add_argument(
        "--ablation",
        action="store_true",
        help="compute Tables 4 and 5 and, if the data has ground-truth masks, print what was dropped",
    )
    evaluate.add_argument(
        "--dropped",
        action="store_true",
        help="also print what was dropped; needs ground-truth masks, which the demo has",
    )
    _cache_option(evaluate)


def _cache_option(command: argparse.ArgumentParser) -> None:
    command.add_argument("--no-cache", action="store_true", help="neither read nor store results (folder: FPC_CACHE)")


def _sweep_axes(sweep: argparse.ArgumentParser) -> None:
    defaults = SweepGrid()
    sweep.add_argument("--keep-rates", type=float, nargs="+", default=defaults.keep_rates, metavar="RATE")
    sweep.add_argument("--alphas", type=float, nargs="+", default=defaults.alphas, metavar="ALPHA")
    sweep.add_argument("--neighbors", "-k", type=int, nargs="+", default=defaults.neighbors, metavar="K")
    sweep.add_argument("--csv", type=Path, help="write all results to this file")
    _cache_option(sweep)


_TRAIN_SETTINGS = {
    "identities": "number of identities in a batch, over all processes",
    "images": "number of images of each identity in a batch",
    "look_alikes": "number of most similar identities that join each sampled identity in a batch",
    "holistic_steps": "number of steps of the first stage, which trains the ViT without dropping by attention",
    "whole_steps": "last steps of the first stage, with all patches instead of a random half",
    "fpc_steps": "number of steps of the second stage, which trains FPC",
    "learning_rate": "peak learning rate",
    "refresh": "number of steps after which the training images, among which neighbours are found, are encoded again",
    "shared_space": "one classifier and a triplet loss across plain and consolidated features (not in the paper)",
    "frozen_blocks": "number of first blocks of encoder and global head that keep the weights of --init",
    "class_means": "start the classifiers from the mean feature of each identity instead of random values",
    "patch_loss": "weight of a triplet loss, not in the paper, on the distance of the patches of two images",
    "guide": "weight of a loss, not in the paper, that guides [cls] attention to the person; needs ground-truth masks",
    "seed": "seed of all random numbers",
    "bfloat16": "mixed precision on the CPU: faster with AMX, but many times slower without AVX-512",
}
"""Settings of `TrainSettings` that are options of the command line, with their help."""


def _training_options(training: argparse.ArgumentParser) -> None:
    defaults = TrainSettings()
    training.add_argument("data", type=Path, help="dataset with a training split")
    training.add_argument("--out", type=Path, required=True)
    training.add_argument(
        "--init", type=Path, help="weights to start from: ImageNet timm ViT, TransReID, FPC or your own"
    )
    training.add_argument(
        "--model", choices=list(MODELS), help="architecture (default: that of --init, otherwise tiny)"
    )
    training.add_argument("--stride", type=int, help="stride of the patches in pixels (default: the model's)")
    _geometry_options(training)
    for name, text in _TRAIN_SETTINGS.items():
        option, default = f"--{name.replace('_', '-')}", getattr(defaults, name)
        if isinstance(default, bool):
            training.add_argument(option, action="store_true", help=text)
        else:
            training.add_argument(option, type=type(default), default=default, help=f"{text} (default: {default:g})")
    training.add_argument("--max-minutes", type=float, help="shorten the schedule to end within this time")

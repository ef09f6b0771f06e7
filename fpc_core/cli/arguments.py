"""What the command line takes: every option with its default from the settings."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

from fpc_core import __version__
from fpc_core.config import (
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
from fpc_core.evaluation.metrics.bootstrap import Bootstrap
from fpc_core.evaluation.paper_tables.definitions import NAMES
from fpc_core.evaluation.paper_tables.export import FORMATS
from fpc_core.evaluation.sweep.task import SweepGrid
from fpc_core.explain.heatmap_methods import DECODER_METHODS
from fpc_core.gallery.builder import BATCH_SIZE, SHARD_IMAGES
from fpc_core.matching.shortlist import IndexKind
from fpc_core.report.sources import MAX_IMAGES
from fpc_core.training.settings import TrainSettings

MODELS = {"tiny": VIT_TINY, "small": VIT_SMALL, "base-16": VIT_BASE_STRIDE_16, "base-11": VIT_BASE_STRIDE_11}


def build_parser(commands: Mapping[str, Callable[..., int | None]]) -> argparse.ArgumentParser:
    """The parser; a parsed command has `run`, its function in `commands`."""
    usual = QuerySettings()
    device = argparse.ArgumentParser(add_help=False)
    device.add_argument("--device", default="auto", help="auto (CUDA where there is one), cpu or cuda")
    where = _where(device)
    opened = argparse.ArgumentParser(add_help=False, parents=[where])
    opened.add_argument(
        "--shortlist",
        choices=list(IndexKind),
        metavar="INDEX",
        help=f"what finds it: {', '.join(IndexKind)} (default: FPC_SHORTLIST, else torch)",
    )
    how = argparse.ArgumentParser(add_help=False, parents=[opened])
    how.add_argument("--variant", choices=[each.value for each in Variant], default=usual.variant.value)
    how.add_argument("--solver", choices=[each.value for each in Solver], default=usual.transport.solver.value)
    search = argparse.ArgumentParser(add_help=False, parents=[how])
    search.add_argument("--keep-rate", type=float, default=usual.prune.keep_rate)
    search.add_argument("--alpha", type=float, default=usual.alpha, help="weight of D_EMD in D (Eq. 10)")
    search.add_argument("--neighbors", "-k", type=int, help="K of the decoder (default: the dataset's, else 10)")

    parser = argparse.ArgumentParser(prog="python -m fpc_core", description="FPC, from the command line")
    parser.add_argument("--version", action="version", version=f"FPC Explorer {__version__}")
    chosen = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, text: str, *parents: argparse.ArgumentParser) -> argparse.ArgumentParser:
        command = chosen.add_parser(name, help=text, description=text, parents=parents)
        command.set_defaults(run=commands[name])
        return command

    query = add("query", "search the gallery for one image", search)
    query.add_argument("image", type=Path)
    query.add_argument("--camera", type=int, help="camera of the image, 1-based; unknown if left out")
    query.add_argument("--top", type=int, default=10, help="ranks printed")
    memory = chosen.add_parser("memory", help="the gallery memory").add_subparsers(required=True, metavar="ACTION")
    _build_options(memory.add_parser("build", help="encode the gallery; resumes an interrupted build", parents=[where]))
    memory.choices["build"].set_defaults(run=commands["memory build"])
    lesson = add("lesson", "nine steps on one query, for a class: one HTML file that needs nothing else", search)
    lesson.add_argument("--query", type=Path, help="image or path of a query in the data (default: its opening one)")
    lesson.add_argument("--out", type=Path, default=Path("lesson.html"))
    explain = add("explain", "one HTML report on many queries, in a file that needs nothing else", search)
    explain.add_argument("folder", type=Path, nargs="?", help="folder of images (default: the queries of the data)")
    explain.add_argument("--out", type=Path, default=Path("report.html"))
    explain.add_argument("--queries", type=int, default=50, metavar="N", help=f"at most this many, up to {MAX_IMAGES}")
    explain.add_argument(
        "--method",
        choices=[each.value for each in DECODER_METHODS],
        default=MapMethod.LEFT_OUT.value,
        help="of the decoder's heat maps",
    )
    explain.add_argument(
        "--target",
        choices=[each.value for each in MapTarget],
        default=MapSettings().target.value,
        help="what they explain: the cosine to the image ranked first, or the likeliest training identity",
    )
    explain.add_argument("--relative", action="store_true", help="heat maps count from the mean patch, not from 0")
    _evaluate_options(add("evaluate", "CMC and mAP of all queries, or tables beside the paper's", search))
    _sweep_axes(add("sweep", "keep rate x alpha x K over all queries; resumes a stopped sweep", how))
    figure = add("figure", "the publication figure of a recipe: PDF, SVG, PNG, data and LaTeX", opened)
    figure.add_argument("recipe", type=Path, help="JSON, as the Figures page exports it")
    figure.add_argument("--out", type=Path, default=Path("figures"))
    flops = add("flops", "Table 3's FLOPs, ours both ways beside the paper's")
    flops.add_argument("--model", choices=list(MODELS), default="base-11")
    text = "train both stages; run again to resume; on several GPUs: torchrun --nproc-per-node N -m fpc_core train ..."
    _training_options(add("train", text, device))
    add("doctor", "what device, which weights, is everything in place", opened)
    return parser


def _build_options(build: argparse.ArgumentParser) -> None:
    build.add_argument("--batch-size", type=int, default=BATCH_SIZE)
    build.add_argument("--shard-images", type=int, default=SHARD_IMAGES, help="in a file of tokens")


def _where(device: argparse.ArgumentParser) -> argparse.ArgumentParser:
    where = argparse.ArgumentParser(add_help=False, parents=[device])
    where.add_argument("--data", type=Path, help="dataset folder (default: FPC_DATA, else the demo world)")
    where.add_argument("--weights", type=Path, help="checkpoint (default: FPC_WEIGHTS, else the demo's)")
    where.add_argument("--memory", type=Path, help="gallery memory (default: FPC_MEMORY, else the demo's)")
    where.add_argument(
        "--precision",
        choices=[each.value for each in Precision],
        help="of the encoder (default: FPC_PRECISION, else float32); the memory must have been made at the same",
    )
    return where


def _evaluate_options(evaluate: argparse.ArgumentParser) -> None:
    evaluate.add_argument(
        "--tables", nargs="+", choices=[*NAMES, "all"], metavar="TABLE", help=f"of the paper: {', '.join(NAMES)}, all"
    )
    evaluate.add_argument("--recipe", type=Path, help="scores of this recipe, as the Evaluate page exports it")
    evaluate.add_argument(
        "--format", nargs="+", choices=list(FORMATS), help="default: text, with --out every one of them"
    )
    evaluate.add_argument("--out", type=Path, help="write a file per table and format into this folder")
    evaluate.add_argument("--resamples", type=int, default=Bootstrap().resamples, help="of the bootstrap over queries")
    evaluate.add_argument(
        "--ablation", action="store_true", help="Tables 4 and 5 and, where there are true masks, what was dropped"
    )
    evaluate.add_argument("--dropped", action="store_true", help="also what was dropped, by true masks (the demo's)")
    _cache_option(evaluate)


def _cache_option(command: argparse.ArgumentParser) -> None:
    command.add_argument("--no-cache", action="store_true", help="neither read nor keep results (folder: FPC_CACHE)")


def _sweep_axes(sweep: argparse.ArgumentParser) -> None:
    usual = SweepGrid()
    sweep.add_argument("--keep-rates", type=float, nargs="+", default=usual.keep_rates, metavar="RATE")
    sweep.add_argument("--alphas", type=float, nargs="+", default=usual.alphas, metavar="ALPHA")
    sweep.add_argument("--neighbors", "-k", type=int, nargs="+", default=usual.neighbors, metavar="K")
    sweep.add_argument("--csv", type=Path, help="write every cell to this file")
    _cache_option(sweep)


def _training_options(training: argparse.ArgumentParser) -> None:
    recipe = TrainSettings()
    training.add_argument("data", type=Path, help="dataset with a training split")
    training.add_argument("--out", type=Path, required=True)
    training.add_argument("--init", type=Path, help="weights to start from: ImageNet timm ViT, TransReID, FPC or own")
    training.add_argument("--model", choices=list(MODELS), help="default: the model of --init, else tiny")
    training.add_argument("--stride", type=int, help="between patches, in pixels; default: the model's")
    training.add_argument("--identities", type=int, default=recipe.identities, help="of a batch, over all processes")
    training.add_argument("--images", type=int, default=recipe.images, help="of an identity in a batch")
    training.add_argument("--holistic-steps", type=int, default=recipe.holistic_steps)
    training.add_argument("--fpc-steps", type=int, default=recipe.fpc_steps)
    training.add_argument("--learning-rate", type=float, default=recipe.learning_rate)
    training.add_argument("--refresh", type=int, default=recipe.refresh, help="steps between encodings of the memory")
    training.add_argument(
        "--guide",
        type=float,
        default=recipe.guide,
        help="weight of a loss that draws [cls] attention to the person; for data with true masks (not in the paper)",
    )
    training.add_argument("--seed", type=int, default=recipe.seed)
    training.add_argument("--bfloat16", action="store_true", help="mixed precision on the CPU (fast only with AMX)")
    training.add_argument("--max-minutes", type=float, help="squeeze the schedule into this time")

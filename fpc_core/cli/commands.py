"""Commands of `python -m fpc_core`, each of which calls the library and prints the result (options: `arguments.py`)."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from datetime import datetime, timedelta
from pathlib import Path

import torch
from tqdm import tqdm

from fpc_core.cli.app import run_app
from fpc_core.cli.arguments import MODELS
from fpc_core.cli.build import run_build
from fpc_core.cli.doctor import run_doctor
from fpc_core.cli.output import print_notes, progress_callback, query_text
from fpc_core.cli.workspace_args import print_dataset_notes, settings_from, workspace_from
from fpc_core.config import (
    MapMethod,
    MapSettings,
    MapTarget,
    ModelConfig,
    PruneSettings,
    QuerySettings,
    Solver,
    TransportSettings,
    Variant,
)
from fpc_core.data.datasets import open_dataset
from fpc_core.data.ground_truth import true_masks
from fpc_core.data.images import resize_image, to_tensor
from fpc_core.evaluation.engine.passes import Known, PassTask
from fpc_core.evaluation.engine.result_store import ResultStore
from fpc_core.evaluation.engine.runner import run_with_store
from fpc_core.evaluation.failure_analysis.dropped_patches import dropped_by_strategy, dropped_text
from fpc_core.evaluation.metrics.bootstrap import Bootstrap, Unit
from fpc_core.evaluation.metrics.flops import format_table, table3
from fpc_core.evaluation.paper_tables.definitions import NAMES, Setting, scores_table, tables_of
from fpc_core.evaluation.paper_tables.export import FORMATS
from fpc_core.evaluation.paper_tables.score_recipe import ScoreRecipe, read_score_recipe
from fpc_core.evaluation.paper_tables.table import ReportTable
from fpc_core.evaluation.paper_tables.task import evaluation_task
from fpc_core.evaluation.sweep.tables import format_sweep, sweep_table
from fpc_core.evaluation.sweep.task import SweepGrid, SweepTask
from fpc_core.explain.mask_comparison import mask_outcomes
from fpc_core.explain.patch_contents import patch_areas
from fpc_core.figures.recipe import read_recipe
from fpc_core.figures.render import write_figure
from fpc_core.lessons.context import lesson_context
from fpc_core.model.checkpoint import load_checkpoint
from fpc_core.report.collect import explain
from fpc_core.report.lesson import render_lesson
from fpc_core.report.render import about, render
from fpc_core.report.sources import images_of, queries_of, query_of
from fpc_core.runtime import distributed
from fpc_core.training.batches import training_config
from fpc_core.training.loop import train
from fpc_core.training.settings import Progress, TrainSettings
from fpc_core.training.state import STATE, WEIGHTS
from fpc_core.workspace import Workspace, cache_folder, choose_device


def _query(args: argparse.Namespace) -> None:
    workspace = workspace_from(args)
    trace = workspace.search(args.image, settings_from(args, workspace), camera=args.camera).trace
    print(_summary(workspace))
    print(query_text(workspace, trace, args.top))
    print_notes(workspace)


def _evaluate(args: argparse.Namespace) -> None:
    table_names = [*(args.tables or []), *(("4", "5") if args.ablation else ())]
    if table_names and args.recipe:
        raise ValueError("--recipe cannot be combined with --tables or --ablation; use one of them")
    workspace = workspace_from(args)
    retriever, dataset = workspace.retriever, workspace.dataset
    settings = replace(settings_from(args, workspace), shortlist=dataset.shortlist)
    bootstrap = Bootstrap(args.resamples, unit=Unit(args.intervals))
    if args.recipe:
        tables: Sequence[ReportTable] = [scores_table(read_score_recipe(args.recipe))]
    elif table_names:
        names = NAMES if "all" in table_names else table_names
        tables = tables_of(names, Setting(settings, retriever.model.config, bootstrap))
    else:
        tables = [scores_table(ScoreRecipe(settings=settings, bootstrap=bootstrap))]
    task = evaluation_task(retriever, dataset, tables, workspace.notes)
    if not distributed.rank():
        print(_summary(workspace), file=sys.stderr)
    known = _run_passes(task.work, keep=not args.no_cache)
    if distributed.rank():
        return  # The first process writes the tables.
    results = task.filled(known)
    for name in args.format or (FORMATS if args.out else ["text"]):
        suffix, write = FORMATS[name]
        for table in results:
            if args.out:
                args.out.mkdir(parents=True, exist_ok=True)
                (args.out / f"{table.slug}{suffix}").write_text(write(table), encoding="utf-8")
                print(f"wrote {args.out / f'{table.slug}{suffix}'}")
            else:
                print(write(table))
    if set(args.format or ()) == {"csv"}:  # The other formats have the notes below the table.
        print_notes(workspace, sys.stderr)
    if args.dropped or (args.ablation and true_masks(dataset)):
        print(_dropped(workspace, settings.prune))


def _dropped(workspace: Workspace, prune: PruneSettings) -> str:
    masks = true_masks(workspace.dataset)
    if not masks:
        raise ValueError(f"{workspace.dataset.name} has no ground-truth masks, which --dropped needs; omit --dropped")
    with tqdm(total=len(workspace.dataset.query), unit="query", disable=None) as bar:
        dropped = dropped_by_strategy(workspace.retriever, workspace.dataset, prune, masks, progress_callback(bar))
    return dropped_text(dropped, prune.keep_rate)


def _sweep(args: argparse.Namespace) -> None:
    workspace = workspace_from(args)
    settings = QuerySettings(
        transport=TransportSettings(Solver(args.solver)),
        variant=Variant(args.variant),
        neighbors=1,
        shortlist=workspace.dataset.shortlist,
    )
    grid = SweepGrid(tuple(args.keep_rates), tuple(args.alphas), tuple(args.neighbors))
    task = SweepTask(workspace.retriever, workspace.dataset, grid, settings)
    if not distributed.rank():
        print(_summary(workspace))
    known = _run_passes(task.work, keep=not args.no_cache)
    if distributed.rank():
        return  # The first process writes the table.
    print(format_sweep(task, known))
    print_notes(workspace)
    if args.csv:
        sweep_table(task, known).to_csv(args.csv, index=False)
        print(f"wrote {args.csv}")


def _run_passes(task: PassTask, keep: bool) -> Known:
    """Run the passes of a task, under torchrun in all processes; if `keep`, reuse stored results and store new ones."""
    store, is_first = ResultStore(cache_folder() / "results") if keep else None, not distributed.rank()
    with (
        distributed.process_group(torch.device("cpu"), timeout=timedelta(days=7)),
        tqdm(total=task.total, unit="step", disable=None if is_first else True) as bar,
    ):
        result = run_with_store(task, store, progress_callback(bar))
    for note in result.notes if is_first else ():
        print(f"note: {note}", file=sys.stderr)
    return result.known


def _figure(args: argparse.Namespace) -> None:
    recipe = read_recipe(args.recipe)
    workspace = workspace_from(args)
    print(_summary(workspace), *recipe.notes, sep="\n")
    print_notes(workspace)
    args.out.mkdir(parents=True, exist_ok=True)
    for path in write_figure(recipe, workspace, args.out / args.recipe.stem):
        print(f"wrote {path}")


def _explain(args: argparse.Namespace) -> None:
    if args.out.is_dir():
        raise ValueError(f"--out is the folder {args.out}; use a file name such as {args.out / 'report.html'}")
    workspace = workspace_from(args)
    settings = settings_from(args, workspace)
    map_settings = MapSettings(MapMethod(args.method), MapTarget(args.target), relative=args.relative)
    dataset = workspace.dataset
    sources = images_of(args.folder, dataset, args.queries) if args.folder else queries_of(dataset, args.queries)
    print(_summary(workspace))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    now = datetime.now().astimezone()
    with tqdm(total=len(sources.images), unit="query", disable=None) as bar:
        explained, refused = explain(workspace, sources, settings, map_settings, progress=bar.update)
    page = render(about(workspace, sources, settings, map_settings, now), explained, refused)
    args.out.write_text(page, encoding="utf-8", newline="\n")
    print_notes(workspace)
    left_out = f", {sources.more} more left out (--queries)" if sources.more else ""
    unreadable = f", {len(refused)} files not explained" if refused else ""
    print(f"wrote {args.out}: {len(explained)} queries{left_out}{unreadable}, {args.out.stat().st_size / 1e6:.1f} MB")


def _lesson(args: argparse.Namespace) -> None:
    workspace = workspace_from(args)
    settings, config = settings_from(args, workspace), workspace.retriever.model.config
    source = query_of(args.query or Path(workspace.dataset.first_query), workspace.dataset)
    image = resize_image(source.read(), config.image_size)
    has_camera = workspace.dataset.uses_cameras and source.subject.camera is not None
    cameras = torch.tensor([source.subject.camera]) if has_camera else None
    retriever = workspace.retriever_for(source.subject.path)
    state = retriever.prepare(to_tensor([image], config), cameras, settings.prune.blocks[0])
    trace = retriever.search(state, settings)
    case = lesson_context(retriever, trace, source.subject, workspace.dataset.excludes_own_camera)
    mask = true_masks(workspace.dataset).get(source.subject.path) if source.subject.path else None
    masks = mask_outcomes(
        lambda prune: retriever.search(state, replace(settings, prune=prune)),
        settings.prune,
        None if mask is None else patch_areas(mask, config)[1],
        case.rule,
        case.hit,
    )
    case = replace(case, masks=masks)
    page = render_lesson(workspace, image, source.name, case, datetime.now().astimezone())
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(page, encoding="utf-8", newline="\n")
    print_notes(workspace)
    print(f"wrote {args.out}: ten steps on {source.name}, {args.out.stat().st_size / 1e6:.1f} MB")


def _flops(args: argparse.Namespace) -> None:
    print(format_table(table3(MODELS[args.model])))


def _train(args: argparse.Namespace) -> None:
    options = vars(args)
    settings = TrainSettings(
        **{field.name: options[field.name] for field in fields(TrainSettings) if field.name in options}
    )
    print_once = print if distributed.rank() == 0 else (lambda *_, **__: None)
    dataset = open_dataset(args.data)
    if distributed.rank() == 0:
        print_dataset_notes(dataset)
    config = training_config(dataset, _architecture(args))
    initial_model = None
    if args.init and (args.out / STATE).is_file():
        print_once(f"resuming from {args.out / STATE}; {args.init} is not read again")
    elif args.init:
        initial_model, loaded = load_checkpoint(args.init, config=config, to_train=True)
        print_once(f"starting from {loaded}")
    pixels = 3 * config.image_size[0] * config.image_size[1] * len(dataset.train)
    size = f"{pixels / 1e9:.2f} GB in memory"
    print_once(f"{len(dataset.train)} images of {config.identities} identities, {size}", flush=True)

    def report(progress: Progress) -> None:
        line = (
            f"{progress.stage} step {progress.step} of {settings.steps}: loss {progress.loss:.3f}, "
            f"{progress.seconds / 60:.1f} min, ETA {progress.eta / 60:.1f} min"
        )
        print(line, flush=True)

    device = choose_device(args.device)
    train(dataset, config, settings, args.out, init=initial_model, device=device, report=report)
    print_once(f"wrote {args.out / WEIGHTS}")


def _architecture(args: argparse.Namespace) -> ModelConfig:
    """Return the architecture of --model, otherwise that of --init, otherwise ViT-Tiny.

    What distinguishes the Vision Transformer of another family, such as registers, always follows --init.
    """
    config = MODELS[args.model or "tiny"]
    if args.init and args.model:
        config = load_checkpoint(args.init, config=config, to_train=True)[1].config
    elif args.init:
        config = load_checkpoint(args.init, image_size=args.image_size, heads=args.heads)[1].config
    return replace(config, stride=args.stride or config.stride, image_size=args.image_size or config.image_size)


def _summary(workspace: Workspace) -> str:
    return f"data {workspace.dataset.label}, weights {workspace.places.weights.name}, device {workspace.device_label}"


COMMANDS: Mapping[str, Callable[..., int | None]] = {
    "app": run_app,
    "query": _query,
    "memory build": run_build,
    "evaluate": _evaluate,
    "sweep": _sweep,
    "figure": _figure,
    "explain": _explain,
    "lesson": _lesson,
    "flops": _flops,
    "train": _train,
    "doctor": run_doctor,
}

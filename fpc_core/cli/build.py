"""The command `memory build`: check a dataset, and encode its gallery."""

from __future__ import annotations

import argparse
import sys
from datetime import timedelta

import torch
from tqdm import tqdm

from fpc_core.cli.output import progress_callback
from fpc_core.cli.workspace_args import places_from, print_dataset_notes
from fpc_core.data.datasets import Dataset
from fpc_core.gallery.builder import build_memory
from fpc_core.gallery.manifest import PARTIAL
from fpc_core.gallery.readable import UnreadableImage, left_out_note, readable_dataset
from fpc_core.runtime import distributed
from fpc_core.workspace import check_cameras, choose_device, load_model


def run_build(args: argparse.Namespace) -> None:
    """Check cameras, sizes and readability of a dataset, and encode its gallery.

    Args:
        args: Options of the command.

    Raises:
        KeyboardInterrupt: The user stopped the build; the message says how to resume it.
    """
    places = places_from(args)
    dataset = places.open_dataset()
    model, report = load_model(places)
    device = distributed.local_device(choose_device(args.device))
    is_first = distributed.rank() == 0  # Only the first process prints.
    if is_first:
        print_dataset_notes(dataset)
        print(report)
        for note in report.notes:
            print(f"note: {note}")
    check_cameras(dataset, model.config)
    dataset, left_out = _check_images(dataset, args.skip_unreadable, is_first)
    with (
        distributed.process_group(torch.device("cpu"), timeout=timedelta(days=7)),
        tqdm(total=len(dataset.gallery), unit="image", disable=None if is_first else True) as bar,
    ):
        done = 0

        def show(images: int, total: int) -> None:
            nonlocal done
            done = images
            progress(images, total)

        progress = progress_callback(bar)
        try:
            memory = build_memory(
                model.to(device),
                dataset.gallery,
                dataset.root,
                places.memory,
                batch_size=args.batch_size,
                shard_images=args.shard_images,
                left_out=left_out,
                progress=show,
            )
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"{done:,} of {len(dataset.gallery):,} images are stored in {places.memory}{PARTIAL}; run the same "
                "command again to resume"
            ) from None
    if is_first:
        print(f"{places.memory}: {len(memory)} images, {memory.tokens.nbytes / 1e6:.1f} MB of tokens")


def _check_images(dataset: Dataset, skip: bool, is_first: bool) -> tuple[Dataset, tuple[UnreadableImage, ...]]:
    """Check that all images can be read, and list those that cannot on stderr.

    Args:
        dataset: Dataset to check.
        skip: Whether to leave out unreadable images instead of raising an error.
        is_first: Whether this is the first process, the only one that prints.

    Returns:
        The dataset without unreadable images, and the unreadable images.
    """
    with tqdm(unit="image", desc="checking images", leave=False, disable=None if is_first else True) as bar:
        readable, left_out = readable_dataset(dataset, skip, progress_callback(bar))
    if left_out and is_first:
        print(f"note: {left_out_note(left_out)}", file=sys.stderr)
        for image in left_out:
            print(f"  {image.why}", file=sys.stderr)
    return readable, left_out

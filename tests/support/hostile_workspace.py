"""A small workspace whose files, folders, labels and weights have names that look like markup."""

import json
import re
from pathlib import Path

from fpc_core.data.datasets import open_dataset
from fpc_core.gallery.builder import build_memory
from fpc_core.model.checkpoint import load_checkpoint
from fpc_core.workspace import Places
from tests.support.small_workspace import build_world

IMAGE, LINK, LATEX, CODE, COLOUR, ICON = NAMES = (
    "<img src=x onerror=alert(1)>",
    "[x](javascript:alert(1))",
    "$\\LaTeX$",
    "`code`",
    ":red[loud]",
    "![x](y) :material-home: **b**",
)
AS_MARKUP = (r"<img src=x", r"\[x\]\(", r"\$\\LaTeX", r"`code`", r":red\[loud", r"\*\*b\*\*")
LIVE = re.compile("|".join(rf"(?<!\\){each}" for each in AS_MARKUP))
"""Matches a name of NAMES that is not escaped in Markdown."""


def build_hostile_world(root: Path) -> Places:
    """Build the small workspace, with NAMES in the names of all images, the dataset and the weights and in the note."""
    built = build_world(root)
    for folder in ("query", "bounding_box_test"):
        for at, path in enumerate(sorted((built.data / folder).iterdir())):
            path.rename(path.with_name(f"{path.stem.split('_f')[0]}_{NAMES[at % len(NAMES)]}{path.suffix}"))
    data = built.data.rename(built.data.with_name(f"set {IMAGE} {COLOUR}"))
    weights = built.weights.rename(built.weights.with_name(f"{IMAGE}{LINK}.safetensors"))
    label = {"name": f"Set {' '.join(NAMES)}", "synthetic": True, "note": " ".join(NAMES)}
    (data / "dataset.json").write_text(json.dumps(label))
    memory = built.memory.with_name("hostile")
    model, _ = load_checkpoint(weights)
    dataset = open_dataset(data)
    build_memory(model, dataset.gallery, dataset.root, memory)
    return Places(data, weights, memory)

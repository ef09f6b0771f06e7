"""Load the templates of the HTML files, and collect the facts that their headers list."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import matplotlib.colors
import numpy as np
import torch
from jinja2 import Environment, FileSystemLoader, StrictUndefined

import fpc_core
from fpc_core.config import DropStrategy, PruneSettings, QuerySettings, Solver
from fpc_core.explain.overlay import viridis
from fpc_core.report.sources import readable
from fpc_core.workspace import PersonalWorkspace, Workspace

PAGES = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
RAMP = ", ".join(matplotlib.colors.to_hex(colour / 255) for colour in viridis(np.linspace(0, 1, 9)))


@dataclass(frozen=True)
class About:
    """Header of a report.

    Attributes:
        title: Title of the report.
        synthetic: Whether the images are synthetic and must be labelled as such.
        note: Note of the dataset; may be empty.
        facts: Names and values of everything that the results depend on.
    """

    title: str
    synthetic: bool
    note: str
    facts: tuple[tuple[str, str], ...]


def search_facts(workspace: Workspace, settings: QuerySettings) -> dict[str, str]:
    """Return the facts that a search depends on: data, weights and settings.

    Args:
        workspace: Data and weights.
        settings: Settings of the search.
    """
    dataset, config = workspace.dataset, workspace.retriever.model.config
    prune, transport = settings.prune, settings.transport
    solver = transport.solver.value
    entropy = "" if transport.solver is Solver.EXACT else f", ε {transport.epsilon:g}"
    images = "images in an own gallery" if isinstance(workspace, PersonalWorkspace) else "gallery images"
    return {
        "Data": f"{readable(dataset.label)}, {len(dataset.gallery)} {images}",
        "Weights": f"{readable(workspace.places.weights.name)}, SHA-256 {workspace.weights_fingerprint[:16]}",
        "Model": f"{config.width} channels, {config.depth} blocks, {config.grid[0]} x {config.grid[1]} patches",
        "Variant": settings.variant.value,
        "Keep rate γ": _pruning(prune),
        "Distance": f"α {settings.alpha:g}, {solver}{entropy}, shortlist {settings.shortlist}",
        "Neighbours K": str(settings.neighbors),
    } | ({"Notes": readable("; ".join(workspace.notes))} if workspace.notes else {})


def _pruning(prune: PruneSettings) -> str:
    blocks = f"in blocks {', '.join(map(str, prune.blocks))}"
    if prune.strategy is DropStrategy.GIVEN:
        return f"not used, {sum(map(len, prune.given))} patches chosen by hand dropped {blocks}"
    return f"{prune.keep_rate:g} {blocks}, {prune.strategy.value.replace('_', '-')} patches dropped"


def creation_facts(workspace: Workspace, made: datetime) -> dict[str, str]:
    """Return the facts about the creation of a file: device, time and version.

    Args:
        workspace: Workspace that computed the results.
        made: Time of creation, with time zone.
    """
    name = torch.cuda.get_device_name(workspace.device) if workspace.device.type == "cuda" else "CPU"
    device = workspace.device_label.replace(str(workspace.device), name)
    return {"Device": device, "Made": f"{made:%Y-%m-%d %H:%M %Z} by FPC Explorer {fpc_core.__version__}"}

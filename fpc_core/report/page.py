"""The report as one HTML file that fetches nothing: pictures, styles and words are all in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import matplotlib.colors
import numpy as np
import torch
from jinja2 import Environment, FileSystemLoader, StrictUndefined

import fpc_core
from fpc_core.config import MapSettings, MapTarget, QuerySettings, Solver
from fpc_core.explain.methods import SAYS, TARGETED, map_target, told
from fpc_core.explain.overlay import viridis
from fpc_core.model.checkpoint import weights_fingerprint
from fpc_core.report.gather import RANKINGS, Explained
from fpc_core.report.sources import Refused, Sources, readable
from fpc_core.workspace import Workspace

_PAGES = Environment(
    loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
    lstrip_blocks=True,
)  # fmt: skip


@dataclass(frozen=True)
class About:
    """What the head of a report says. facts: name and value of everything that the results depend on."""

    title: str
    synthetic: bool
    note: str
    facts: tuple[tuple[str, str], ...]


def about(space: Workspace, sources: Sources, settings: QuerySettings, how: MapSettings, made: datetime) -> About:
    """made: with its time zone."""
    dataset, config = space.dataset, space.retriever.model.config
    prune, transport = settings.prune, settings.transport
    device = torch.cuda.get_device_name(space.device) if space.device.type == "cuda" else "CPU"
    solver = transport.solver.value
    entropy = "" if transport.solver is Solver.EXACT else f", ε {transport.epsilon:g}"
    method = told(how, map_target(how, config.identities))
    asked = f"{sources.title}: {len(sources.images)}" + (f", {sources.more} more left out" if sources.more else "")
    synthetic = " (synthetic)" if dataset.synthetic and "synthetic" not in dataset.name else ""
    facts = {
        "Queries": asked,
        "Data": f"{readable(dataset.name)}{synthetic}, {len(dataset.gallery)} gallery images",
        "Weights": f"{readable(space.places.weights.name)}, SHA-256 {weights_fingerprint(space.retriever.model)[:16]}",
        "Model": f"{config.width} channels, {config.depth} blocks, {config.grid[0]} x {config.grid[1]} patches",
        "Variant": settings.variant.value,
        "Keep rate γ": f"{prune.keep_rate:g} in blocks {', '.join(map(str, prune.blocks))}, "
        f"{prune.strategy.value.replace('_', '-')} patches dropped",
        "Distance": f"α {settings.alpha:g}, {solver}{entropy}, shortlist {settings.shortlist}",
        "Neighbours K": str(settings.neighbors),
        "Heat maps": f"{method}. {SAYS[how.method]}",
        "Device": device,
        "Made": f"{made:%Y-%m-%d %H:%M %Z} by FPC Explorer {fpc_core.__version__}",
    }
    if how.target is MapTarget.IDENTITY and how.method in TARGETED:
        facts["Heat maps"] += " Training identities are people of the training data, whom the gallery need not show."
    return About(sources.title, dataset.synthetic, dataset.note, tuple(facts.items()))


def render(head: About, queries: Sequence[Explained], refused: Sequence[Refused]) -> str:
    """The whole page as well-formed XML that is HTML as well. Every name is escaped."""
    known = [query.first_match for query in queries if query.first_match]
    ramp = [matplotlib.colors.to_hex(colour / 255) for colour in viridis(np.linspace(0, 1, 9))]
    return _PAGES.get_template("page.html.jinja").render(
        about=head,
        queries=queries,
        refused=refused,
        known=len(known),
        right={name: sum(ranks[name] == 1 for ranks in known) for name in RANKINGS.values()},
        ramp=", ".join(ramp),
    )

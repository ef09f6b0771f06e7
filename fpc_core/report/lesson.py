"""Render the ten steps of the lesson as one HTML file for a class, which works without network and server.

Equations are MathML, which browsers render natively. The file includes two scripts: one for paging and answers, and the
Sinkhorn stepper of the Learn page.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from latex2mathml.converter import convert
from markupsafe import Markup, escape
from PIL import Image

from fpc_core.config import ModelConfig
from fpc_core.data.browser_encoding import data_uri
from fpc_core.explain.cards import Card, Scale, Strip, decoder_cards, distances_of, ranked_strip
from fpc_core.explain.masks import dropped_patches
from fpc_core.explain.overlay import framed, heat, mark_dropped, mesh
from fpc_core.figures.flow_and_alpha_plots import draw_alpha_lines
from fpc_core.figures.matplotlib_style import style_context
from fpc_core.figures.style import FigureStyle
from fpc_core.lessons.context import LessonContext
from fpc_core.lessons.course import lesson
from fpc_core.lessons.step import PatchMaps, Step, number, share
from fpc_core.lessons.stepper import SCRIPT, STYLE, stepper_data
from fpc_core.report.collect import dropped_strip
from fpc_core.report.metadata import PAGES, RAMP, About, creation_facts, search_facts
from fpc_core.report.sources import readable
from fpc_core.workspace import Workspace

HEIGHT, SHOWN, DPI = 320, 5, 150
_PAGING = (Path(__file__).parent / "lesson.js").read_text(encoding="utf-8")
_STYLE = FigureStyle()


@dataclass(frozen=True)
class StepContent:
    """Content that is shown next to the text of a step.

    Attributes:
        strips: Rows of images.
        pictures: Data URIs of the images by `Card.image`.
        figure: Data URI of a figure, or empty.
        stepper: Data of the Sinkhorn stepper, from `stepper_data`; None without a stepper.
        shares: Attention to `[cls]`, query and neighbours (Eq. 13) for a bar chart; empty without it.
    """

    strips: tuple[Strip, ...] = ()
    pictures: Mapping[str, str] = field(default_factory=dict)
    figure: str = ""
    stepper: Mapping[str, Any] | None = None
    shares: tuple[float, ...] = ()


def render_lesson(workspace: Workspace, image: np.ndarray, name: str, case: LessonContext, made: datetime) -> str:
    """Render the lesson for one query as an HTML document.

    Args:
        workspace: Data and weights.
        image: (H, W, 3) uint8 query image at the model's input size.
        name: Name of the query.
        case: Search of the query and the hit that the lesson follows.
        made: Time of creation, with time zone.
    """
    settings, dataset = case.trace.settings, workspace.dataset
    facts = {"Query": readable(name)} | search_facts(workspace, settings) | creation_facts(workspace, made)
    steps = lesson(case)
    return PAGES.get_template("lesson.html.jinja").render(
        about=About(readable(name), dataset.synthetic, dataset.note, tuple(facts.items())),
        steps=[(step, _step_content(workspace, image, case, step)) for step in steps],
        mathml=_mathml,
        marked=_marked,
        ramp=RAMP,
        stepper_style=Markup(STYLE),
        script=Markup(f"{SCRIPT}\n{_PAGING}"),
    )


def _mathml(latex: str) -> Markup:
    """Convert trusted LaTeX to a MathML block."""
    return Markup(convert(latex, display="block"))


def _marked(text: str) -> Markup:
    """Escape text for HTML, and convert **bold** to <b> elements."""
    return Markup(re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", str(escape(text))))


def _step_content(workspace: Workspace, image: np.ndarray, case: LessonContext, step: Step) -> StepContent:
    config, records, trace = case.config, case.records, case.trace

    def step_image(row: int | None) -> np.ndarray:
        return image if row is None else workspace.image(records[row])

    def uri(row: int | None) -> str:
        return data_uri(step_image(row), height=HEIGHT)

    if step.runs is not None:
        names = ("query", f"hit {case.name(case.hit)}")
        return StepContent(stepper=stepper_data(step.runs, config, (uri(None), uri(case.hit)), names))
    if step.key == "dropping":
        pictures = {"query": uri(None)}
        return StepContent((dropped_strip(image, trace.encoding, config, pictures),), pictures)
    if step.key == "masks":
        return _masks(image, case)
    if step.key == "distance":
        ranked = ranked_strip(
            "by_distance",
            "By D",
            trace.by_distance,
            records,
            case.subject,
            symbol="D",
            parts=distances_of(trace.match, trace.settings.alpha),
            uses_cameras=case.uses_cameras,
            show=SHOWN,
            before=case.rule.ranks(trace.by_cosine),
        )
        return StepContent((ranked,), {card.image: uri(int(card.id)) for card in ranked.cards}, _alpha_lines(case))
    if step.key == "tokens":
        cards = decoder_cards(trace.consolidation, records, case.subject, case.uses_cameras)
        return StepContent((Strip("given", "", cards),), {card.image: uri(int(card.id)) for card in cards})
    pictures = {}
    panels: list[Card] = []
    maps = step.maps or PatchMaps(())
    for index, panel in enumerate(maps.panels):
        for name, grid in panel.layers or (("", np.empty(0)),):
            key = f"{step.key}{index}{name}"
            pictures[key] = data_uri(_panel(step_image(panel.row), panel.row, grid, maps, config), height=HEIGHT)
            panels.append(Card(key, key, panel.name, (name,) if name else (), alt=f"{panel.name} {name}"))
    ends = (share(each, 2) if maps.percent else number(each, 2) for each in maps.range)
    scale = Scale(maps.label, *ends) if maps.label else None
    result = trace.consolidation
    shares = (result.cls_share, result.query_share, float(result.neighbor_shares.sum()))
    strip = Strip(step.key, "", tuple(panels), scale=scale)
    return StepContent((strip,), pictures, shares=shares if step.key == "shares" else ())


def _masks(image: np.ndarray, case: LessonContext) -> StepContent:
    """Return the query under every mask of the lesson, or under the mask of the search if there are no others."""
    dropped = {each.name: each.dropped for each in case.masks}
    if not dropped:
        dropped = {"this mask": frozenset(each for block in dropped_patches(case.trace.encoding) for each in block)}
    pictures, cards = {}, []
    for name, patches in dropped.items():
        alive = ~np.isin(np.arange(case.config.patches), list(patches)).reshape(case.config.grid)
        pictures[name] = data_uri(mark_dropped(image, alive, case.config), height=HEIGHT)
        title, lines = name[0].upper() + name[1:], (f"{len(patches)} dropped",)
        cards.append(Card(name, name, title, lines, alt=f"{title}: {len(patches)} patches dropped, white"))
    return StepContent((Strip("masks", "", tuple(cards)),), pictures)


def _panel(image: np.ndarray, row: int | None, grid: np.ndarray, maps: PatchMaps, config: ModelConfig) -> np.ndarray:
    """Draw one panel in its initial state on the Learn page.

    Args:
        image: (H, W, 3) uint8 image of the panel.
        row: Row of the gallery image, or None for the query.
        grid: (rows, columns) values of the panel's first layer; empty to draw only the patch grid.
        maps: Panels of the step, with their common scale and links.
        config: Architecture of the model.
    """
    low, high = maps.range
    if maps.links is not None and maps.kept is not None:
        if row is None:
            alive = np.isin(np.arange(config.patches), maps.kept).reshape(config.grid)
            return framed(mark_dropped(image, alive, config), maps.start, config)
        costs = maps.links[int(np.flatnonzero(maps.kept == maps.start)[0])]
        return framed(heat(image, costs.reshape(config.grid), config, high, low), int(costs.argmin()), config)
    return mesh(image, config) if not grid.size else heat(image, grid, config, high, low)


def _alpha_lines(case: LessonContext) -> str:
    tones = [case.match_labels[row] for row in case.trace.match.shortlist.indices.tolist()]
    file = io.BytesIO()
    with style_context(_STYLE):
        figure = draw_alpha_lines(case.trace.match, tones, case.trace.settings.alpha, _STYLE, hits=SHOWN)
        figure.savefig(file, dpi=DPI)
    return data_uri(np.asarray(Image.open(file).convert("RGB")), lossless=True)


def as_json(data: Mapping[str, Any]) -> Markup:
    """Return JSON that is safe inside a script element, because "<" is escaped and so no text can end the element."""
    return Markup(json.dumps(data).replace("<", "\\u003c"))


PAGES.filters["as_json"] = as_json

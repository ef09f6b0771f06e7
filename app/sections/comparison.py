"""Sections that compare two sides: masks, hits, numbers and attention, with differences marked."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st

from app.components.cards import cards
from app.messages import escape_markdown
from app.sections.differences import (
    ComparedValue,
    kept_patches,
    mark_differences,
    neighbor_share,
    neighbor_values,
    query_values,
    why_not_comparable,
)
from app.server import resources
from app.server.search import Query
from app.session.display import pruned_style
from app.session.view import plain_name
from app.ui import charts
from fpc_core.colours import BLUE, ORANGE
from fpc_core.config import DropStrategy, ModelConfig, QuerySettings, Solver
from fpc_core.data.browser_encoding import data_uri
from fpc_core.data.match_rule import MatchRule
from fpc_core.explain.cards import Card, Strip, distances_of, identity_label, ranked_strip
from fpc_core.explain.overlay import stripes
from fpc_core.results import QueryTrace
from fpc_core.workspace import Workspace

SIDES = ("A", "B")
RANKINGS = {
    "by_cosine": ("by global feature (cosine)", "D_cos"),
    "by_distance": ("by D", "D"),
    "final": ("after consolidation", "final"),
}
"""Title and symbol of each ranking, by its attribute of a trace."""
COLOURS = {"A": BLUE, "B": ORANGE}
SHOWN = 10  # Number of hits per strip.


@dataclass(frozen=True, eq=False)
class Side:
    """One side of a comparison.

    Attributes:
        workspace: Workspace that was searched.
        query: Query image at the input size of its model.
        trace: Results of the search.
        weights: Name of the weights, if the other side has other weights; otherwise empty.
    """

    workspace: Workspace
    query: Query
    trace: QueryTrace
    weights: str = ""

    @property
    def config(self) -> ModelConfig:
        """Configuration of the model."""
        return self.workspace.retriever.model.config


def describe_settings(settings: QuerySettings, weights: str = "") -> str:
    """Return query settings as one line of text.

    Args:
        settings: Settings to describe.
        weights: Name of the weights, which is added to the line; empty for none.
    """
    solver = settings.transport.solver
    by_hand = settings.prune.strategy is DropStrategy.GIVEN
    parts = [
        "pruned by hand" if by_hand else f"γ {settings.prune.keep_rate:g}",
        f"α {settings.alpha:g}",
        f"K {settings.neighbors}",
        plain_name(settings.variant),
        *([] if by_hand else [plain_name(settings.prune.strategy)]),
        solver.value if solver is Solver.EXACT else f"{solver.value} ε {settings.transport.epsilon:g}",
        *([f"weights {weights}"] if weights else []),
    ]
    return " · ".join(parts)


def masks(sides: dict[str, Side]) -> None:
    """Render the patches that each side keeps, with differences marked if both models have the same patches."""
    one, two = sides.values()
    reason = why_not_comparable((one.config, two.config), (one.trace.encoding, two.trace.encoding))
    st.header("Patches kept" if reason else "Patches kept on one side only")
    images, strips = {}, []
    for name, other in (SIDES, SIDES[::-1]):
        side, encoding, config = sides[name], sides[name].trace.encoding, sides[name].config
        images[f"input-{name}"] = data_uri(side.query.image)
        count = f"{config.patches} patches"
        strip_cards = [Card("input", f"input-{name}", "Input", (count,), alt="the query image")]
        for stage in kept_patches(encoding, None if reason else sides[other].trace.encoding):
            key = f"{name}{stage.block}"
            image = stripes(
                side.query.image, stage.kept, stage.only, config, COLOURS[name], name == "B", pruned_style()
            )
            images[key] = data_uri(image, lossless=True)
            kept, unique = int(stage.kept.sum()), int(stage.only.sum())
            lines = (f"{kept} kept",) if reason else (f"{kept} kept", f"{unique} kept only in {name}")
            alt = f"side {name} after layer {stage.block}: {kept} patches kept"
            alt += "" if reason else f", {unique} of them only here"
            strip_cards.append(Card(key, key, f"After layer {stage.block}", lines, alt=alt))
        note = describe_settings(side.trace.settings, side.weights)
        strips.append(Strip(f"masks-{name}", name, tuple(strip_cards), note))
    for strip, column in zip(strips, st.columns(2, gap="medium"), strict=True):
        with column:
            cards([strip], images, key=strip.id, width="128px")
    if reason:
        st.info(reason, icon=":material/grid_off:")
    else:
        st.caption("Coloured stripes: kept only here · marked as on Explore: dropped here")


def hits(
    workspace: Workspace,
    query: Query,
    traces: dict[str, QueryTrace],
    requested: int | None,
    on_pick: Callable[[str], None],
    rankings: Sequence[str] = tuple(RANKINGS),
    with_other_rank: Sequence[str] = SIDES,
    notes: Sequence[str] = (),
) -> int | None:
    """Render the rankings of both sides one below the other, and return the gallery row of the selected hit.

    Args:
        workspace: Workspace of the query.
        query: Query image.
        traces: Traces of both sides, by name.
        requested: Gallery row of the selected hit in the link, or None.
        on_pick: Callback that receives the gallery row of a clicked card.
        rankings: Keys of `RANKINGS` to show, including "by_distance".
        with_other_rank: Names of the sides whose cards show the rank on the other side where it differs.
        notes: Sentences on parts of a model that are copied or untrained.
    """
    st.header("How do the results differ?")
    for note in notes:
        st.caption(f":material/warning: {escape_markdown(note, 600)}")
    records, both = workspace.retriever.memory.records, tuple(traces)
    common: dict[str, Any] = {
        "records": records,
        "subject": query.subject,
        "uses_cameras": workspace.dataset.excludes_own_camera,
        "show": SHOWN,
    }

    def side(name: str, other: str, kind: str, title: str, symbol: str, chosen: int | None) -> Strip:
        trace = traces[name]
        ranking, there = getattr(trace, kind), getattr(traces[other], kind)
        decoder = [] if kind == "by_cosine" else trace.consolidation.neighbors.tolist()
        return ranked_strip(
            f"{kind}-{name}",
            f"{name} — {title}",
            ranking,
            symbol=symbol,
            chosen=chosen,
            decoder=frozenset(decoder),
            parts=distances_of(trace.match, trace.settings.alpha),
            before=MatchRule(records, query.subject, workspace.dataset.excludes_own_camera).ranks(there)
            if name in with_other_rank
            else None,
            other=other,
            **common,
        )

    def build(chosen: int | None) -> list[Strip]:
        strips = []
        for kind in rankings:
            one, other = (side(name, there, kind, *RANKINGS[kind], chosen) for name, there in (both, both[::-1]))
            strips += [mark_differences(one, other), mark_differences(other, one)]
        return strips

    strips = build(requested)
    by_distance = next(strip for strip in strips if strip.id.startswith("by_distance"))
    shown = [int(card.id) for strip in (by_distance, *strips) for card in strip.cards]
    chosen = requested if requested in shown else next(iter(shown), None)
    if chosen != requested:
        strips = build(chosen)
    images = {f"g{row}": resources.thumbnail(workspace, records[row]) for row in set(shown)}
    cards(strips, images, key="compared-cards", on_pick=on_pick, width="100px")
    st.caption(
        "✓ same person · ✗ different person · K = used by the decoder · in brackets: the rank on the other side, if it "
        "differs"
    )
    return chosen


def _table(rows: list[ComparedValue], traces: dict[str, QueryTrace]) -> None:
    st.table(pd.DataFrame([value.row(*traces) for value in rows]).set_index(""))


def parts(
    configs: tuple[ModelConfig, ModelConfig], traces: dict[str, QueryTrace], rule: MatchRule, chosen: int | None
) -> None:
    """Render tables and charts that compare the values of the query and of the selected hit.

    Args:
        configs: Configurations of the models of both sides.
        traces: Traces of both sides, by name.
        rule: Rule that decides which gallery images are matches.
        chosen: Gallery row of the selected hit, or None.
    """
    one, other = traces.values()
    left, right = st.columns(2, gap="large")
    with left:
        st.header("Changes in numbers")
        _table(query_values(one, other, rule, configs), traces)
        figure = charts.attention_figure([(name, trace.consolidation) for name, trace in traces.items()])
        st.plotly_chart(figure, config={"displayModeBar": False}, key="attention", alt="Attention shares of both sides")
    with right:
        st.header("… for the selected image")
        if chosen is None:
            return
        _table(neighbor_values(one, other, rule, chosen), traces)
        bars = [
            (name, trace.settings.alpha, *distances_of(trace.match, trace.settings.alpha)[chosen][1:])
            for name, trace in traces.items()
            if chosen in trace.match.shortlist
        ]
        if bars:
            figure = charts.distance_parts_figure(bars)
            st.plotly_chart(
                figure, config={"displayModeBar": False}, key="parts", alt="The two parts of D of each side"
            )
        st.caption(
            f"Selected: {escape_markdown(identity_label(rule.records[chosen]))}. Click a card above to change it."
        )


def shares(traces: dict[str, QueryTrace], rule: MatchRule) -> None:
    st.header("Decoder attention to each neighbour")
    rows = list(dict.fromkeys(row for trace in traces.values() for row in trace.consolidation.neighbors.tolist()))
    names = [
        f"{position}. {html.escape(identity_label(rule.records[row]))}" for position, row in enumerate(rows, start=1)
    ]
    one, other = ([100 * (neighbor_share(traces[name], row) or 0.0) for row in rows] for name in traces)
    figure = charts.neighbor_shares_figure(names, dict(zip(traces, (one, other), strict=True)))
    st.plotly_chart(
        figure, config={"displayModeBar": False}, key="shares", alt="Attention on each neighbour, both sides"
    )

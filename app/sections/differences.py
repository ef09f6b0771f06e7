"""Differences between the results of two settings for one query: masks, hits and numbers. All functions are pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from fpc_core.config import ModelConfig, PruneSettings
from fpc_core.data.match_rule import MatchRule
from fpc_core.evaluation.metrics.flops import encoder_flops
from fpc_core.evaluation.metrics.retrieval import evaluate
from fpc_core.explain.cards import Strip, distances_of
from fpc_core.explain.masks import survivors
from fpc_core.results import Encoding, QueryTrace, Ranking


@dataclass(frozen=True, eq=False)
class KeptPatches:
    """Patches that one side keeps after a dropping block.

    Attributes:
        block: Index of the dropping block.
        kept: (rows, columns) bool, True for patches that this side keeps.
        only: (rows, columns) bool, True for patches that this side keeps and the other side drops.
    """

    block: int
    kept: np.ndarray
    only: np.ndarray


def kept_patches(here: Encoding, there: Encoding | None) -> tuple[KeptPatches, ...]:
    """Return the patches that side `here` keeps after each dropping block.

    Args:
        here: Encoding of this side.
        there: Encoding of the other side; None if its patches cannot be compared with those of this side.
    """
    kept = survivors(here)
    others = kept if there is None else survivors(there)
    return tuple(
        KeptPatches(stage.block, mask, mask & ~other)
        for stage, mask, other in zip(here.stages, kept, others, strict=True)
    )


def why_not_comparable(configs: tuple[ModelConfig, ModelConfig], encodings: tuple[Encoding, Encoding]) -> str:
    """Return a sentence on why the masks of two sides cannot be compared patch by patch, or an empty string.

    Args:
        configs: Configurations of the models of both sides.
        encodings: Encodings of the query on both sides.
    """
    one, other = ((config.image_size, config.patch_size, config.stride) for config in configs)
    if one != other:
        grids = [
            f"{rows} × {columns} patches of {size} pixels at stride {stride}"
            for (rows, columns), size, stride in ((config.grid, config.patch_size, config.stride) for config in configs)
        ]
        return f"The two models have different patch grids ({grids[0]}, {grids[1]}), so differences are not marked."
    layers = [[stage.block for stage in encoding.stages] for encoding in encodings]
    if layers[0] != layers[1]:
        return "The two sides drop patches in different layers, so differences are not marked."
    return ""


def mark_differences(here: Strip, there: Strip) -> Strip:
    """Return a side's strip with the cards that the other side lacks tagged and counted.

    Args:
        here: Strip to mark.
        there: Strip of the other side.
    """
    shown = {card.id for card in there.cards}
    cards = tuple(
        card if card.id in shown else replace(card, tag=" · ".join(filter(None, (card.tag, "only here"))))
        for card in here.cards
    )
    alone = sum(card.id not in shown for card in here.cards)
    note = f"{alone} not in the other list" if alone else "same images as the other side"
    return replace(here, cards=cards, note=" · ".join(filter(None, (here.note, note))))


@dataclass(frozen=True)
class ComparedValue:
    """A value of both sides.

    Attributes:
        name: Name of the value.
        one: Value of the first side; None if the side does not have it.
        other: Value of the second side; None if the side does not have it.
        text: Function that formats a value.
    """

    name: str
    one: float | None
    other: float | None
    text: Callable[[float], str]

    @property
    def difference(self) -> str:
        """Return the signed difference of the formatted values, or "=" if these are equal."""
        if self.one is None or self.other is None:
            return "–" if self.one is self.other else "only one"
        change = float(self.text(self.other)) - float(self.text(self.one))
        return "=" if change == 0 else ("+" if change > 0 else "−") + self.text(abs(change))

    def row(self, one: str = "A", other: str = "B") -> dict[str, str]:
        """Return a table row of this value.

        Args:
            one: Name of the first side.
            other: Name of the second side.
        """
        texts = ["–" if value is None else self.text(value) for value in (self.one, self.other)]
        return {"": self.name, one: texts[0], other: texts[1], f"{other} − {one}": self.difference}


def average_precision(rule: MatchRule, ranking: Ranking) -> float | None:
    """Return the average precision over the whole gallery, or None without a true match or a known identity.

    Args:
        rule: Rule that decides which gallery images are matches.
        ranking: Ranking of the gallery.
    """
    if rule.subject.identity is None or rule.first_match(ranking) is None:
        return None
    distance = np.full((1, len(rule.records)), np.inf)  # The query itself is not ranked.
    distance[0, ranking.indices] = ranking.distance
    identities = np.array([record.identity for record in rule.records])
    cameras = np.array([record.camera for record in rule.records]) if rule.uses_cameras else None
    query_camera = None if cameras is None else np.array([rule.subject.camera])
    own = [next((row for row, record in enumerate(rule.records) if record.path == rule.subject.path), -1)]
    own_rows = None if rule.subject.path is None else own
    return evaluate(distance, [rule.subject.identity], identities, query_camera, cameras, own_rows=own_rows).mean_ap


def query_values(
    one: QueryTrace, other: QueryTrace, rule: MatchRule, configs: tuple[ModelConfig, ModelConfig]
) -> list[ComparedValue]:
    """Return all values of a query for both sides.

    Args:
        one: Trace of the first side.
        other: Trace of the second side.
        rule: Rule that decides which gallery images are matches.
        configs: Configurations of the models of both sides.
    """
    one_flops, other_flops = (
        _giga_flops(config, trace.settings.prune) for config, trace in zip(configs, (one, other), strict=True)
    )

    def both(name: str, value: Callable[[QueryTrace], float | None], text: Callable[[float], str]) -> ComparedValue:
        return ComparedValue(name, value(one), value(other), text)

    return [
        both("patches kept", lambda trace: trace.encoding.positions.shape[1], _whole),
        ComparedValue("FLOPs (G)", one_flops, other_flops, "{:.2f}".format),
        both("rank of the first correct match by cosine", lambda trace: rule.first_match(trace.by_cosine), _whole),
        both("rank by D", lambda trace: rule.first_match(trace.by_distance), _whole),
        both("rank after consolidation", lambda trace: rule.first_match(trace.final), _whole),
        both("average precision (%)", lambda trace: _percent(average_precision(rule, trace.final)), "{:.1f}".format),
        both("attention to [cls] (%)", lambda trace: 100 * trace.consolidation.cls_share, "{:.1f}".format),
        both("attention to the query (%)", lambda trace: 100 * trace.consolidation.query_share, "{:.1f}".format),
        both(
            "attention to the neighbours (%)",
            lambda trace: 100 * float(trace.consolidation.neighbor_shares.sum()),
            "{:.1f}".format,
        ),
    ]


def neighbor_values(one: QueryTrace, other: QueryTrace, rule: MatchRule, row: int) -> list[ComparedValue]:
    """Return all values of a gallery image for both sides.

    Args:
        one: Trace of the first side.
        other: Trace of the second side.
        rule: Rule that decides which gallery images are matches.
        row: Gallery row of the image.
    """

    def rank(ranking: Ranking) -> int | None:
        return rule.ranks(ranking).get(row)

    def part(index: int) -> Callable[[QueryTrace], float | None]:
        return lambda trace: distances_of(trace.match, trace.settings.alpha).get(row, (None, None, None))[index]

    def both(name: str, value: Callable[[QueryTrace], float | None], text: Callable[[float], str]) -> ComparedValue:
        return ComparedValue(name, value(one), value(other), text)

    return [
        both("rank by cosine", lambda trace: rank(trace.by_cosine), _whole),
        both("rank by D", lambda trace: rank(trace.by_distance), _whole),
        both("rank after consolidation", lambda trace: rank(trace.final), _whole),
        both("D_cos", part(1), "{:.4f}".format),
        both("D_EMD", part(2), "{:.4f}".format),
        both("D", part(0), "{:.4f}".format),
        both("decoder attention (%)", lambda trace: _percent(neighbor_share(trace, row)), "{:.1f}".format),
    ]


def neighbor_share(trace: QueryTrace, row: int) -> float | None:
    """Return the decoder's attention to a gallery image (Eq. 13), or None if it is not among the K neighbours.

    Args:
        trace: Results of the search.
        row: Gallery row of the image.
    """
    places = np.flatnonzero(trace.consolidation.neighbors == row)
    return float(trace.consolidation.neighbor_shares[places[0]]) if len(places) else None


def _giga_flops(config: ModelConfig, prune: PruneSettings) -> float:
    return encoder_flops(config, prune).without_attention_products / 1e9


def _whole(value: float) -> str:
    return f"{value:.0f}"


def _percent(value: float | None) -> float | None:
    return None if value is None else 100 * value

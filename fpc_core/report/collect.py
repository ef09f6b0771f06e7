"""Collect everything that a report shows about a query, with images small enough for a page with many queries."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
import torch
from PIL import Image

from fpc_core.config import MapMethod, MapSettings, MapTarget, ModelConfig, QuerySettings, Variant
from fpc_core.data.browser_encoding import data_uri
from fpc_core.data.images import ImageError, resize_image, to_tensor
from fpc_core.data.match_label import MatchLabel, QueryIdentity
from fpc_core.data.match_rule import MatchRule
from fpc_core.explain.cards import Card, Scale, Strip, camera_name, decoder_cards, distances_of, ranked_strip
from fpc_core.explain.heatmap_methods import colorbar_label, map_target
from fpc_core.explain.heatmaps import PatchMap, decoder_map, encoder_map
from fpc_core.explain.masks import survivors
from fpc_core.explain.overlay import heat, mark_dropped
from fpc_core.figures.flow_and_alpha_plots import draw_transport
from fpc_core.figures.matplotlib_style import style_context
from fpc_core.figures.style import FigureStyle
from fpc_core.lessons.context import lesson_context
from fpc_core.report.sources import Refused, Source, Sources
from fpc_core.results import EncoderState, Encoding, QueryTrace
from fpc_core.workspace import Workspace

SHOWN = 10  # Number of hits in a strip.
FLOWS = 80  # Maximum number of lines in the transport figure.
HIT, QUERY = 144, 192  # Height of the images in pixels.
DPI = 130  # Resolution of the transport figure.
RANKINGS = {"by_cosine": "cosine", "by_distance": "D", "final": "consolidated"}
_STYLE = FigureStyle()


@dataclass(frozen=True)
class Pair:
    """The query and its nearest hit by D that is not junk.

    Attributes:
        d: Distance D between query and hit (Eq. 10).
        d_cos: D_cos between query and hit (Eq. 4).
        d_emd: D_EMD between query and hit (Eq. 5).
        why: Heat map of the query patches that make the two `[cls]` tokens similar.
        flows: Data URI of the transport figure.
        story: Explanation why this hit is nearer than the most instructive other hit; empty if there is no other hit.
    """

    d: float
    d_cos: float
    d_emd: float
    why: Strip
    flows: str
    story: str


@dataclass(frozen=True)
class Explained:
    """Content of a report for one query.

    Attributes:
        name: Name of the query.
        description: Identity and camera as text.
        pictures: Data URIs of the images by `Card.image`.
        dropped: The query after each dropping block.
        rankings: Nearest hits before and after consolidation.
        pair: The query and its nearest hit; None if every shortlisted image is junk.
        shares: Attention to `[cls]`, query and neighbours (Eq. 13).
        decoder: Heat maps of the decoder.
        first_match: Rank of the first true match in each of RANKINGS, None if it is not ranked; empty if the identity
            is unknown.
    """

    name: str
    description: str
    pictures: Mapping[str, str]
    dropped: Strip
    rankings: tuple[Strip, Strip]
    pair: Pair | None
    shares: tuple[float, float, float]
    decoder: Strip
    first_match: Mapping[str, int | None] = field(default_factory=dict)


def explain(
    workspace: Workspace,
    sources: Sources,
    settings: QuerySettings,
    how: MapSettings,
    progress: Callable[[], object] = lambda: None,
) -> tuple[list[Explained], list[Refused]]:
    """Search for all images of a report, and collect their results.

    Args:
        workspace: Data and weights.
        sources: Images of the report.
        settings: Settings of the searches.
        how: Settings of the decoder's heat maps.
        progress: Function that is called after each image.

    Returns:
        The results of every image that could be read, in order, and the files that could not be read, with the reasons.

    Raises:
        ValueError: The weights lack the classifier that is the target of the heat maps.
    """
    if how.target is MapTarget.IDENTITY and not workspace.weights.knows_identities:
        raise ValueError(f"{workspace.places.weights.name} has no identity classifier; use the target similarity")
    explainer, explained, refused = _Explainer(workspace, settings, how), [], list(sources.refused)
    for source in sources.images:
        try:
            explained.append(explainer(source))
        except ImageError as error:
            refused.append(Refused(source.name, str(error)))
        progress()
    return explained, refused


class _Explainer:
    """Searches for images with fixed settings, and collects what the report shows about them."""

    def __init__(self, workspace: Workspace, settings: QuerySettings, how: MapSettings) -> None:
        self.workspace, self.settings, self.how = workspace, settings, how
        self.config = workspace.retriever.model.config
        self.records, self.uses_cameras = workspace.retriever.memory.records, workspace.dataset.excludes_own_camera
        self.people = {record.identity: record.person for record in self.records if record.person}
        self.gallery_image = lru_cache(maxsize=512)(self._gallery_image)

    def __call__(self, source: Source) -> Explained:
        """Search for one image, and collect what the report shows about it.

        Raises:
            ImageError: The image cannot be read.
        """
        image, subject = resize_image(source.read(), self.config.image_size), source.subject
        with_camera = self.workspace.dataset.uses_cameras and subject.camera is not None
        state = self.workspace.retriever.prepare(
            to_tensor([image], self.config),
            torch.tensor([subject.camera]) if with_camera else None,
            self.settings.prune.blocks[0],
        )
        trace = self.workspace.retriever_for(subject.path).search(state, self.settings)
        pictures = {"query": data_uri(image, height=QUERY)}
        rankings = (
            self._hits(trace, subject, "by_distance", "D", "by_cosine", "Before consolidation, by D"),
            self._hits(trace, subject, "final", "d", "by_distance", "After consolidation"),
        )
        for card in (card for strip in rankings for card in strip.cards):
            pictures[card.image] = data_uri(self.gallery_image(int(card.id)), height=HIT)
        result = trace.consolidation
        return Explained(
            name=source.name,
            description=_describe(subject, self.people),
            pictures=pictures,
            dropped=dropped_strip(image, trace.encoding, self.config, pictures),
            rankings=rankings,
            pair=self._pair(image, subject, trace, state, pictures),
            shares=(result.cls_share, result.query_share, float(result.neighbor_shares.sum())),
            decoder=self._decoder(image, subject, trace, pictures),
            first_match=self._first_matches(trace, subject),
        )

    def _gallery_image(self, row: int) -> np.ndarray:
        return self.workspace.image(self.records[row])

    def _hits(
        self, trace: QueryTrace, subject: QueryIdentity, kind: str, symbol: str, before: str, title: str
    ) -> Strip:
        return ranked_strip(
            kind,
            title,
            getattr(trace, kind),
            self.records,
            subject,
            symbol=symbol,
            parts=distances_of(trace.match, self.settings.alpha),
            uses_cameras=self.uses_cameras,
            show=SHOWN,
            decoder=frozenset(trace.consolidation.neighbors.tolist()),
            before=MatchRule(self.records, subject, self.uses_cameras).ranks(getattr(trace, before)),
        )

    def _pair(
        self,
        image: np.ndarray,
        subject: QueryIdentity,
        trace: QueryTrace,
        state: EncoderState,
        pictures: dict[str, str],
    ) -> Pair | None:
        case = lesson_context(self.workspace.retriever_for(subject.path), trace, subject, self.uses_cameras)
        hit, tone = case.hit, case.match_labels[case.hit]
        if tone is MatchLabel.JUNK:  # The hit is junk only if the whole shortlist is junk.
            return None
        alive, other = survivors(trace.encoding)[-1], self.gallery_image(hit)
        file = io.BytesIO()
        with style_context(_STYLE):
            figure = draw_transport(image, other, case.plan, alive, self.config, _STYLE, flows=FLOWS, tone=tone)
            figure.savefig(file, dpi=DPI)
        flows = np.asarray(Image.open(file).convert("RGB"))

        leave_out = MapSettings(MapMethod.LEFT_OUT, index=hit)
        lost = encoder_map(self.workspace.retriever, state, self.settings.prune, leave_out)
        pictures["why"] = self._heat_image(image, lost.scaled().query_grid)
        alt = "the query under a heat map: how much the cosine to the nearest hit drops without each patch"
        why = Strip(
            "why",
            "Similar because of",
            (Card("why", "why", "Query", alt=alt),),
            scale=_scale("cosine lost without the patch", lost),
        )
        story = "" if case.rival is None else case.comparison_sentence()
        parts = distances_of(trace.match, self.settings.alpha)[hit]
        return Pair(*parts, why=why, flows=data_uri(flows), story=story)

    def _decoder(self, image: np.ndarray, subject: QueryIdentity, trace: QueryTrace, pictures: dict[str, str]) -> Strip:
        patch_map = decoder_map(self.workspace.retriever, trace, self.how)
        shown, cards = patch_map.scaled(), []
        if self.settings.variant is Variant.PAPER:
            pictures["heat"] = self._heat_image(image, shown.query_grid)
            share = trace.consolidation.query_share
            cards.append(Card("heat", "heat", "Query", (f"{share:.1%} of attention",), alt=f"the query, {share:.1%}"))
        known = decoder_cards(trace.consolidation, self.records, subject, self.uses_cameras)
        for card, grid in zip(known, shown.neighbor_grids, strict=True):
            cards.append(replace(card, image=f"heat{card.id}"))
            pictures[cards[-1].image] = self._heat_image(self.gallery_image(int(card.id)), grid)
        label = colorbar_label(self.how, map_target(self.how, self.config.identities))
        note = "" if self.settings.variant is Variant.PAPER else "the released decoder does not read the query"
        title = "What did the decoder use from each neighbour?"
        return Strip("decoder", title, tuple(cards), note, _scale(label, patch_map))

    def _heat_image(self, image: np.ndarray, grid: np.ndarray) -> str:
        return data_uri(heat(image, grid, self.config, 1.0), height=HIT)

    def _first_matches(self, trace: QueryTrace, subject: QueryIdentity) -> Mapping[str, int | None]:
        if subject.identity is None:
            return {}
        rule = MatchRule(self.records, subject, self.uses_cameras)
        return {name: rule.first_match(getattr(trace, kind)) for kind, name in RANKINGS.items()}


def dropped_strip(image: np.ndarray, encoding: Encoding, config: ModelConfig, pictures: dict[str, str]) -> Strip:
    """Return a strip of the query and its kept patches after each dropping block.

    Args:
        image: (H, W, 3) uint8 query image.
        encoding: Encoding of the query.
        config: Architecture of the model.
        pictures: Data URIs by `Card.image`, to which those of the strip are added.
    """
    cards = [Card("query", "query", "Input", (f"{config.patches} patches",), alt="the query image")]
    for stage, alive in zip(encoding.stages, survivors(encoding), strict=True):
        key, count = f"block{stage.block}", int(alive.sum())
        pictures[key] = data_uri(mark_dropped(image, alive, config), height=QUERY)
        alt = f"the query after block {stage.block}: {count} patches kept, the others white"
        cards.append(Card(key, key, f"Block {stage.block}", (f"{count} kept",), alt=alt))
    return Strip("dropped", "Which patches were dropped?", tuple(cards))


def _scale(label: str, patch_map: PatchMap) -> Scale:
    return Scale(label, "0", f"{patch_map.peak:.2g}")


def _describe(subject: QueryIdentity, people: Mapping[int, str]) -> str:
    if subject.identity is None:
        return "identity unknown"
    camera = camera_name(-1 if subject.camera is None else subject.camera)
    return f"identity {people.get(subject.identity, subject.identity)}, camera {camera}"

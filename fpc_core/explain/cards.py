"""Strips of image cards that show search results and whether they are correct.

This module determines order, marks and captions; the app and the report only render them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fpc_core.data.datasets import ImageRecord
from fpc_core.data.match_label import MARKS, MatchLabel, QueryIdentity, match_label
from fpc_core.data.records import NO_IDENTITY
from fpc_core.matching.ranking import combined_distance
from fpc_core.results import Consolidation, Match, Ranking

ALT_TEXT = {
    MatchLabel.MATCH: "same person",
    MatchLabel.OTHER: "different person",
    MatchLabel.JUNK: "junk: same person and camera",
    MatchLabel.NEUTRAL: "query person unknown",
}


@dataclass(frozen=True)
class Card:
    """One image with its caption.

    Attributes:
        id: Id that the app receives when the card is clicked.
        image: Key of the image in the mapping of images that is sent with the card.
        title: First line of the caption.
        lines: Further lines of the caption.
        tone: Whether the image is a match, which determines the card's colour and mark.
        tag: Short text of a badge, or empty.
        alt: Text for screen readers.
        selected: Whether the card is highlighted.
        hint: Text shown when the mouse rests on the card; `lines` if None.
    """

    id: str
    image: str
    title: str
    lines: tuple[str, ...] = ()
    tone: MatchLabel = MatchLabel.NEUTRAL
    tag: str = ""
    alt: str = ""
    selected: bool = False
    hint: str | None = None

    @property
    def mark(self) -> str:
        """Symbol shown in addition to the colour, so that colour is never the only cue."""
        return MARKS[self.tone]


@dataclass(frozen=True)
class Scale:
    """A viridis colour bar from `low` to `high`."""

    label: str
    low: str
    high: str


@dataclass(frozen=True)
class Strip:
    """A row of cards under one title."""

    id: str
    title: str
    cards: tuple[Card, ...]
    note: str = ""
    scale: Scale | None = None


def camera_name(camera: int) -> str:
    """Format a 0-based camera as 1-based text, as in the datasets' file names; "–" if it is unknown (negative)."""
    return "–" if camera < 0 else str(camera + 1)


def identity_label(record: ImageRecord) -> str:
    """Describe the person and camera of a record in words, or return the image's name if the person is unknown."""
    if record.identity == NO_IDENTITY:
        return record.person
    return f"person {record.person or record.identity}, camera {camera_name(record.camera)}"


def person_line(record: ImageRecord) -> str:
    """Return a card's line on the person and the camera, or the image's name if the person is unknown."""
    name = record.person_label
    return name if record.identity == NO_IDENTITY else f"{name} · cam {camera_name(record.camera)}"


def distances_of(match: Match, alpha: float) -> Mapping[int, tuple[float, float, float]]:
    """Return D, D_cos and D_EMD (Eq. 10) of every shortlisted image, by row of the gallery memory.

    Args:
        match: Shortlist and transport of the query.
        alpha: Weight of D_EMD in D.
    """
    d_cos, d_emd = match.shortlist.d_cos, match.transport.distance
    combined = combined_distance(d_cos, d_emd, alpha)
    return {
        int(row): (float(d), float(cos), float(emd))
        for row, d, cos, emd in zip(match.shortlist.indices, combined, d_cos, d_emd, strict=True)
    }


def ranked_strip(
    name: str,
    title: str,
    ranking: Ranking,
    records: Sequence[ImageRecord],
    subject: QueryIdentity,
    *,
    symbol: str,
    parts: Mapping[int, tuple[float, float, float]],
    uses_cameras: bool,
    show: int,
    show_junk: bool = False,
    decoder: frozenset[int] = frozenset(),
    chosen: int | None = None,
    before: Mapping[int, int] | None = None,
    other: str = "",
) -> Strip:
    """Return the first hits of a ranking as cards, nearest first.

    Junk images have no rank, because the evaluation removes them.

    Args:
        name: Id of the strip.
        title: Title of the strip.
        ranking: Rows of the gallery memory with their distances.
        records: Records of the gallery memory.
        subject: Identity and camera of the query.
        symbol: Symbol of the distance by which the ranking is sorted.
        parts: D, D_cos and D_EMD of the shortlisted rows, from `distances_of`.
        uses_cameras: Whether cameras decide what is junk.
        show: Number of hits to show.
        show_junk: Whether junk images are shown.
        decoder: Rows that the decoder reads, whose cards get the tag "K".
        chosen: Row whose card is highlighted.
        before: Ranks to compare with, from `MatchRule.ranks`: those in the strip above, from which arrows show the
            change, or those of `other`.
        other: Name of another search that `before` belongs to; its rank is shown in brackets in place of an arrow.
    """
    cards: list[Card] = []
    rank = hidden = 0
    for row, distance in ranking.pairs():
        record = records[row]
        tone = match_label(record, subject, uses_cameras)
        if tone is MatchLabel.JUNK:
            if not show_junk:
                hidden += 1
                continue
        else:
            rank += 1
        head = f"{rank}" if tone is not MatchLabel.JUNK else "junk"
        lines = [f"{symbol} {distance:.3f}"]
        if row in parts:
            _, cos, emd = parts[row]
            lines += [f"{part} {value:.3f}" for part, value in (("D_cos", cos), ("D_EMD", emd)) if part != symbol]
        else:
            lines += ["beyond the", "shortlist"]
        lines.append(person_line(record))
        old_rank = (before or {}).get(row)
        if before is not None and tone is not MatchLabel.JUNK and old_rank != rank:
            head += f" ({other} {old_rank or '–'})" if other else _arrow(old_rank, rank)
        cards.append(
            Card(
                id=str(row),
                image=f"g{row}",
                title=head,
                lines=tuple(lines),
                tone=tone,
                tag="K" if row in decoder else "",
                alt=f"rank {head}, {ALT_TEXT[tone]}, {identity_label(record)}",
                selected=row == chosen,
            )
        )
        if rank == show:
            break
    notes = (correct_in(cards), f"{hidden} same-camera hidden" if hidden else "")
    return Strip(name, title, tuple(cards), " · ".join(note for note in notes if note))


def decoder_cards(
    consolidation: Consolidation,
    records: Sequence[ImageRecord],
    subject: QueryIdentity,
    uses_cameras: bool,
    chosen: int | None = None,
) -> tuple[Card, ...]:
    """Return the decoder's neighbours, nearest first, with their shares of its attention (Eq. 13).

    Args:
        consolidation: Output of the decoder.
        records: Records of the gallery memory.
        subject: Identity and camera of the query.
        uses_cameras: Whether cameras decide what is junk.
        chosen: Row whose card is highlighted.
    """
    cards = []
    pairs = zip(consolidation.neighbors.tolist(), consolidation.neighbor_shares.tolist(), strict=True)
    for rank, (row, share) in enumerate(pairs, start=1):
        record = records[row]
        tone = match_label(record, subject, uses_cameras)
        lines = (f"{share:.1%} of attention", person_line(record))
        about = f"neighbour {rank}, {ALT_TEXT[tone]}, {share:.1%} of the attention"
        cards.append(Card(str(row), f"g{row}", str(rank), lines, tone, alt=about, selected=row == chosen))
    return tuple(cards)


def comparison_candidates(
    rows: Sequence[int], tones: Sequence[MatchLabel], chosen: int, show: int, show_junk: bool
) -> tuple[list[int], int | None]:
    """Return hits to compare the chosen hit with, nearest first, and the most instructive one.

    The most instructive hit is the first true match if the chosen hit is wrong, and the first wrong hit if it is a true
    match. If there is no such hit, it is the nearest.

    Args:
        rows: Rows of the shortlist, ranked by D.
        tones: Label of each row.
        chosen: Row of the chosen hit.
        show: Number of hits to return; the first true match is added if it is not among them.
        show_junk: Whether to include junk images.

    Returns:
        Rows of the hits and the row of the most instructive one, or ([], None) if there are none.
    """
    tone_by = dict(zip(rows, tones, strict=True))
    others = [row for row in rows if row != chosen and (show_junk or tone_by[row] is not MatchLabel.JUNK)]
    first_match = next((row for row in others if tone_by[row] is MatchLabel.MATCH), None)
    first_other = next((row for row in others if tone_by[row] is MatchLabel.OTHER), None)
    offered = others[:show]
    if first_match is not None and first_match not in offered:
        offered.append(first_match)
    default = first_other if tone_by.get(chosen) is MatchLabel.MATCH else first_match
    return offered, default if default in offered else next(iter(offered), None)


def correct_in(cards: Sequence[Card]) -> str:
    """Return a caption with the number of correct cards; empty if the query's identity is unknown."""
    ranked = [card.tone for card in cards if card.tone in (MatchLabel.MATCH, MatchLabel.OTHER)]
    return f"{ranked.count(MatchLabel.MATCH)} of the top {len(ranked)} correct" if ranked else ""


def _arrow(old: int | None, new: int) -> str:
    if old is None:
        return " ↑"
    return f" ↑{old - new}" if old > new else f" ↓{new - old}"

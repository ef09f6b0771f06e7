"""Strips of image cards from core results: who was found, and whether that is right.

Pure functions: they decide order, marks and captions; app and report only draw what stands here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fpc_core.data.datasets import ImageRecord
from fpc_core.data.match_label import MARKS, MatchLabel, QueryIdentity, match_label
from fpc_core.matching.ranking import combined_distance
from fpc_core.results import Consolidation, Match, Ranking

SPOKEN = {
    MatchLabel.MATCH: "same person",
    MatchLabel.OTHER: "different person",
    MatchLabel.JUNK: "junk: same person and camera",
    MatchLabel.NEUTRAL: "query person unknown",
}


@dataclass(frozen=True)
class Card:
    """One image with its caption. `image` is a key of the picture table sent along; `tag` a short badge or empty."""

    id: str
    image: str
    title: str
    lines: tuple[str, ...] = ()
    tone: MatchLabel = MatchLabel.NEUTRAL
    tag: str = ""
    alt: str = ""
    selected: bool = False

    @property
    def mark(self) -> str:
        """The sign beside the colour: never colour alone."""
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
    """Cameras count from 1 on screen, as in the datasets' file names."""
    return "–" if camera < 0 else str(camera + 1)


def identity_label(record: ImageRecord) -> str:
    """Identity and camera in words."""
    return f"person {record.identity}, camera {camera_name(record.camera)}"


def distances_of(match: Match, alpha: float) -> Mapping[int, tuple[float, float, float]]:
    """D, D_cos and D_EMD (Eq. 10) of every shortlisted memory row."""
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
) -> Strip:
    """The first `show` hits of a ranking as cards, nearest first.

    symbol: name of the distance the ranking is sorted by.  parts: `distances_of`; rows outside the shortlist have none.
    decoder: memory rows the decoder attends to, tagged "K".  before: `ranks_of` the strip above, for the arrows.
    Junk images take no rank: the evaluation removes them, so the next image takes their place.
    """
    cards: list[Card] = []
    rank = hidden = 0
    for row, distance in zip(ranking.indices.tolist(), ranking.distance.tolist(), strict=True):
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
        lines.append(f"id {record.identity} · cam {camera_name(record.camera)}")
        moved = (before or {}).get(row)
        if before is not None and tone is not MatchLabel.JUNK and moved != rank:
            head += _arrow(moved, rank)
        cards.append(
            Card(
                id=str(row),
                image=f"g{row}",
                title=head,
                lines=tuple(lines),
                tone=tone,
                tag="K" if row in decoder else "",
                alt=f"rank {head}, {SPOKEN[tone]}, person {record.identity}, camera {camera_name(record.camera)}",
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
    """The neighbours that the decoder saw, nearest first, with their shares of its attention (Eq. 13)."""
    cards = []
    pairs = zip(consolidation.neighbors.tolist(), consolidation.neighbor_shares.tolist(), strict=True)
    for place, (row, share) in enumerate(pairs, start=1):
        record = records[row]
        tone = match_label(record, subject, uses_cameras)
        lines = (f"{share:.1%} of attention", f"id {record.identity} · cam {camera_name(record.camera)}")
        about = f"neighbour {place}, {SPOKEN[tone]}, {share:.1%} of the attention"
        cards.append(Card(str(row), f"g{row}", str(place), lines, tone, alt=about, selected=row == chosen))
    return tuple(cards)


def ranks_of(
    ranking: Ranking, records: Sequence[ImageRecord], subject: QueryIdentity, uses_cameras: bool
) -> dict[int, int]:
    """1-based rank of every memory row of a ranking; junk images have none."""
    rows = (row for row in ranking.indices.tolist())
    ranked = (row for row in rows if match_label(records[row], subject, uses_cameras) is not MatchLabel.JUNK)
    return {row: place for place, row in enumerate(ranked, start=1)}


def comparison_candidates(
    rows: Sequence[int], tones: Sequence[MatchLabel], chosen: int, show: int, show_junk: bool
) -> tuple[list[int], int | None]:
    """Hits to compare the chosen one with, nearest first, and the one that says most; ([], None) without any.

    rows, tones: the shortlist by D.  Offered are the first `show`, and the first true match wherever it stands.  Says
    most: for a wrong hit the first true match, for a true match the first wrong hit, else the nearest.
    """
    tone_by = dict(zip(rows, tones, strict=True))
    others = [row for row in rows if row != chosen and (show_junk or tone_by[row] is not MatchLabel.JUNK)]
    first_match = next((row for row in others if tone_by[row] is MatchLabel.MATCH), None)
    first_other = next((row for row in others if tone_by[row] is MatchLabel.OTHER), None)
    offered = others[:show]
    if first_match is not None and first_match not in offered:
        offered.append(first_match)
    telling = first_other if tone_by.get(chosen) is MatchLabel.MATCH else first_match
    return offered, telling if telling in offered else next(iter(offered), None)


def correct_in(cards: Sequence[Card]) -> str:
    """How many of the ranked cards are right, as a caption; empty where the identity is unknown."""
    ranked = [card.tone for card in cards if card.tone in (MatchLabel.MATCH, MatchLabel.OTHER)]
    return f"{ranked.count(MatchLabel.MATCH)} of the top {len(ranked)} correct" if ranked else ""


def _arrow(old: int | None, new: int) -> str:
    if old is None:
        return " ↑"
    return f" ↑{old - new}" if old > new else f" ↓{new - old}"

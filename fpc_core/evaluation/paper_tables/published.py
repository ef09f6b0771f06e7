"""The tables published in the paper, to be shown next to our results. This project measured none of these numbers.

Rank-1 and mAP are in percent, FLOPs in G. None means that the paper prints a dash. Tables that name no dataset are for
Occluded-Duke. Table 1 is copied as printed, although HOReID has the same two numbers on Occluded-Duke and
Occluded-ReID.
"""

from __future__ import annotations

from dataclasses import dataclass

from fpc_core.config import KEEP_RATES

Cell = str | float | bool | None


@dataclass(frozen=True)
class PublishedTable:
    """A table of the paper, or the numbers of a figure that the paper's text states.

    Attributes:
        name: Name in the paper, such as "Table 3".
        title: Short title.
        columns: Heads of the columns.
        rows: Rows with one cell per column.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"{self.name}: row {row} must have {len(self.columns)} columns, got {len(row)}")

    def column(self, name: str) -> tuple[Cell, ...]:
        """Return a column by its name.

        Raises:
            ValueError: There is no such column.
        """
        if name not in self.columns:
            raise ValueError(f"{self.name} has no column {name!r}; it has {', '.join(self.columns)}")
        index = self.columns.index(name)
        return tuple(row[index] for row in self.rows)


TABLE_1 = PublishedTable(
    "Table 1",
    "Comparison on occluded and partial data",
    (
        "method",
        "Occluded-Duke Rank-1",
        "Occluded-Duke mAP",
        "Occluded-ReID Rank-1",
        "Occluded-ReID mAP",
        "Partial-ReID Rank-1",
        "Partial-ReID mAP",
    ),
    (
        ("PCB", 42.6, 33.7, 41.3, 38.9, 66.3, 63.8),
        ("DSR", 40.8, 30.4, 72.8, 62.8, 73.7, 68.1),
        ("PGFA", 51.4, 37.3, None, None, 69.0, 61.5),
        ("HOReID", 55.1, 43.8, 55.1, 43.8, 85.3, None),
        ("OAMN", 62.6, 46.1, None, None, 86.0, None),
        ("PAT", 64.5, 53.6, 81.6, 72.1, 88.0, None),
        ("TransReID", 67.4, 59.5, None, None, 83.0, 77.5),
        ("PFD", 69.5, 61.8, 81.5, 83.0, None, None),
        ("FED", 67.9, 56.3, 87.0, 79.4, 84.6, 82.3),
        ("RFCnet", 63.9, 54.5, None, None, None, None),
        ("Yu et al.", 67.6, 64.2, 68.8, 67.3, None, None),
        ("FRT", 70.7, 61.3, 80.4, 71.0, 88.2, None),
        ("FPC", 76.7, 72.8, 86.3, 84.6, 86.3, 86.5),
    ),
)

TABLE_2 = PublishedTable(
    "Table 2",
    "Comparison on holistic data",
    ("method", "Market-1501 Rank-1", "Market-1501 mAP", "DukeMTMC-reID Rank-1", "DukeMTMC-reID mAP"),
    (
        ("PCB", 92.3, 77.4, 81.8, 66.1),
        ("PGFA", 91.2, 76.8, 82.6, 65.5),
        ("HOReID", 94.2, 84.9, 86.9, 75.6),
        ("OAMN", 92.3, 79.8, 86.3, 72.6),
        ("PAT", 95.4, 88.0, 88.8, 79.3),
        ("TransReID", 95.0, 88.2, 89.6, 80.6),
        ("PFD", 95.5, 89.7, 91.2, 83.2),
        ("FED", 95.0, 86.3, 89.4, 78.0),
        ("RFCnet", 95.2, 89.2, 90.7, 80.7),
        ("Yu et al.", 94.5, 86.5, 88.3, 83.1),
        ("FRT", 95.5, 88.1, 90.5, 81.7),
        ("FPC", 95.1, 91.4, 92.3, 86.5),
    ),
)

# Tables 3 and 5 both print the scores of FPC at KEEP_RATES.
_RANK_1 = (76.0, 76.6, 76.7, 75.9, 74.5, 72.1)
_MEAN_AP = (72.3, 72.7, 72.8, 72.4, 71.3, 69.3)

TABLE_3 = PublishedTable(
    "Table 3",
    "Keep rate",
    ("keep rate", "Rank-1", "mAP", "FLOPs (G)"),
    tuple(zip(KEEP_RATES, _RANK_1, _MEAN_AP, (20.8, 18.1, 15.7, 13.6, 11.9, 10.4), strict=True)),
)

TABLE_4 = PublishedTable(
    "Table 4",
    "Ablation of sparse encoder S, matching M and consolidation C",
    ("index", "S", "M", "C", "Rank-1", "mAP"),
    (
        (1, False, False, False, 67.4, 59.0),
        (2, True, False, False, 68.6, 60.1),
        (3, True, False, True, 75.8, 71.6),
        (4, True, True, True, 76.7, 72.8),
    ),
)


def _drop_strategy(name: str, rank_1: tuple[float, ...], mean_ap: tuple[float, ...]) -> tuple[tuple[Cell, ...], ...]:
    return tuple((name, *row) for row in zip(KEEP_RATES, rank_1, mean_ap, strict=True))


TABLE_5 = PublishedTable(
    "Table 5",
    "Patch drop strategy",
    ("strategy", "keep rate", "Rank-1", "mAP"),
    (
        *_drop_strategy("salient", (76.0, 67.4, 52.6, 35.1, 21.0, 12.9), (72.3, 64.1, 51.0, 34.3, 20.9, 13.3)),
        *_drop_strategy("random", (76.0, 74.3, 72.9, 72.2, 70.5, 67.9), (72.3, 70.8, 70.2, 69.1, 67.4, 64.8)),
        *_drop_strategy("non_salient", _RANK_1, _MEAN_AP),
    ),
)

TABLE_6 = PublishedTable(
    "Table 6",
    "Token sparsification (T.S.) in TransReID at keep rate 0.9",
    ("method", "Occluded-Duke Rank-1", "Occluded-Duke mAP", "Occluded-ReID Rank-1", "Occluded-ReID mAP"),
    (("TransReID", 67.4, 59.5, 80.5, 74.4), ("TransReID + T.S.", 68.2, 60.0, 80.9, 75.0)),
)

TABLE_7 = PublishedTable(
    "Table 7",
    "Re-ranking",
    ("method", "Rank-1", "mAP"),
    (
        ("PGFA", 51.4, 37.3),
        ("PGFA + re-ranking", 52.4, 46.8),
        ("HOReID", 55.1, 43.8),
        ("HOReID + re-ranking", 58.3, 49.2),
        ("FRT", 70.7, 61.3),
        ("FRT + re-ranking", 70.8, 65.0),
        ("Yu et al.", 67.6, 64.2),
        ("Yu et al. + re-ranking", 68.9, 67.3),
        ("FPC", 76.7, 72.8),
        ("FPC + re-ranking", 78.6, 78.3),
    ),
)

# Fig. 4 shows curves without numbers, and the text (Sec. 4.3) states only their best points.
FIG_4_ALPHA = PublishedTable("Fig. 4a", "Distance weight alpha", ("alpha", "Rank-1", "mAP"), ((0.4, 76.7, 72.8),))
FIG_4_NEIGHBORS = PublishedTable(
    "Fig. 4b", "Number K of nearest gallery neighbours", ("K", "Rank-1", "mAP"), ((10, 76.7, 72.8),)
)

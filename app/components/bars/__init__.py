"""Horizontal bars with numbers, which load fast enough for pages with live sliders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import streamlit as st

from app.components import source
from fpc_core.colours import BLUE, GREY, ORANGE
from fpc_core.results import Consolidation

_mount = st.components.v2.component(
    "fpc_bars", html="<div data-bars></div>", css=source("bars/bars.css"), js=source("_shared/dom.js", "bars/bars.js")
)


@dataclass(frozen=True)
class Part:
    """A segment of a bar.

    Attributes:
        share: Share of the available width, 0 to 1.
        text: Name and value of the segment.
        colour: CSS colour of the segment.
        hollow: Whether only the outline is drawn.
    """

    share: float
    text: str
    colour: str
    hollow: bool = False


@dataclass(frozen=True)
class Bar:
    """A bar with a label. Without a label, the texts of its parts are shown above it in the colours of the parts."""

    label: str
    parts: tuple[Part, ...]


def bars(all_bars: Sequence[Bar], *, key: str, about: str) -> None:
    """Draw bars from top to bottom.

    Args:
        all_bars: Bars to draw.
        key: Key of the component.
        about: Description for screen readers.
    """
    _mount(key=key, data={"about": about, "bars": [asdict(bar) for bar in all_bars]})


def timing_bars(seconds: Mapping[str, float], reused: frozenset[str]) -> tuple[Bar, ...]:
    """Return one bar per stage of a search, with its duration in milliseconds.

    Args:
        seconds: Duration of each stage in seconds, by name.
        reused: Names of the stages whose results came from a cache; their bars are hollow.
    """
    longest = max(seconds.values(), default=0.0) or 1.0
    return tuple(
        Bar(
            name,
            (
                Part(
                    value / longest,
                    f"{1000 * value:.1f} ms" + (", cached" if name in reused else ""),
                    BLUE,
                    name in reused,
                ),
            ),
        )
        for name, value in seconds.items()
    )


def share_bars(consolidation: Consolidation) -> tuple[Bar, ...]:
    """Return the three attention shares of Eq. 13 as one bar of 100 %."""
    parts = (
        ("[cls]", consolidation.cls_share, GREY),
        ("query", consolidation.query_share, ORANGE),
        ("neighbours", float(consolidation.neighbor_shares.sum()), BLUE),
    )
    return (Bar("", tuple(Part(share, f"{name} {100 * share:.1f} %", colour) for name, share, colour in parts)),)

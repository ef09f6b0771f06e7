"""Presets of the Compare page: the settings of both sides."""

from __future__ import annotations

from dataclasses import replace

from fpc_core.config import QuerySettings, Solver, TransportSettings, Variant

_DEFAULT = QuerySettings()

PRESETS = {
    "γ 1.0 | 0.8": (_DEFAULT.with_keep_rate(1.0), _DEFAULT),
    "γ 0.8 | 0.5": (_DEFAULT, _DEFAULT.with_keep_rate(0.5)),
    "paper | released": (replace(_DEFAULT, variant=Variant.PAPER), _DEFAULT),
    "sinkhorn | exact": (_DEFAULT, replace(_DEFAULT, transport=TransportSettings(Solver.EXACT))),
    "α 0 | 0.4": (replace(_DEFAULT, alpha=0.0), _DEFAULT),
    "K 5 | 10": (replace(_DEFAULT, neighbors=5), _DEFAULT),
}
"""Settings of side A and side B, by the name of the preset."""
DEFAULT_SIDES = PRESETS["γ 1.0 | 0.8"]
"""Settings of a side that a link does not set. `shared_view` repeats the keep rate of side A."""


def preset_of(one: QuerySettings, other: QuerySettings) -> str | None:
    """Return the name of the preset with these settings, or None. The shortlist size is ignored.

    Args:
        one: Settings of side A.
        other: Settings of side B.
    """
    for name, preset in PRESETS.items():
        if preset == tuple(replace(each, shortlist=_DEFAULT.shortlist) for each in (one, other)):
            return name
    return None

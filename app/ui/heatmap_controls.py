"""Widgets for the decoder's heat maps. Each is bound to the query parameter with the name of its key."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import streamlit as st

from app.session import link_checks
from fpc_core.config import MapSettings, MapTarget
from fpc_core.explain.heatmap_methods import DECODER_METHODS, DESCRIPTIONS, NAMES, TARGETED

_URL: Literal["query-params"] = "query-params"
RANKED_FIRST, CHOSEN, IDENTITY = "image ranked first", "chosen neighbour", "likeliest training identity"


def map_settings(
    prefix: str, chosen: int | None, knows_identities: bool, default: MapSettings | None = None
) -> MapSettings:
    """Render the widgets for the decoder's heat maps, and return their settings.

    Args:
        prefix: Prefix of the query parameters.
        chosen: Gallery row that is offered as a target; None to offer none.
        knows_identities: Whether the weights include a classifier of the training identities.
        default: Initial settings.
    """
    default = default or MapSettings(relative=True)
    targets = {RANKED_FIRST: MapSettings()}
    if chosen is not None:
        targets[CHOSEN] = MapSettings(index=chosen)
    if knows_identities:
        targets[IDENTITY] = MapSettings(target=MapTarget.IDENTITY)
    initial = next((name for name, each in targets.items() if _same_target(each, default)), RANKED_FIRST)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        method = st.selectbox(
            "Heat map",
            DECODER_METHODS,
            DECODER_METHODS.index(default.method),
            format_func=NAMES.__getitem__,
            key=f"{prefix}map",
            bind=_URL,
            help="\n".join(f"- **{NAMES[each]}**: {DESCRIPTIONS[each]}" for each in DECODER_METHODS),
        )
        target = st.selectbox(
            "Target",
            list(targets),
            list(targets).index(initial),
            key=f"{prefix}target",
            bind=_URL,
            disabled=method not in TARGETED,
            help="What the map explains: the cosine of the consolidated feature to an image, or a classifier's logit.",
        )
        relative = st.toggle(
            "Show difference from average patch",
            default.relative,
            key=f"{prefix}relative",
            bind=_URL,
            help="Subtracts the average over all patches, so that only differences between patches are shown.",
        )
    return replace(targets[target], method=method, relative=relative)


def check_map_params(prefix: str, knows_identities: bool) -> tuple[str, ...]:
    """Return messages about link parameters that `map_settings` ignores because their values are invalid.

    Args:
        prefix: Prefix of the query parameters.
        knows_identities: Whether the weights include a classifier of the training identities.
    """
    targets = (RANKED_FIRST, CHOSEN, *([IDENTITY] if knows_identities else []))
    return (
        *link_checks.check_choice(f"{prefix}map", (NAMES[each] for each in DECODER_METHODS)),
        *link_checks.check_choice(f"{prefix}target", targets),
        *link_checks.check_switch(f"{prefix}relative"),
    )


def _same_target(one: MapSettings, other: MapSettings) -> bool:
    return one.target == other.target and one.index == other.index

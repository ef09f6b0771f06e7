"""Patches that a visitor drops by hand, as the query parameter `given`: one packed text per pruning layer."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from app.session import pending_release
from fpc_core.config import DropStrategy, PruneSettings
from fpc_core.io.packed_patches import pack, unpack

PARAM = "given"
# Text of a layer that drops nothing. An empty text could end the link with a dot, which programs that detect links in
# a text would cut off.
_NONE = "0"


def to_param(prune: PruneSettings) -> str:
    """Return the given patches as a query parameter, or an empty text if the model chooses what it drops."""
    if prune.strategy is not DropStrategy.GIVEN:
        return ""
    return ".".join(pack(patches) or _NONE for patches in prune.given)


def reader(prune: PruneSettings, patches: int) -> Callable[[str], PruneSettings | None]:
    """Return a function that reads the query parameter. It raises ValueError for an invalid parameter.

    Args:
        prune: Pruning settings in which the given patches replace the model's choice.
        patches: Number of patches in the model's grid.
    """

    def parse(text: str) -> PruneSettings | None:
        given = tuple(() if part == _NONE else unpack(part) for part in text.split(".", len(prune.blocks)))
        result = prune.with_given(given)
        result.check_grid(patches)
        return result

    return parse


def forget() -> None:
    """Remove the patches dropped by hand, so that the model chooses again. Call it in a callback."""
    st.query_params.pop(PARAM, None)
    pending_release.forget_value(PARAM)


def expected(patches: int) -> str:
    """Return a text on valid values of the query parameter, for a message about an invalid link."""
    return f"the text must be complete and name only patches from 0 to {patches - 1}, each once"


def from_survived(counts: str, blocks: int) -> tuple[tuple[int, ...], ...]:
    """Return the patches that each pruning layer drops.

    Args:
        counts: One digit per patch: the number of pruning layers that keep it.
        blocks: Number of pruning layers.
    """
    return tuple(tuple(patch for patch, count in enumerate(counts) if int(count) == layer) for layer in range(blocks))

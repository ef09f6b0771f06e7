"""Patches that a visitor drops by hand, as the query parameter `given`: a short text for each pruning layer."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from app.session import pending_release
from fpc_core.config import DropStrategy, PruneSettings
from fpc_core.io.packed_patches import pack, unpack

PARAM = "given"
_NONE = "0"  # A layer that drops nothing; programs that detect links in a text would cut off a final dot.


def to_param(prune: PruneSettings) -> str:
    """Return the given patches as a query parameter, or an empty text if the model chooses what it drops."""
    if prune.strategy is not DropStrategy.GIVEN:
        return ""
    return ".".join(pack(patches) or _NONE for patches in prune.given)


def reader(prune: PruneSettings, patches: int) -> Callable[[str], PruneSettings | None]:
    """Return a function that reads the query parameter, and raises ValueError for an invalid one.

    Args:
        prune: Settings whose choice the given patches replace.
        patches: Number of patches in the model's grid.
    """

    def parse(text: str) -> PruneSettings | None:
        given = tuple(() if part == _NONE else unpack(part) for part in text.split(".", len(prune.blocks)))
        result = prune.with_given(given)
        result.check_grid(patches)
        return result

    return parse


def forget() -> None:
    """Let the model choose again what it drops, for example for another query. Call it in a callback."""
    st.query_params.pop(PARAM, None)
    pending_release.forget_value(PARAM)


def expected(patches: int) -> str:
    """Return what the query parameter must be, for a message about a broken link."""
    return f"it must be a complete text of this app that drops some of the patches 0 to {patches - 1}, each once"


def from_survived(counts: str, blocks: int) -> tuple[tuple[int, ...], ...]:
    """Return the patches that each pruning layer drops.

    Args:
        counts: One digit per patch: the number of pruning layers that keep it.
        blocks: Number of pruning layers.
    """
    return tuple(tuple(patch for patch, count in enumerate(counts) if int(count) == layer) for layer in range(blocks))

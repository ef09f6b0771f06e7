"""Comparison of two hits: a signed map over the query's patches, and a table of the parts of D."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.components._shared.patch_grid import component, geometry
from fpc_core.config import ModelConfig
from fpc_core.data.browser_encoding import encode_float32
from fpc_core.explain.margin import Margin
from fpc_core.explain.sentences import comparison_sentence, margin_heads, margin_rows

_mount = component("margin")


def margin_data(
    margin: Margin, names: tuple[str, str], shares: tuple[float | None, float | None], alpha: float
) -> dict[str, Any]:
    """Return the data for `MarginView.show` in margin.js.

    Args:
        margin: Comparison of the two hits.
        names: Names of winner and loser.
        shares: Decoder attention of winner and loser; None for a hit that the decoder does not read.
        alpha: Weight of D_EMD in D.
    """
    return {
        "names": names,
        "patches": encode_float32(margin.patches),
        "heads": margin_heads(alpha),
        "rows": margin_rows(margin, names, shares, alpha),
        "story": comparison_sentence(margin, names, alpha),
    }


def margin(data: dict[str, Any], images: Sequence[str], config: ModelConfig, *, key: str) -> None:
    """Draw a comparison of two hits.

    Args:
        data: Result of `margin_data`.
        images: Data URIs of winner, query and loser.
        config: Configuration of the model.
        key: Key of the component.
    """
    _mount(key=key, data={"margin": data, "pictures": list(images), "grid": geometry(config)})

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
    """Return the data for `MarginView.show` in margin.js; the arguments are those of `margin_rows`."""
    return {
        "names": names,
        "patches": encode_float32(margin.patches),
        "heads": margin_heads(alpha),
        "rows": margin_rows(margin, names, shares, alpha),
        "story": comparison_sentence(margin, names, alpha),
    }


def margin(data: dict[str, Any], images: Sequence[str], config: ModelConfig, *, key: str) -> None:
    """Draw the result of `margin_data`. `images` has the data URIs of winner, query and loser."""
    _mount(key=key, data={"margin": data, "pictures": list(images), "grid": geometry(config)})

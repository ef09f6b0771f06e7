"""Comparison of two hits: a signed map over the query's patches, and a table of the parts of D."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.components._shared.patch_grid import component, geometry
from fpc_core.config import ModelConfig
from fpc_core.data.browser_encoding import encode_float32
from fpc_core.explain.margin import Margin
from fpc_core.explain.sentences import comparison_sentence, format_parts, format_units

_mount = component("margin")


def margin_data(
    margin: Margin, names: tuple[str, str], shares: tuple[float | None, float | None], alpha: float
) -> dict[str, Any]:
    """Return the data for `MarginView.show` in margin.js.

    In every row of the table the parts add up to D. The last row is the loser's row minus the winner's.

    Args:
        margin: Margin between the two hits.
        names: Names of winner and loser.
        shares: Attention of the decoder to winner and loser; None for an image that is not among the K neighbours.
        alpha: Weight of D_EMD in D.
    """
    winner, loser = (format_parts(*parts, alpha) for parts in zip(margin.d_cos, margin.d_emd, strict=True))
    difference = tuple(there - here for here, there in zip(winner, loser, strict=True))
    lines = zip(("", "", "difference"), (winner, loser, difference), strict=True)
    attention = [*("not among the K" if share is None else f"{share:.1%}" for share in shares), ""]
    return {
        "names": names,
        "patches": encode_float32(margin.patches),
        "heads": ["", f"{1 - alpha:g} × D_cos", f"{alpha:g} × D_EMD", "D", "decoder's attention"],
        "rows": [
            [head or name, *(format_units(part) for part in parts), attention_share]
            for (head, parts), name, attention_share in zip(lines, (*names, ""), attention, strict=True)
        ],
        "story": comparison_sentence(margin, names, alpha),
    }


def margin(data: dict[str, Any], images: Sequence[str], config: ModelConfig, *, key: str) -> None:
    """Draw the result of `margin_data`. `images` has the data URIs of winner, query and loser."""
    _mount(key=key, data={"margin": data, "pictures": list(images), "grid": geometry(config)})

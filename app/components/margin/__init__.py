"""Why one hit beats another: a signed map over the query's patches between the two pictures, and the parts beneath."""

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
    """A `Margin` as `MarginView.show` of margin.js takes it. names, shares: of winner and loser.

    shares: of the decoder's attention, None for an image that it did not look at.  rows: of the table, as text; every
    column of the last row is the loser's minus the winner's, and every row adds up.
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
            [name or who, *(format_units(part) for part in parts), seen]
            for (name, parts), who, seen in zip(lines, (*names, ""), attention, strict=True)
        ],
        "story": comparison_sentence(margin, names, alpha),
    }


def margin(data: dict[str, Any], pictures: Sequence[str], config: ModelConfig, *, key: str) -> None:
    """Draw a `margin_data`. pictures: data URIs of winner, query and loser."""
    _mount(key=key, data={"margin": data, "pictures": list(pictures), "grid": geometry(config)})

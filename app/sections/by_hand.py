"""Patches that the visitor drops by hand."""

from __future__ import annotations

from collections.abc import Callable

from app.components.live_payload import survived
from app.components.masks import Painter
from app.server import search
from app.server.search import Query
from app.session import given_patches
from fpc_core.config import DropStrategy, QuerySettings
from fpc_core.workspace import Workspace


def painter(workspace: Workspace, query: Query, settings: QuerySettings, on_paint: Callable[[str], None]) -> Painter:
    """Return what the masks need to let the visitor drop patches.

    Args:
        workspace: Workspace of the query.
        query: Query image.
        settings: Query settings.
        on_paint: Callback that receives the query parameter of the visitor's choice, empty for the model's.
    """
    prune = settings.prune

    def painted(counts: str) -> None:
        given = given_patches.from_survived(counts, len(prune.blocks))
        on_paint(given_patches.to_param(prune.of_model.with_given(given)) if counts else "")

    if prune.strategy is not DropStrategy.GIVEN:
        return Painter(None, None, painted)
    mine, model = (survived(search.encoding(workspace, query, each)) for each in (prune, prune.of_model))
    return Painter(mine, model, painted)

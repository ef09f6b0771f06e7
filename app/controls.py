"""The widgets that pages share; they return values.

Dials write the URL when they are let go, every other widget is bound to the query parameter of its key.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import streamlit as st

from app.components.dials import Dial, dials
from app.state import ALPHA, EPSILON, GAMMA, NEIGHBORS, plain_name, turn_dials
from fpc_core.config import DropStrategy, PruneSettings, QuerySettings, Solver, TransportSettings, Variant

_DEFAULT = QuerySettings()
_Choice = TypeVar("_Choice", Variant, DropStrategy, Solver)
UPLOAD_MB = 20


@dataclass(frozen=True)
class Upload:
    name: str
    data: bytes


def query_settings(asked: QuerySettings, shortlist: int) -> QuerySettings:
    """Dials and choices of one query. asked: what the URL says.  shortlist: candidates the memory can offer."""
    dials(
        (
            Dial(
                "gamma", "Keep rate γ", "Share of patches each of the three dropping blocks keeps. 1 is the plain ViT.",
                *GAMMA, asked.prune.keep_rate,
            ),
            Dial("alpha", "Weight of transport α", "D = (1 − α) · D_cos + α · D_EMD (Eq. 10).", *ALPHA, asked.alpha),
            Dial("k", "Neighbours K", "How many of the nearest by D the decoder sees.", *NEIGHBORS, asked.neighbors),
        ),
        key="dials",
        on_release=lambda values: turn_dials(st.query_params, values),
    )  # fmt: skip
    variant = _choice(
        "Variant", "variant", _DEFAULT.variant, "Where paper and released code differ, whose way is followed."
    )
    strategy = _choice(
        "Patches dropped", "drop", _DEFAULT.prune.strategy, "Which patches a dropping block gives up (Table 5)."
    )
    with st.expander("Advanced"):
        solver = _choice(
            "Transport solver", "solver", _DEFAULT.transport.solver, "sinkhorn stops at an L1 marginal error of 0.001."
        )
        epsilon = st.slider(
            "Entropy ε", EPSILON[0], EPSILON[1], _DEFAULT.transport.epsilon, EPSILON[2], format="%.3f", key="epsilon",
            bind="query-params", disabled=solver is Solver.EXACT,
            help="Smaller is nearer to exact transport and takes more iterations.",
        )  # fmt: skip
    return QuerySettings(
        prune=PruneSettings(keep_rate=asked.prune.keep_rate, strategy=strategy),
        transport=TransportSettings(solver=solver, epsilon=round(epsilon, 4)),
        variant=variant,
        alpha=asked.alpha,
        neighbors=min(asked.neighbors, shortlist),
        shortlist=min(_DEFAULT.shortlist, shortlist),
    )


def junk_switch(uses_cameras: bool) -> bool:
    """Whether junk images are shown; a dataset without usable cameras has none."""
    return uses_cameras and st.toggle(
        "Show junk images",
        key="junk",
        bind="query-params",
        help="Same identity and same camera: left out of every score.",
    )


def uploaded() -> Upload | None:
    """An image from the visitor's machine; nothing is decoded here."""
    file = st.file_uploader(
        "Your own image",
        max_upload_size=UPLOAD_MB,
        key="upload",
        help=f"One person, cropped as a detector would, up to {UPLOAD_MB} MB. It is kept in memory only.",
    )
    return None if file is None else Upload(file.name, file.getvalue())


def camera(cameras: int) -> int | None:
    """The camera an upload was taken by, counted from 0; None where it is unknown."""
    return st.selectbox(
        "Its camera", [None, *range(cameras)], format_func=lambda value: "unknown" if value is None else str(value + 1),
        key="camera", help="Unknown uses the mean of the camera embeddings.",
    )  # fmt: skip


def query_name(names: Sequence[str]) -> str:
    """One query by name; typing searches. The thumbnails set the same choice."""
    if st.session_state.get("query") not in names:
        st.session_state.pop("query", None)
    return st.selectbox("Query", names, key="query", bind="query-params")


def identity(values: Sequence[int]) -> int | None:
    """One identity whose queries are offered, or None for all."""
    return st.selectbox(
        "Show identity", sorted(set(values)), index=None, placeholder="all identities", key="identity",
        label_visibility="collapsed",
    )  # fmt: skip


def page_of(count: int, size: int, current: int | None) -> range:
    """Page buttons; returns the positions on the page shown.

    current: position of the chosen query; a new choice turns to its page.
    """
    pages = max(1, -(-count // size))
    first = 1 if current is None else current // size + 1
    # The key names the page of the choice: a choice on another page makes a new widget, which opens there.
    page = st.pagination(pages, default=first, key=f"page-{first}-of-{count}", max_visible_pages=5)
    return range((page - 1) * size, min(count, page * size))


def _choice(label: str, key: str, default: _Choice, explanation: str) -> _Choice:
    options = list(type(default))
    return st.selectbox(
        label, options, index=options.index(default), format_func=plain_name, key=key, bind="query-params",
        help=explanation,
    )  # fmt: skip

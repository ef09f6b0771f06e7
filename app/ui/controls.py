"""Widgets that several pages share. Each function renders widgets and returns their values.

Sliders write the URL when they are released. Every other widget is bound to the query parameter named after its key.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Literal, TypeVar

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app.components.live_sliders import Slider, live_sliders
from app.components.paint_ack import paint_ack
from app.messages import show_warnings
from app.session import given_patches, link_checks, pending_release
from app.session.view import ALPHA, EPSILON, GAMMA, NEIGHBORS, plain_name, write_slider_params
from app.session.workspace_choice import default_variant
from fpc_core.config import (
    MODEL_STRATEGIES,
    DropStrategy,
    PruneSettings,
    QuerySettings,
    Solver,
    TransportSettings,
    Variant,
)

_DEFAULT = QuerySettings()
_RESET = "Reset to the paper's values"
_URL: Literal["query-params"] = "query-params"
_Choice = TypeVar("_Choice", Variant, DropStrategy, Solver)


def query_settings(
    requested: QuerySettings, shortlist: int, fragment: str | None = None, panel: DeltaGenerator | None = None
) -> QuerySettings:
    """Render the sliders and choices for the settings of a query, and return the settings.

    Args:
        requested: Settings from the URL.
        shortlist: Size of the shortlist.
        fragment: Key of the fragment that reruns at once when a slider is released. It must end with
            `rerun_page_after_paint`.
        panel: Container for the sliders; by default they are above the choices.
    """

    max_k = max_neighbors(shortlist)

    def on_release(released: Mapping[str, float]) -> None:
        # A small gallery limits K only while it is searched. If K was not moved, the URL keeps its larger value.
        moved = released["k"] != min(requested.neighbors, max_k)
        values = {**released, "k": released["k"] if moved else requested.neighbors}
        write_slider_params(st.query_params, values)
        if fragment:
            pending_release.rerun_fragment_for_release(fragment, values)

    with panel or nullcontext():
        _render_sliders(requested, max_k, on_release, compact=panel is not None)
    settings = with_slider_values(replace(method_settings(), shortlist=shortlist, neighbors=1), requested)
    default = replace(
        _DEFAULT, variant=default_variant(), shortlist=shortlist, neighbors=min(_DEFAULT.neighbors, max_k)
    )

    def reset() -> None:
        set_side_widgets("", default, shortlist, ("variant", "drop", "solver", "epsilon"))
        pending_release.clear_pending()
        values = {"gamma": default.prune.keep_rate, "alpha": default.alpha, "k": _DEFAULT.neighbors}
        write_slider_params(st.query_params, values)
        given_patches.forget()

    st.button(_RESET, icon=":material/restart_alt:", key="reset", on_click=reset, disabled=settings == default)
    return settings


def _render_sliders(
    requested: QuerySettings, max_k: int, on_release: Callable[[Mapping[str, float]], None], *, compact: bool
) -> None:
    live_sliders(
        (
            Slider(
                "gamma",
                "Keep rate γ",
                "Fraction of patches kept at each of the three pruning layers. 1.0 turns pruning off (plain "
                "ViT). The paper uses 0.8.",
                *GAMMA,
                requested.prune.keep_rate,
                _DEFAULT.prune.keep_rate,
            ),
            Slider(
                "alpha",
                "Patch-matching weight α",
                "Weight of patch matching (EMD) in the distance D. 0 uses only the whole-image cosine, 1 only "
                "EMD. D = (1 − α) · D_cos + α · D_EMD (Eq. 10). The paper uses 0.4.",
                *ALPHA,
                requested.alpha,
                _DEFAULT.alpha,
            ),
            Slider(
                "k",
                "Neighbours K",
                "Number of top-ranked gallery images passed to the decoder. The paper uses 10.",
                NEIGHBORS[0],
                max_k,
                NEIGHBORS[2],
                min(requested.neighbors, max_k),
                min(_DEFAULT.neighbors, max_k),
            ),
        ),
        key="sliders",
        on_release=on_release,
        compact=compact,
    )


def with_slider_values(settings: QuerySettings, requested: QuerySettings) -> QuerySettings:
    """Return settings with keep rate, alpha, K and patches dropped by hand from the URL.

    Args:
        settings: Settings from the other widgets.
        requested: Settings in the URL.
    """
    at_rate = with_given_patches(settings.with_keep_rate(requested.prune.keep_rate), requested)
    return replace(at_rate, alpha=requested.alpha, neighbors=min(requested.neighbors, settings.shortlist))


def with_given_patches(settings: QuerySettings, requested: QuerySettings) -> QuerySettings:
    """Return settings with the patches that the visitor drops by hand, if there are any in the URL.

    Args:
        settings: Settings to change.
        requested: Settings in the URL.
    """
    model = settings.prune.of_model
    if requested.prune.strategy is not DropStrategy.GIVEN:
        return replace(settings, prune=model)
    return replace(settings, prune=model.with_given(requested.prune.given))


def rerun_page_after_paint() -> None:
    """Rerun the whole page once the browser has painted the result of a pending slider release in this fragment.

    Do nothing without a pending release. Call it at the end of the fragment: if the page were rerun earlier, its
    messages would replace those of the fragment in Streamlit's queue.
    """
    if (release := pending_release.pending()) is not None:
        paint_ack(release.number, key="paint-ack", on_painted=pending_release.on_answer_painted)


def side_settings(prefix: str, default: QuerySettings, shortlist: int, *, by_hand: bool = False) -> QuerySettings:
    """Render all settings of one side of a comparison, and return them.

    Args:
        prefix: Prefix of the query parameters of this side.
        default: Initial settings, which are not written to the URL.
        shortlist: Size of the shortlist.
        by_hand: Whether patches dropped by hand replace the model's choice in these settings, until they are reset.
    """
    max_k = max_neighbors(shortlist)
    for name, low, high in (("gamma", *GAMMA[:2]), ("alpha", *ALPHA[:2]), ("k", 1, max_k)):
        show_warnings(link_checks.check_range(f"{prefix}{name}", low, high))
    paper = replace(_DEFAULT, variant=default_variant(), neighbors=min(default.neighbors, max_k), shortlist=shortlist)
    gamma = st.slider(
        f"Keep rate γ · paper {paper.prune.keep_rate:g}",
        *GAMMA[:2],
        default.prune.keep_rate,
        GAMMA[2],
        key=f"{prefix}gamma",
        bind=_URL,
    )
    alpha = st.slider(
        f"Patch-matching weight α · paper {paper.alpha:g}",
        *ALPHA[:2],
        default.alpha,
        ALPHA[2],
        key=f"{prefix}alpha",
        bind=_URL,
    )
    neighbors = max_k
    if max_k > 1:
        label = f"Neighbours K · paper {default.neighbors}"
        neighbors = st.slider(label, 1, max_k, paper.neighbors, key=f"{prefix}k", bind=_URL)
    settings = replace(
        method_settings(prefix).with_keep_rate(round(gamma, 4)),
        alpha=round(alpha, 4),
        neighbors=neighbors,
        shortlist=shortlist,
    )

    def reset() -> None:
        set_side_widgets(prefix, paper, shortlist)
        if by_hand:
            given_patches.forget()

    st.button(
        _RESET,
        icon=":material/restart_alt:",
        key=f"{prefix}reset",
        on_click=reset,
        disabled=settings == paper and not (by_hand and given_patches.PARAM in st.query_params),
    )
    return settings


def max_neighbors(shortlist: int) -> int:
    """Return the maximum K for a shortlist of this size."""
    return min(int(NEIGHBORS[1]), shortlist)


def set_side_widgets(
    prefix: str, settings: QuerySettings, shortlist: int, names: Collection[str] | None = None
) -> None:
    """Set the widgets of `side_settings`. Call it in a callback.

    Args:
        prefix: Prefix of the query parameters.
        settings: New settings.
        shortlist: Size of the shortlist, which limits K.
        names: Query parameters, without prefix, of the widgets to set; all by default.
    """
    neighbors = min(settings.neighbors, max_neighbors(shortlist))
    for name, value in {
        "gamma": settings.prune.keep_rate,
        "alpha": settings.alpha,
        "k": neighbors,
        "variant": settings.variant,
        "drop": settings.prune.of_model.strategy,
        "solver": settings.transport.solver,
        "epsilon": settings.transport.epsilon,
    }.items():
        if names is None or name in names:
            st.session_state[f"{prefix}{name}"] = value


def method_settings(prefix: str = "", default: QuerySettings | None = None) -> QuerySettings:
    """Render the settings without keep rate, alpha and K, which have their defaults in the result.

    Args:
        prefix: Prefix of the query parameters. Without one, `read_view` checks the parameters.
        default: Initial settings; by default those of `QuerySettings` with the visitor's default variant.
    """
    if prefix:
        for name, kind in (("variant", Variant), ("drop", MODEL_STRATEGIES), ("solver", Solver)):
            show_warnings(link_checks.check_choice(f"{prefix}{name}", map(plain_name, kind)))
        show_warnings(link_checks.check_range(f"{prefix}epsilon", *EPSILON[:2]))
    default = default or replace(_DEFAULT, variant=default_variant())
    variant = _choice(
        "Variant",
        f"{prefix}variant",
        default.variant,
        "The paper and the authors' code differ in places. Choose which one to follow.",
    )
    strategy = _choice(
        "Patches dropped",
        f"{prefix}drop",
        default.prune.of_model.strategy,
        "Which patches are removed at each pruning layer (Table 5): non-salient (least attended, as in FPC), "
        "salient (most attended) or random.",
    )
    with st.expander("Advanced"):
        solver = _choice(
            "Transport solver",
            f"{prefix}solver",
            default.transport.solver,
            '"sinkhorn" stops once the L1 error of the marginals is below 0.001. "exact" solves the linear programme. '
            '"released" follows the authors\' code.',
        )
        epsilon = st.slider(
            "Entropy ε",
            EPSILON[0],
            EPSILON[1],
            default.transport.epsilon,
            EPSILON[2],
            format="%.3f",
            key=f"{prefix}epsilon",
            bind=_URL,
            disabled=solver is Solver.EXACT,
            help="Smaller values are closer to exact optimal transport but need more iterations.",
        )
    return QuerySettings(
        prune=PruneSettings(strategy=strategy),
        transport=TransportSettings(solver=solver, epsilon=round(epsilon, 4)),
        variant=variant,
    )


def query_name(names: Sequence[str], first_query: str, key: str = "query") -> str:
    """Render the search box for queries, and return the name of the selected one.

    The selection is shared with the thumbnails and with the search boxes of other pages.

    Args:
        names: Names of all queries.
        first_query: Name of the query that is selected on a first visit.
        key: Key of the widget.
    """
    if st.session_state.get(key) not in names:
        st.session_state.pop(key, None)
    last = st.session_state.get("last-query")
    if key not in st.session_state and key not in st.query_params and last in names:
        st.session_state[key] = last
    name = st.selectbox(
        "Query",
        names,
        index=names.index(first_query),
        key=key,
        bind=_URL,
        on_change=given_patches.forget,  # These patches belong to the previous query.
    )
    st.session_state["last-query"] = name
    return name


def comparison_hit(labels: Mapping[int, str], default: int, chosen: int, on_change: Callable[[int], None]) -> int:
    """Render the choice of the hit to compare with the selected one, and return its gallery row.

    Args:
        labels: Displayed names of the hits to offer, by gallery row.
        default: Gallery row of the initial choice.
        chosen: Gallery row of the selected hit.
        on_change: Callback that receives the gallery row of a newly chosen hit.
    """
    key = f"rival-of-{chosen}"
    rows = list(labels)
    if st.session_state.get(key) not in rows:
        st.session_state.pop(key, None)

    def changed() -> None:
        row = st.session_state.get(key)
        # After an interrupted run, Streamlit may report a change with no value, or with a label instead of a row.
        if row is not None and row in labels and row != default:
            on_change(row)

    return st.selectbox(
        "Compare with", rows, index=rows.index(default), format_func=labels.__getitem__, key=key, on_change=changed
    )


def identity(values: Sequence[int], current: int | None, on_change: Callable[[int], None]) -> int | None:
    """Render the filter by person, and return the selected identity, or None for all.

    The filter is removed when the visitor selects a query of another person.

    Args:
        values: Identities of the queries.
        current: Identity of the selected query, or None if it is unknown.
        on_change: Callback that receives the identity that the visitor selects.
    """
    if st.session_state.get("identity") not in (None, current):
        st.session_state["identity"] = None

    def changed() -> None:
        if (chosen := st.session_state.get("identity")) is not None:
            on_change(chosen)

    return st.selectbox(
        "Filter by person ID",
        sorted(set(values)),
        index=None,
        placeholder="all persons",
        key="identity",
        on_change=changed,
        label_visibility="collapsed",
    )


def pagination(count: int, size: int, current: int | None, buttons: int = 5) -> range:
    """Render page buttons, and return the positions of the items on the current page.

    Args:
        count: Number of items.
        size: Number of items per page.
        current: Position of the selected item, whose page opens when it changes; None without one.
        buttons: Number of pages that can be opened directly.
    """
    pages = max(1, -(-count // size))
    start = 1 if current is None else current // size + 1
    # The key contains the page of the selected item. If this page changes, a new widget is created, which opens on it.
    page = st.pagination(pages, default=start, key=f"page-{start}-of-{count}-by-{size}", max_visible_pages=buttons)
    return range((page - 1) * size, min(count, page * size))


def _choice(label: str, key: str, default: _Choice, explanation: str) -> _Choice:
    return st.pills(
        label,
        [choice for choice in type(default) if choice is not DropStrategy.GIVEN],  # GIVEN is chosen on the masks.
        default=default,
        required=True,
        format_func=plain_name,
        key=key,
        bind=_URL,
        help=explanation,
    )

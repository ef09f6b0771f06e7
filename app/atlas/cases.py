"""Sections of the Atlas page: filters, classes, cases, and pair distances with a threshold."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import streamlit as st

from app.components.cards import cards
from app.messages import escape_markdown, show_warning, show_warnings
from app.server import resources
from app.server.downloads import on_demand
from app.session import link_checks
from app.session.figure_basket import Item, add_button
from app.ui import charts, controls
from fpc_core.data.datasets import ImageRecord
from fpc_core.evaluation.failure_analysis.cases import (
    DESCRIPTIONS,
    NAMES,
    Answer,
    Filter,
    Outcome,
    QueryOutcome,
    Stage,
    atlas_table,
    by_precision,
    classify,
    group_by_outcome,
    pruned_away,
)
from fpc_core.evaluation.failure_analysis.task import AtlasTask, Pairs
from fpc_core.evaluation.metrics.verification import ErrorCurve, error_curve, histograms
from fpc_core.explain.cards import Card, MatchLabel, Strip, camera_name, identity_label
from fpc_core.workspace import Workspace

ALL = "all"
PER_PAGE, PER_ROW = 8, 2
FIRST, LAST = "Worst first", "Best first"
ICONS = {
    Outcome.RIGHT: "check_circle",
    Outcome.TRANSPORT: "swap_horiz",
    Outcome.CONSOLIDATION: "healing",
    Outcome.BROKEN: "heart_broken",
    Outcome.WRONG: "cancel",
    Outcome.PRUNED: "content_cut",
}
STAGES = {Stage.COSINE: "by cosine", Stage.DISTANCE: "by D", Stage.CONSOLIDATED: "final"}
DISTANCES = {  # Name of the distance and maximum of its threshold, by stage.
    Stage.COSINE: ("D_cos", 1.0),
    Stage.DISTANCE: ("D = (1 − α) · D_cos + α · D_EMD", 1.0),
    Stage.CONSOLIDATED: ("Euclidean distance after consolidation", 2.0),
}
CasesWithPairs = list[tuple[QueryOutcome, Pairs]]


def filters(task: AtlasTask) -> Filter:
    """Render the filters that the dataset supports, and return the selection."""
    occlusions = [task.occlusions[record.path] for record in task.queries if record.path in task.occlusions]
    occluders: list[str] = []
    cameras: list[int] = []
    visible = (0, 100)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        if occlusions:
            kinds = sorted({each.kind for each in occlusions})
            show_warnings(link_checks.check_choice("occluder", kinds))
            occluders = st.multiselect(
                "Occluder", kinds, key="occluder", bind="query-params", placeholder="any", width=260, select_all=False
            )
        if task.dataset.uses_cameras:
            known = sorted({record.camera + 1 for record in task.queries})
            show_warnings(link_checks.check_choice("cameras", known))
            cameras = st.multiselect(
                "Camera", known, key="cameras", bind="query-params", placeholder="any", width=200, select_all=False
            )
        if occlusions:
            show_warnings(link_checks.check_range("visible", 0, 100))
            visible = st.slider(
                "Visible share of the person, %", 0, 100, visible, key="visible", bind="query-params", width=260
            )
    low, high = visible
    return Filter(frozenset(occluders), frozenset(camera - 1 for camera in cameras), (low / 100, high / 100))


def chosen_class(cases: Sequence[QueryOutcome], pruned_below: float) -> str:
    """Render the classes with their counts, and return the selected one: the value of an `Outcome`, or `ALL`.

    Args:
        cases: Outcomes of the filtered queries.
        pruned_below: Share of the visible person below which the person counts as pruned, 0 to 1.
    """
    counts = {outcome.value: len(members) for outcome, members in group_by_outcome(cases, pruned_below).items()}
    labels = {ALL: f"All queries **{len(cases)}**"} | {
        outcome.value: f":material/{ICONS[outcome]}: {NAMES[outcome]} **{counts[outcome.value]}**"
        for outcome in Outcome
    }
    requested = st.query_params.get("class", ALL)
    if requested not in labels:
        expected = f"it must be one of {', '.join(labels)}"
        show_warning(link_checks.invalid_value("the class", requested, expected, "Showing all."))
        requested = ALL
    if st.session_state.get("class-pills") is None:  # On a first visit, or if the visitor has deselected the class.
        st.session_state["class-pills"] = requested
    chosen = st.pills(
        "Classes",
        list(labels),
        format_func=labels.__getitem__,
        key="class-pills",
        on_change=_write_class,
        label_visibility="collapsed",
    )
    return chosen or ALL


def _write_class() -> None:
    chosen = st.session_state.get("class-pills") or ALL
    if chosen == ALL:
        st.query_params.pop("class", None)
    else:
        st.query_params["class"] = chosen


def render_class_summary(chosen: str, cases: Sequence[QueryOutcome], task: AtlasTask, pruned_below: float) -> None:
    """Render the meaning of the selected class, and the number of queries in which the person was pruned.

    Args:
        chosen: Value of an `Outcome`, or `ALL`.
        cases: Outcomes of the filtered queries.
        task: Task of the analysis.
        pruned_below: Share of the visible person below which the person counts as pruned, 0 to 1.
    """
    if chosen != ALL:
        st.markdown(f"**{NAMES[Outcome(chosen)]}.** {DESCRIPTIONS[Outcome(chosen)]}")
    share = f"{100 * pruned_below:g} %"
    if not task.masks:
        st.caption('This dataset has no ground-truth masks, so "person was pruned" can\'t be determined.')
        return
    pruned = [case for case in cases if pruned_away(case, pruned_below)]
    if not pruned:
        st.caption(f"In all of these queries, at least {share} of the visible person survives pruning.")
        return
    right = sum(case.consolidated.right for case in pruned)
    st.caption(
        f"In {len(pruned)} of {len(cases)} queries, less than {share} of the visible person survives pruning. "
        f"{right} of them are still correct after consolidation. The class counts those that are correct at no stage."
    )


def grid(
    workspace: Workspace,
    task: AtlasTask,
    cases: Sequence[QueryOutcome],
    pruned_below: float,
    on_pick: Callable[[str, int], None],
) -> None:
    """Render a page of cases, with a choice of their order and a table for download.

    Args:
        workspace: Workspace with the dataset.
        task: Task of the analysis.
        cases: Outcomes of the queries to show.
        pruned_below: Share of the visible person below which the person counts as pruned, 0 to 1.
        on_pick: Callback that receives the query's path and the gallery row of the clicked card, -1 for the query.
    """
    if not cases:
        st.info("No matching queries. Choose another class or relax the filters.", icon=":material/filter_alt_off:")
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        show_warnings(link_checks.check_choice("order", (FIRST, LAST)))
        order = st.segmented_control(
            "Order",
            (FIRST, LAST),
            default=FIRST,
            required=True,
            key="order",
            bind="query-params",
            label_visibility="collapsed",
        )
        st.download_button(
            f"Table of these {len(cases)} (CSV)",
            on_demand(("atlas", id(cases)), lambda: table(task, cases, pruned_below)),
            "atlas.csv",
            "text/csv",
            icon=":material/download:",
            key="csv",
        )
    positions = controls.pagination(len(cases), PER_PAGE, None)
    queries = {record.path: record for record in task.queries}
    ordered = by_precision(cases, best_first=order == LAST)
    st.caption(
        f"Showing {positions.start + 1}–{positions.stop} of {len(cases)}, "
        f"{'lowest' if order == FIRST else 'highest'} AP first. ✓ / ✗: right / wrong person. "
        "A wrong first hit is followed by the best-ranked image of the right person. "
        "Click a card to open it in Explore."
        + (
            ' "visible" = share of the person not occluded; "kept" = share of that left after pruning.'
            if task.masks
            else ""
        )
    )
    for first in range(positions.start, positions.stop, PER_ROW):
        columns = st.columns(PER_ROW, gap="small")
        for column, case in zip(columns, ordered[first : min(first + PER_ROW, positions.stop)], strict=False):
            with column, st.container(border=True, gap="xsmall"):
                _case(workspace, task, case, queries[case.path], pruned_below, on_pick)


def table(task: AtlasTask, cases: Sequence[QueryOutcome], pruned_below: float) -> str:
    """Return a CSV table of the cases.

    Args:
        task: Task of the analysis.
        cases: Outcomes of the queries.
        pruned_below: Share of the visible person below which the person counts as pruned, 0 to 1.
    """
    paths = {row: record.path.as_posix() for row, record in enumerate(task.retriever.memory.records)}
    return atlas_table(by_precision(cases), paths, pruned_below).to_csv(index=False)


def _case(
    workspace: Workspace,
    task: AtlasTask,
    case: QueryOutcome,
    record: ImageRecord,
    pruned_below: float,
    on_pick: Callable[[str, int], None],
) -> None:
    name, records = case.path.as_posix(), task.retriever.memory.records
    rows = {row for answer in case.answers.values() for row in (answer.hit, answer.right_hit)}
    hits = {f"g{row}": resources.thumbnail(workspace, records[row]) for row in rows}
    pictures = hits | {"query": resources.thumbnail(workspace, record)}
    strip = case_strip(case, record, records, NAMES[classify(case, pruned_below)])
    cards([strip], pictures, key=f"case-{name}", width="84px", on_pick=lambda card: on_pick(name, int(card.split()[1])))
    gallery = records[case.consolidated.hit].path.as_posix()
    add_button(Item(name), task.settings, gallery=gallery, key=f"-{name}")


def case_strip(case: QueryOutcome, record: ImageRecord, records: Sequence[ImageRecord], outcome: str) -> Strip:
    """Return a strip with the query and the first hit of every stage. A wrong hit is followed by the first true match.

    A card's id consists of a word and the gallery row, which is -1 for the query.

    Args:
        case: Outcome of the query.
        record: Record of the query.
        records: Records of the gallery memory.
        outcome: Name of the outcome, shown beside the title.
    """
    visibility = [f"{100 * case.visible:.0f}% visible"] if case.visible is not None else []
    if case.survived is not None:
        visibility.append(f"{100 * case.survived:.0f}% kept")
    lines = (
        f"person {record.person or record.identity}",
        f"camera {camera_name(case.camera)}",
        *([case.occluder] if case.occluder else []),
        *visibility,
    )
    strip_cards = [Card("query -1", "query", "query", lines, alt=f"query, {identity_label(record)}")]
    for stage, answer in case.answers.items():
        strip_cards.append(_hit_card(stage, answer.hit, records[answer.hit], answer, answer.right, 1))
        if not answer.right:
            strip_cards.append(
                _hit_card(stage, answer.right_hit, records[answer.right_hit], answer, True, answer.first_match)
            )
    return Strip(case.path.as_posix(), case.path.stem, tuple(strip_cards), outcome)


def _hit_card(stage: Stage, row: int, image: ImageRecord, answer: Answer, right: bool, rank: int) -> Card:
    """Return the card of the first hit of a stage, or of its first true match.

    Args:
        stage: Stage of the search.
        row: Gallery row of the image.
        image: Record of the image.
        answer: Result of the stage.
        right: Whether the image shows the right person.
        rank: Rank of the image; 1 for the first hit.
    """
    title, word = (STAGES[stage], stage.value) if rank == 1 else ("right person", f"{stage.value}-match")
    lines = (
        f"rank {rank:,}",
        f"AP {100 * answer.average_precision:.1f}" if rank == 1 else STAGES[stage],
        f"person {image.person or image.identity}",
        f"camera {camera_name(image.camera)}",
    )
    tone = MatchLabel.MATCH if right else MatchLabel.OTHER
    alt = f"{'right' if right else 'wrong'} person at rank {rank:,} {STAGES[stage]}, {identity_label(image)}"
    return Card(f"{word} {row}", f"g{row}", title, lines, tone, alt=alt)


def distances(cases_with_pairs: CasesWithPairs, movable: bool) -> None:
    """Render histograms of pair distances, and the error rates at a threshold.

    Args:
        cases_with_pairs: Outcomes of the queries, with the distances of their pairs.
        movable: Whether the visitor can move the threshold.
    """
    st.header("Would a single distance threshold work?")
    pairs = Pairs.concatenate([each for _, each in cases_with_pairs])
    if pairs.same.all() or not pairs.same.any():
        st.info(
            "Error rates need both same-person and different-person pairs; only one kind is present.",
            icon=":material/info:",
        )
        return
    offered = [stage.value for stage in Stage]
    show_warnings(link_checks.check_choice("distance", offered))
    chosen = st.segmented_control(
        "Distance", offered, default=Stage.CONSOLIDATED.value, required=True, key="distance", bind="query-params"
    )
    stage = Stage(chosen)
    name, maximum = DISTANCES[stage]
    curve = error_curve(pairs.same, pairs.distance[stage])
    equal = _on_slider(curve, maximum)
    key = f"threshold-{stage.value}"
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        threshold = equal
        if movable:
            show_warnings(link_checks.check_range(key, 0, maximum))
            threshold = st.slider(
                "Threshold", 0.0, maximum, equal, 0.001, "%.3f", key=key, bind="query-params", width=420
            )
            st.button(
                "Set to equal error rate",
                icon=":material/balance:",
                key="equal",
                on_click=_set_state,
                args=(key, equal),
                help="Threshold at which false accepts and false rejects are (nearly) equal.",
            )
    rates = curve.at(threshold)
    for column, (label, value, help_text) in zip(
        st.columns(3),
        (
            ("False accepts", rates.false_accept, "Share of different-person pairs wrongly accepted."),
            ("False rejects", rates.false_reject, "Share of same-person pairs wrongly rejected."),
            ("Equal error rate", curve.equal_error, "Both rates where they are equal, independent of the threshold."),
        ),
        strict=True,
    ):
        column.metric(label, f"{100 * value:.1f} %", help=help_text)
    edges, same, other = histograms(pairs.same, pairs.distance[stage])
    st.plotly_chart(
        charts.pairs_figure(edges, same, other, threshold, name),
        config={"displayModeBar": False},
        key="pairs-chart",
        alt=f"Histograms of {name} for same-person and different-person pairs, with the threshold {threshold:.3f}",
    )
    count = int(pairs.same.sum())
    st.caption(
        escape_markdown(
            f"Pairs: the {len(cases_with_pairs):,} queries above × their shortlisted images, without same-camera "
            f"images ({count:,} same-person, {len(pairs.same) - count:,} different). Matches outside the shortlist "
            "aren't counted because D is only computed for the shortlist. A pair is accepted if its distance "
            "is at most the threshold.",
            600,
        )
    )


def _on_slider(curve: ErrorCurve, maximum: float) -> float:
    """Return the slider step at which both error rates are nearest to each other.

    Args:
        curve: Error rates by threshold.
        maximum: Maximum of the slider.
    """
    low = min(math.floor(1000 * curve.equal.threshold) / 1000, maximum)
    steps = [curve.at(step) for step in (low, min(round(low + 0.001, 3), maximum))]
    return min(steps, key=lambda rates: abs(rates.false_accept - rates.false_reject)).threshold


def _set_state(key: str, value: float) -> None:
    st.session_state[key] = value

"""Sections of the Lab that search with many occluded images: curves of growing occlusion, and a sensitivity map."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st

from app.components.sensitivity_map import sensitivity_map
from app.lab.editor import cut_outs
from app.messages import show_warning
from app.server import resources
from app.server.background_job import JobStatus
from app.server.downloads import on_demand
from app.server.occlusion_job import OcclusionJob
from app.server.search import Query
from app.session.visitor import current_visitor
from app.ui import charts, progress
from fpc_core.config import KEEP_RATES, QuerySettings
from fpc_core.data.browser_encoding import data_uri
from fpc_core.data.occluders import Scene
from fpc_core.evaluation.occlusion.scenarios import (
    GrowthDirection,
    box_of,
    breakdown_share,
    covered_shares,
    edge_occluders,
    growing,
    occlusion_table,
    person_pixels,
)
from fpc_core.evaluation.occlusion.sensitivity_map import Effect, Sliding, effects
from fpc_core.evaluation.occlusion.study import NOT_RANKED, RANKINGS, OcclusionTask, Relevance
from fpc_core.io.dataclass_json import RecipeError
from fpc_core.workspace import Workspace

GROWTHS = {
    GrowthDirection.OWN: "my occluders, growing",
    GrowthDirection.BELOW: "curtain from the bottom",
    GrowthDirection.ABOVE: "curtain from the top",
    GrowthDirection.LEFT: "curtain from the left",
    GrowthDirection.RIGHT: "curtain from the right",
}
EFFECTS = {
    Effect.FINAL_DISTANCE: "distance after consolidation",
    Effect.DISTANCE: "D",
    Effect.RANK: "rank after consolidation",
}


def curves(workspace: Workspace, query: Query, relevance: Relevance, scene: Scene, settings: QuerySettings) -> None:
    """Render the rank and distances of the true match under growing occlusion, for several keep rates.

    Args:
        workspace: Workspace of the query.
        query: Query without occluders.
        relevance: Which gallery images are right, wrong or junk.
        scene: Visitor's occluders.
        settings: Query settings.
    """
    st.header("How much can be covered before the match is lost?")
    offered = [each for each in GROWTHS if scene.occluders or each is not GrowthDirection.OWN]
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        growth = st.selectbox("Occlusion", offered, format_func=GROWTHS.__getitem__, key="growth", width=220)
        rates = st.pills(
            "Keep rates γ",
            KEEP_RATES,
            selection_mode="multi",
            default=(1.0, 0.8, 0.5),
            format_func="{:g}".format,
            key="curve-rates",
        )
        steps = st.segmented_control("Steps", (10, 20, 40), default=20, required=True, key="curve-steps")
    if not rates:
        st.info("Choose at least one keep rate.", icon=":material/tune:")
        return
    mask = resources.masks(workspace).get(Path(query.name))
    person = person_pixels(mask, query.image.shape[:2])
    scenes = growing(scene, steps) if growth is GrowthDirection.OWN else edge_occluders(growth, box_of(person), steps)
    keep_rates = tuple(sorted(rates, reverse=True))
    job = _occlusion_job(workspace, query, relevance, scenes, settings, keep_rates)
    if job is None:
        return
    shares = covered_shares(scenes, person, job.task.pictures)
    of = f"{len(scenes)} steps × {len(rates)} keep rate{'' if len(rates) == 1 else 's'}"

    def live() -> None:
        current = job.status()
        _progress(job, current, of, "curves")
        if current.done:
            covered_area = "the person’s pixels (ground-truth mask)" if mask is not None else "the image’s pixels"
            _curve_charts(job, current, shares, settings, covered_area)

    progress.poll_until_done(job, live)


def _curve_charts(
    job: OcclusionJob, status: JobStatus, shares: np.ndarray, settings: QuerySettings, covered_area: str
) -> None:
    rates, known = job.task.keep_rates, status.known
    ranking = st.segmented_control("Ranking", RANKINGS, default=RANKINGS[-1], required=True, key="curve-ranking")
    index = RANKINGS.index(ranking)
    ranks = np.where(known.known & (known.rank[..., index] != NOT_RANKED), known.rank[..., index], np.nan)
    lost = [
        breakdown_share(shares, margin) if known_steps.all() else None
        for margin, known_steps in zip(known.margin[..., index], known.known, strict=True)
    ]
    chart_config = {"displayModeBar": False}
    left, right = st.columns([3, 1], gap="medium")
    left.plotly_chart(
        charts.occlusion_rank_figure(shares, ranks, lost, rates),
        config=chart_config,
        key="curve-ranks",
        alt="Rank of the first correct match versus the covered share",
    )
    rows = [
        _lost_row(rate, known_steps.all(), share)
        for rate, known_steps, share in zip(rates, known.known, lost, strict=True)
    ]
    right.table(pd.DataFrame(rows).set_index("keep rate γ"))
    parts = zip(st.columns(2, gap="medium"), ("D_cos", "D_EMD"), strict=True)
    for part, (column, name) in enumerate(parts):
        with column:
            figure = charts.occlusion_part_figure(
                shares, known.match_parts[..., part], known.wrong_parts[..., part], rates, name
            )
            st.plotly_chart(
                figure,
                config=chart_config,
                key=f"curve-{name}",
                alt=f"{name} of the best correct match and the best wrong hit",
            )
    st.caption(
        f"Covered: share of {covered_area} · solid: nearest correct match by D (α {settings.alpha:g}) · dotted: "
        "nearest wrong hit · dashed: where rank 1 is lost (interpolated)."
    )
    st.download_button(
        "Curves as CSV",
        on_demand(("curves", id(known)), lambda: occlusion_table(job.task, known, shares).to_csv(index=False)),
        "occlusion.csv",
        "text/csv",
        icon=":material/download:",
        key="curves-csv",
    )


def _lost_row(rate: float, known: bool, share: float | None) -> dict[str, str]:
    if not known:
        text = "…"
    elif share is None:
        text = "never"
    else:
        text = "from the start" if share == 0.0 else f"at {share:.1%} covered"
    return {"keep rate γ": f"{rate:g}", "match lost": text}


def sliding_map(
    workspace: Workspace, query: Query, relevance: Relevance, scene: Scene, settings: QuerySettings
) -> None:
    """Render a map that shows how a grey square at each position affects the true match.

    Args:
        workspace: Workspace of the query.
        query: Query without occluders.
        relevance: Which gallery images are right, wrong or junk.
        scene: Visitor's occluders, which can be included.
        settings: Query settings.
    """
    st.header("Which image region matters most?")
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        size = st.segmented_control("Square size (patches)", (1, 2, 3, 4, 6), default=3, required=True, key="spot-size")
        step = st.segmented_control("Step (patches)", (1, 2), default=1, required=True, key="spot-step")
        on_top = st.toggle("Include my occluders", key="spot-scene", disabled=not scene.occluders)
    sliding, config = Sliding(size, step), workspace.retriever.model.config
    scenes = sliding.scenes(config, scene if on_top else Scene())
    job = _occlusion_job(workspace, query, relevance, scenes, settings, (settings.prune.keep_rate,))
    if job is None:
        return
    rows, columns = sliding.grid(config)
    image = data_uri(query.image)

    def live() -> None:
        current = job.status()
        _progress(job, current, f"{rows} × {columns} positions + the original", "map")
        if current.done > 1:
            effect = st.segmented_control(
                "Measure",
                list(EFFECTS),
                default=Effect.FINAL_DISTANCE,
                required=True,
                key="spot-effect",
                format_func=EFFECTS.__getitem__,
            )
            sensitivity_map(
                effects(current.known, (rows, columns), effect),
                image,
                sliding,
                config,
                EFFECTS[effect],
                whole=effect is Effect.RANK,
                key="sensitivity-map",
            )
            st.caption(
                "Effect of covering each position on the first correct match. Orange: covering it hurts. "
                "Purple: covering it helps."
            )

    progress.poll_until_done(job, live)


def _occlusion_job(
    workspace: Workspace,
    query: Query,
    relevance: Relevance,
    scenes: tuple[Scene, ...],
    settings: QuerySettings,
    keep_rates: tuple[float, ...],
) -> OcclusionJob | None:
    """Return the job that searches with all scenes. If a scene is invalid, show a message and return None.

    Equal requests share one job.

    Args:
        workspace: Workspace of the query.
        query: Query without occluders.
        relevance: Which gallery images are right, wrong or junk.
        scenes: Occluders of each search.
        settings: Query settings.
        keep_rates: Keep rates with which every scene is searched.
    """
    key_parts = (query.digest, relevance.right.tobytes(), relevance.junk.tobytes(), scenes, settings, keep_rates)
    camera = query.subject.camera if workspace.dataset.uses_cameras else None

    def task() -> OcclusionTask:
        images = cut_outs(workspace, *scenes)
        retriever = workspace.retriever_for(query.subject.path)
        return OcclusionTask(retriever, query.image, camera, relevance, scenes, settings, keep_rates, images)

    try:
        return resources.occlusion_job(hashlib.sha256(repr(key_parts).encode()).hexdigest(), task)
    except RecipeError as error:
        show_warning(str(error))
        return None


def _progress(job: OcclusionJob, status: JobStatus, of: str, key: str) -> None:
    progress.render_progress(job, status, f"{current_visitor()} {key}", "searches", of, key=f"{key}-")

"""Sections of the Lab that show the scene: editor, masks, and rank of the first true match."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import streamlit as st

from app.components.live_payload import survived
from app.components.masks import masks
from app.components.occluder import image_key, occluder
from app.messages import show_warning
from app.sections import by_hand
from app.server import resources, search
from app.server.search import Query
from app.session import given_patches, lab_scene
from app.session.view import write_slider_params
from app.ui.page_frame import report_errors
from fpc_core.config import PruneSettings, QuerySettings
from fpc_core.data import occluder_rendering
from fpc_core.data.browser_encoding import data_uri
from fpc_core.data.ground_truth import BACKGROUND, OCCLUDER
from fpc_core.data.match_rule import MatchRule
from fpc_core.data.occluder_rendering import coverage, paint
from fpc_core.data.occluders import CutOut, Outline, Scene
from fpc_core.explain.cards import MatchLabel, match_label
from fpc_core.explain.patch_contents import drop_shares, patch_areas
from fpc_core.io.dataclass_json import RecipeError
from fpc_core.results import Encoding, QueryTrace
from fpc_core.runtime.threads import limit_threads_on_small_machines
from fpc_core.workspace import Workspace

PREFIX = "l_"  # Prefix that distinguishes query parameters of this page from those of Explore.
PROBLEM = "lab-problem"  # Session-state key of a message that the next run shows.
_PAINTED = "lab-painted"  # Session-state key, set when the visitor has changed which patches are dropped by hand.
CLEAN, OCCLUDED = "clean", "occluded"


def with_occluders(workspace: Workspace, query: Query, scene: Scene) -> Query:
    """Return the query with the scene painted on its image.

    Args:
        workspace: Workspace with the gallery of the cut-outs.
        query: Query without occluders.
        scene: Occluders to paint.

    Raises:
        RecipeError: A cut-out of the scene is not in the gallery.
    """
    return replace(query, image=paint(query.image, scene, cut_outs(workspace, scene)))


def cut_outs(workspace: Workspace, *scenes: Scene) -> dict[tuple[str, Outline], np.ndarray]:
    """Return the cut-outs that `paint` needs for some scenes.

    Args:
        workspace: Workspace with the gallery of the cut-outs.
        scenes: Scenes to paint.

    Raises:
        RecipeError: A scene uses an image that is not in the gallery.
    """
    return occluder_rendering.cut_outs(
        scenes,
        workspace.retriever.memory.records,
        lambda record, kind: resources.cut_out_image(workspace, record, kind),
    )


def encode_once(workspace: Workspace, query: Query, prune: PruneSettings) -> Encoding:
    """Encode a query without caching the result. Use it for images that rarely recur, such as those during a drag.

    Args:
        workspace: Workspace of the query.
        query: Query image.
        prune: Pruning settings.
    """
    with limit_threads_on_small_machines():
        image, cameras = search.model_input(workspace, query)
        state = search.run_in_model_queue(lambda: workspace.retriever.prepare(image, cameras, prune.blocks[0]))
        return search.run_in_model_queue(lambda: workspace.retriever.encode(state, prune))


def on_editor_event(event: Mapping[str, Any]) -> None:
    """Store the scene that the editor sends, or a message if it is invalid."""
    try:
        lab_scene.on_editor_event(event)
    except RecipeError as error:
        st.session_state[PROBLEM] = str(error)


def _on_paint(given: str) -> None:
    """Store the patches that the visitor drops by hand, and rerun the whole page."""
    write_slider_params(st.query_params, {given_patches.PARAM: given})
    st.session_state[_PAINTED] = True


def show_pending_warning() -> None:
    """Show and delete the message that a callback has stored since the last run."""
    text = st.session_state.pop(PROBLEM, "")
    if text:
        show_warning(text)


@st.fragment
@report_errors("-editor")
def editor(
    workspace: Workspace,
    query: Query,
    settings: QuerySettings,
    nearest: int,
    ranks: Mapping[str, tuple[int | None, int | None]],
) -> None:
    """Render the editor and the masks. During a drag, only this fragment reruns.

    Args:
        workspace: Workspace of the query.
        query: Query without occluders.
        settings: Query settings.
        nearest: Gallery row of the image that the Person button pastes by default.
        ranks: Result of `first_matches`; empty if the person is unknown.
    """
    if lab_scene.pop_released() or st.session_state.pop(_PAINTED, False):
        st.rerun()
    show_pending_warning()
    left, right = st.columns([2, 3], gap="large")
    current = lab_scene.current_scene()
    scene, config = current.shown, workspace.retriever.model.config
    with left:
        st.header("Edit the occluders")
        editor_container = st.container()
        person = _cut_out_of(workspace, query, nearest)
        shown_cut_outs = (*scene.cut_outs, *current.scene.cut_outs, person)
        cut_out_images = cut_outs(workspace, scene, current.scene, Scene((person,)))
        with editor_container:
            occluder(
                data_uri(query.image),
                config.image_size,
                current.scene,
                current.serial,
                {
                    image_key(each): data_uri(cut_out_images[each.path, each.outline], lossless=True)
                    for each in shown_cut_outs
                },
                person,
                key="occluder",
                on_scene=on_editor_event,
            )
    with right:
        st.header("Which patches are dropped now?")
        shown = replace(query, image=paint(query.image, scene, cut_out_images))
        if current.dragged_scene is None:
            encoding = search.search(workspace, shown, settings).trace.encoding
        else:
            encoding = encode_once(workspace, shown, settings.prune)
        covered = coverage(scene, config.image_size, cut_out_images)
        masks(
            data_uri(shown.image),
            config,
            settings.prune.blocks,
            key="lab-masks",
            survived=survived(encoding),
            notes=_on_occluder(encoding, covered, workspace) if scene.occluders else (),
            painter=by_hand.painter(workspace, shown, settings, _on_paint),
        )
        st.caption('Marked = dropped. "On occluder" = share of the dropped area that is on the occluder.')
        if ranks:
            _render_ranks(ranks, settings)
        else:
            st.caption("The person in your image is unknown, so hits aren't marked right or wrong.")


def _on_occluder(encoding: Encoding, covered: np.ndarray, workspace: Workspace) -> list[str]:
    """Return the notes of the masks: the covered share, and the share of each block's dropped area on occluders.

    Args:
        encoding: Encoding of the occluded query.
        covered: (H, W) bool, True for pixels that an occluder covers.
        workspace: Workspace of the query.
    """
    mask = np.where(covered, OCCLUDER, BACKGROUND).astype(np.uint8)
    person, occluder_area = patch_areas(mask, workspace.retriever.model.config)
    fell = [stage.of_dropped.occluder for stage in drop_shares(encoding, person, occluder_area)]
    return [f"{covered.mean():.0%} covered", *("" if np.isnan(share) else f"{share:.0%} on occluder" for share in fell)]


def _cut_out_of(workspace: Workspace, query: Query, nearest: int) -> CutOut:
    """Render the choice of the person to paste, and return the cut-out; gallery row `nearest` is the default."""
    records = workspace.retriever.memory.records
    default = records[nearest]
    with st.popover("Choose person to paste", icon=":material/person_add:"):
        everyone = {record.identity for record in records}
        identities = sorted(everyone - {query.subject.identity} or everyone)
        first = identities.index(default.identity) if default.identity in identities else 0
        names = {record.identity: record.person or str(record.identity) for record in records}
        identity = st.selectbox(
            "Person ID", identities, index=first, key=f"paste-identity-{query.name}", format_func=names.__getitem__
        )
        images = [record.path.as_posix() for record in records if record.identity == identity]
        named = default.path.as_posix()
        first = images.index(named) if named in images else 0
        path = st.selectbox("Image", images, index=first, key=f"paste-image-{query.name}-{identity}")
        outline = st.segmented_control(
            "Cut out",
            list(Outline),
            default=Outline.PERSON,
            required=True,
            key="paste-outline",
            help='"person" cuts along the ground-truth mask if there is one, otherwise along a soft ellipse.',
        )
    return CutOut(path=path, outline=outline)


def first_matches(clean: QueryTrace, occluded: QueryTrace, rule: MatchRule) -> dict[str, tuple[int | None, int | None]]:
    """Return the 1-based ranks of the first true match without and with occluders, by name of the ranking.

    Args:
        clean: Results without occluders.
        occluded: Results with occluders.
        rule: Rule that decides which gallery images are matches.
    """
    kinds = {"by cosine": "by_cosine", "by D": "by_distance", "consolidated": "final"}
    return {
        name: (rule.first_match(getattr(clean, kind)), rule.first_match(getattr(occluded, kind)))
        for name, kind in kinds.items()
    }


def _render_ranks(ranks: Mapping[str, tuple[int | None, int | None]], settings: QuerySettings) -> None:
    st.markdown("**Rank of first correct match**")
    for column, (name, (before, after)) in zip(st.columns(len(ranks)), ranks.items(), strict=True):
        beyond = f"> {settings.shortlist}" if name != "consolidated" else "–"
        change = None if before is None or after is None else after - before
        column.metric(
            name,
            beyond if after is None else after,
            change,
            delta_color="inverse",
            help=f"Without occluders: {beyond if before is None else before}.",
        )
    if lab_scene.current_scene().dragged_scene is not None:
        st.caption("Release to update the ranks.")


def nearest_wrong(workspace: Workspace, query: Query, trace: QueryTrace) -> int:
    """Return the gallery row of the nearest wrong hit by D, or 0 if there is none.

    Args:
        workspace: Workspace of the query.
        query: Query image.
        trace: Results of the search.
    """
    records, uses_cameras = workspace.retriever.memory.records, workspace.dataset.excludes_own_camera
    wrong = (MatchLabel.OTHER, MatchLabel.NEUTRAL)
    rows = trace.by_distance.indices.tolist()
    return next((row for row in rows if match_label(records[row], query.subject, uses_cameras) in wrong), 0)

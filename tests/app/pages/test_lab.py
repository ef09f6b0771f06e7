"""The Lab page without a browser: scenes from links and files, results, curves and map."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from app.session import lab_scene
from app.session.figure_basket import Item
from fpc_core.config import QuerySettings, Variant
from fpc_core.data.images import resize_image, to_tensor
from fpc_core.data.occluder_rendering import paint
from fpc_core.data.occluders import CutOut, Outline, Rectangle, Scene, SceneRecipe
from fpc_core.evaluation.occlusion import study
from fpc_core.evaluation.occlusion.sensitivity_map import Effect
from fpc_core.explain.masks import survivors
from fpc_core.figures.recipe import FigureKind
from fpc_core.model.checkpoint import weights_fingerprint
from fpc_core.workspace import open_workspace
from tests.support.apptest import PAGES, open_page, run_page, sent_to, texts, wait_until_finished

QUERY = "query/0003_c1_f0000002.png"
HALF = Scene((Rectangle(0.5, 0.25, 1.0, 0.5, colour="#00ff00"),))
OUTSIDE = Scene((Rectangle(2.0, 2.0), CutOut(x=-1.5, path="bounding_box_test/0002_c2_f0000001.png")))


@pytest.fixture
def lab(small_world_in_use):
    return visit()


def visit(scene=None):
    """Return the page of a new visitor before the first run."""
    page = open_page(PAGES / "lab.py")
    page.query_params["l_query"] = QUERY
    if scene is not None:
        page.query_params["scene"] = lab_scene.to_link(scene)
    return page


@pytest.fixture(scope="module")
def workspace(small_places):
    return open_workspace(small_places, "cpu")


def shown(page):
    """Return what the page shows: masks, cards of the hits, the transport pair, and the ranks."""
    (masks,), (cards,), (transport,) = (sent_to(page, name) for name in ("masks", "cards", "transport"))
    strips = [strip for strip in cards["strips"] if strip["id"].endswith("occluded")]
    return masks["survived"], strips, transport["pair"], [each.value for each in page.metric]


def search(workspace, scene):
    record = next(each for each in workspace.dataset.query if each.path.as_posix() == QUERY)
    config = workspace.retriever.model.config
    image = paint(resize_image(workspace.dataset.read(record), config.image_size), scene)
    camera = torch.tensor([record.camera])
    return workspace.retriever.search(to_tensor([image], config), QuerySettings(shortlist=32), camera)


def test_the_page_shows_all_sections_and_the_status_line(lab):
    page_text = texts(run_page(lab))
    for question in (
        "Edit the occluders",
        "Which patches are dropped now?",
        "How do the results differ?",
        "Patch matching (optimal transport)",
        "How much can be covered before the match is lost?",
        "Which image region matters most?",
    ):
        assert question in page_text
    assert ":orange-badge[SYNTHETIC]" in page_text
    assert [each.delta for each in lab.metric] == ["0", "0", "0"]


def test_an_occluder_outside_the_image_changes_nothing(lab):
    before = shown(run_page(lab))
    other = run_page(visit(OUTSIDE))
    assert shown(other) == before
    (editor,) = sent_to(other, "occluder")
    assert len(editor["occluders"]) == 2


def test_masks_and_ranks_equal_a_search_for_the_painted_image(small_world_in_use, workspace):
    lab = run_page(visit(HALF))
    trace = search(workspace, HALF)
    (masks,) = sent_to(lab, "masks")
    alive = np.stack(survivors(trace.encoding)).sum(axis=0).ravel().tolist()
    assert masks["survived"] == alive
    assert masks["notes"][0] == "50% covered"
    strips = {strip["id"]: strip["cards"] for strip in sent_to(lab, "cards")[0]["strips"]}
    junk = {row for row, record in enumerate(workspace.dataset.gallery) if (record.identity, record.camera) == (3, 0)}
    expected = [str(row) for row in trace.final.indices.tolist() if row not in junk][:10]
    assert [card["id"] for card in strips["final-occluded"]] == expected
    ranks = [row for row in trace.final.indices.tolist() if row not in junk]
    first = 1 + next(at for at, row in enumerate(ranks) if workspace.dataset.gallery[row].identity == 3)
    assert lab.metric[2].value == str(first)


def test_a_scene_file_restores_occluders_query_settings_and_result(lab, workspace):
    settings = QuerySettings(variant=Variant.PAPER, alpha=0.25, neighbors=4, shortlist=32).with_keep_rate(0.6)
    recipe = SceneRecipe(HALF, "query/0005_c1_f0000002.png", settings, weights_fingerprint(workspace.retriever.model))
    seen = []
    for page in (lab, open_page(PAGES / "lab.py")):
        run_page(page).file_uploader(key="lab-recipe").set_value(
            ("scene.json", recipe.to_json().encode(), "application/json")
        )
        run_page(page)
        assert not page.warning
        assert page.selectbox(key="l_query").value == recipe.query
        assert page.slider(key="l_gamma").value == 0.6
        assert page.button_group(key="l_variant").value == Variant.PAPER
        seen.append(shown(page))
    assert seen[0] == seen[1]
    assert lab_scene.from_link(lab.query_params["scene"]) == HALF


def test_a_person_is_pasted_from_the_gallery(small_world_in_use):
    path = "bounding_box_test/0007_c3_f0000001.png"
    lab = run_page(visit(Scene((CutOut(path=path, outline=Outline.BOX),))))
    (editor,) = sent_to(lab, "occluder")
    assert f"{path}|box" in editor["pictures"]
    assert sent_to(lab, "masks")[0]["notes"][0] == "100% covered"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "not valid JSON"),
        (b"\xff", "utf-8"),
        (SceneRecipe(query="query/<b>.png").to_json().encode(), "query/<b>.png' is not in this dataset"),
        (SceneRecipe(Scene((CutOut(path="../secret.png"),))).to_json().encode(), "not in this gallery"),
        (SceneRecipe(settings=QuerySettings().with_keep_rate(0.05)).to_json().encode(), "not supported here"),
        (SceneRecipe(HALF, weights="0" * 64).to_json().encode(), "saved with the weights 000000000000"),
    ],
)
def test_an_unusable_scene_file_shows_a_message(lab, content, message):
    run_page(lab).file_uploader(key="lab-recipe").set_value(("mine.json", content, "application/json"))
    run_page(lab)
    warning_text = lab.warning[0].value
    assert message in warning_text.replace("\\", "")
    assert "<b>" not in warning_text
    assert lab.selectbox(key="l_query").value == QUERY


def test_an_unusable_link_shows_a_message(lab):
    lab.query_params["scene"] = "<b>"
    run_page(lab)
    assert "link's scene cannot be used" in lab.warning[0].value
    missing = run_page(visit(Scene((CutOut(path="gone.png"),))))
    assert "not in this gallery" in missing.warning[0].value.replace("\\", "")
    missing.button(key="empty-scene").click()
    assert "Edit the occluders" in texts(run_page(missing))


def test_curves_state_where_each_keep_rate_loses_the_match(small_world_in_use):
    lab = run_page(visit(HALF))
    lab.segmented_control(key="curve-steps").set_value(10)
    assert "Not started · 0 of 33 searches (11 steps × 3 keep rates)" in texts(run_page(lab))
    assert lab.selectbox(key="growth").value == "own"
    lab.button(key="curves-start").click()
    wait_until_finished(lab, "Done: 33 of 33 searches (11 steps × 3 keep rates)")
    table = lab.table[-1].value
    assert table.index.tolist() == ["1", "0.8", "0.5"]
    assert all("covered" in answer or answer in ("never", "from the start") for answer in table["match lost"])
    assert "Covered: share of the image’s pixels" in texts(lab)


def test_the_finished_map_has_every_position(lab):
    run_page(lab).segmented_control(key="spot-step").set_value(2)
    run_page(lab).button(key="map-start").click()
    wait_until_finished(lab, "Done: 33 of 33 searches (8 × 4 positions + the original)")
    (sent,) = sent_to(lab, "sensitivity_map")
    assert (sent["grid"]["rows"], sent["grid"]["columns"]) == (8, 4)
    assert sent["side"] == 48
    assert not sent["whole"]
    lab.segmented_control(key="spot-effect").set_value(Effect.RANK)
    (sent,) = sent_to(run_page(lab), "sensitivity_map")
    assert sent["whole"]


def test_a_query_without_a_true_match_has_no_curves(lab, monkeypatch):
    monkeypatch.setattr(study, "match_mask", lambda *_: np.zeros(32, bool))
    run_page(lab)
    assert "The curves and the map cannot be computed" in lab.warning[0].value


def test_masks_and_ranked_lists_are_added_to_a_figure_with_the_scene(small_world_in_use):
    lab = visit(HALF)
    run_page(lab).button(key="add-to-figure-hits").click()
    run_page(lab)
    basket = lab.session_state["basket"]
    assert (basket.items, basket.kind) == ((Item(QUERY, HALF),), FigureKind.RANKED_LIST)
    assert lab.button(key="open-figure-hits").label == "Ranked lists added ✓ — open Figures (1)"
    lab.button(key="add-to-figure-masks").click()
    run_page(lab)
    assert lab.session_state["basket"].kind is FigureKind.DROP_PROCESS


def test_hits_of_a_covered_upload_are_not_marked_right_or_wrong(workspace, small_world_in_use):
    buffer = io.BytesIO()
    own = workspace.dataset.read(workspace.dataset.query[5])
    Image.fromarray(own).save(buffer, "PNG")
    lab = visit(HALF)
    run_page(lab).file_uploader(key="upload").set_value(("me.png", buffer.getvalue(), "image/png"))
    run_page(lab)
    assert lab.selectbox(key="l_query").value == "me.png (your image)"
    survived, strips, _, metrics = shown(lab)
    image = paint(resize_image(own, workspace.retriever.model.config.image_size), HALF, {})
    trace = workspace.retriever.search(
        to_tensor([image], workspace.retriever.model.config), QuerySettings(shortlist=32)
    )
    assert survived == np.stack(survivors(trace.encoding)).sum(axis=0).ravel().tolist()
    assert {card["tone"] for strip in strips for card in strip["cards"]} == {"neutral"}
    assert not metrics
    assert "hits aren't marked right or wrong" in texts(lab)
    assert not [button.key for button in lab.button if button.key.startswith("add-to-figure")]
    lab.selectbox(key="l_query").set_value(QUERY)
    assert shown(run_page(lab))[3]

"""Heat maps of the Explore page without a browser, by method and target."""

import base64
import time

import numpy as np
import pytest
import torch

from fpc_core.config import MapMethod, MapSettings, QuerySettings, Variant
from fpc_core.data.images import resize_image, to_tensor
from fpc_core.explain import heatmaps
from fpc_core.explain.heatmaps import decoder_map, encoder_map
from fpc_core.runtime import out_of_memory
from fpc_core.workspace import open_workspace
from tests.support.apptest import ROOT, open_page, open_tab, run_page, run_until, sent_to, texts


@pytest.fixture
def app(small_world_in_use):
    page = open_page(ROOT / "streamlit_app.py")
    page.query_params["tab"] = "Decoder"
    return page


@pytest.fixture(scope="module")
def workspace(small_places):
    return open_workspace(small_places, "cpu")


def computed(app):
    """Return the maps that the browser receives from the background job."""
    for _ in range(100):
        results = [
            sent["result"] for sent in sent_to(run_page(app), "job_result") if sent["name"] == "heat" and sent["result"]
        ]
        if results:
            return results[0]
        time.sleep(0.1)
    raise AssertionError("the maps were never computed")


def grids(part):
    return np.frombuffer(base64.b64decode(part["grids"]), "<f4")


def labels(app):
    """Return the label of every heat map in the tabs Query map and Decoder."""
    found = {}
    for tab in ("Query map", "Decoder"):
        shown = sent_to(open_tab(app, tab), "heat_strip")
        found |= {sent["part"]: sent["strip"]["scale"]["label"] for sent in shown}
    return found


def test_maps_depend_on_method_target_and_chosen_neighbour(app, workspace):
    app.query_params["variant"] = "paper"
    app.query_params["neighbor"] = "5"
    run_page(app).selectbox(key="map").set_value(MapMethod.HIRES_CAM)
    app.selectbox(key="target").set_value("chosen neighbour")
    app.toggle(key="relative").set_value(True)
    parts = computed(app)["parts"]

    config, record = workspace.retriever.model.config, workspace.dataset.query[0]
    image = to_tensor([resize_image(workspace.dataset.read(record), config.image_size)], config)
    state = workspace.retriever.prepare(image, torch.tensor([record.camera]))
    settings = QuerySettings(variant=Variant.PAPER, shortlist=32)
    how = MapSettings(MapMethod.HIRES_CAM, index=5, relative=True)
    decoder = decoder_map(workspace.retriever, workspace.retriever.search(state, settings), how)
    encoder = encoder_map(workspace.retriever, state, settings.prune, how)
    np.testing.assert_allclose(grids(parts["neighbors"]), decoder.neighbor_grids.ravel(), atol=1e-7)
    np.testing.assert_allclose(grids(parts["query"]), decoder.query_grid.ravel(), atol=1e-7)
    np.testing.assert_allclose(grids(parts["encoder"]), encoder.query_grid.ravel(), atol=1e-7)
    assert parts["neighbors"]["top"] == parts["query"]["top"] == pytest.approx(decoder.peak)
    who = "person 2, camera 2"
    assert labels(app) == {
        "neighbors": f"HiResCAM, for the cosine to {who}, difference from the average patch",
        "query": f"HiResCAM, for the cosine to {who}, difference from the average patch",
        "encoder": f"HiResCAM, for 1 − D_cos to {who}, difference from the average patch",
    }


def test_a_training_identity_is_named_with_its_logit(app, workspace):
    run_page(app).selectbox(key="target").set_value("likeliest training identity")
    shown = texts(run_page(app))
    record, config = workspace.dataset.query[0], workspace.retriever.model.config
    image = to_tensor([resize_image(workspace.dataset.read(record), config.image_size)], config)
    trace = workspace.retriever.search(image, QuerySettings(shortlist=32), torch.tensor([record.camera]))
    logits = workspace.retriever.model.rec_classifier.weight.detach().numpy() @ trace.consolidation.feature
    assert f"Training identity {logits.argmax()} of 8 has the largest logit, {logits.max():.2f}" in shown
    assert "who may not be in this gallery" in shown
    app.selectbox(key="map").set_value(MapMethod.ATTENTION)
    assert "Training identity" not in texts(run_page(app))
    assert app.selectbox(key="target").disabled


def test_out_of_memory_for_background_maps_is_reported_once(app, monkeypatch):
    whole = heatmaps.decoder_map

    def short(*args):
        out_of_memory._report("CUDA:0 ran out of memory in the heat map: computed on the CPU")
        return whole(*args)

    monkeypatch.setattr(heatmaps, "decoder_map", short)
    app.query_params["k"] = "7"  # maps that no other test computes
    computed(app)
    assert [each.value for each in app.toast] == ["CUDA:0 ran out of memory in the heat map: computed on the CPU."]
    assert not run_page(app).toast


def test_the_reason_is_shown_if_maps_cannot_be_computed(app, monkeypatch):
    def failing(*_):
        raise ValueError("this map cannot be computed")

    monkeypatch.setattr(heatmaps, "decoder_map", failing)
    app.query_params["k"] = "6"  # maps that no other test computes
    run_until(app, lambda page: [each.value for each in page.warning] == ["this map cannot be computed\\."])


def test_a_note_states_that_the_released_decoder_ignores_the_query(app):
    assert "does not pass the query to the decoder" in texts(open_tab(app, "Query map"))
    assert set(labels(app)) == {"neighbors", "encoder"}


def test_every_method_of_the_decoder_can_be_chosen_and_has_a_label(app):
    for method in run_page(app).selectbox(key="map").options:
        app.selectbox(key="map").select(method)
        assert method.split(" ")[0] in labels(run_page(app))["neighbors"] or method == "left out"

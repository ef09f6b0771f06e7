"""The Compare page with other weights on side B, without a browser."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from app import public_mode
from app.server.cache import FILE_INFO
from app.session.uploads import UploadedImage
from fpc_core.data.datasets import open_dataset
from fpc_core.gallery.builder import build_memory
from fpc_core.model.checkpoint import load_checkpoint, save_checkpoint
from fpc_core.model.fpc import FPC
from fpc_core.workspace import Places, default_memory_folder, open_workspace
from tests.support.apptest import PAGES, open_page, run_page, sent_to, texts
from tests.support.small_workspace import CONFIG
from tests.support.transreid import transreid_weights

QUERY = "query/0003_c1_f0000002.png"


@pytest.fixture(scope="module")
def house(small_places, tmp_path_factory):
    """Create a root with weights and a cache folder with gallery memories of some of them, and return both folders."""
    house = tmp_path_factory.mktemp("house")
    cache = tmp_path_factory.mktemp("cache")
    torch.manual_seed(1)
    small = replace(CONFIG, image_size=(128, 64), stride=8)
    for name, config in {"twin": CONFIG, "small": small, "unbuilt": CONFIG, "few": replace(CONFIG, cameras=2)}.items():
        save_checkpoint(FPC(config).eval(), house / f"{name}.safetensors")
    torch.save(transreid_weights(), house / "transreid.pth")
    torch.save({"weight": torch.zeros(3)}, house / "unknown.pth")
    (house / "secret.txt").write_text("no weights")
    dataset = open_dataset(small_places.data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FPC_CACHE", str(cache))
        for name in ("twin.safetensors", "small.safetensors", "transreid.pth"):
            places = Places(small_places.data, (house / name).resolve())
            model, _ = load_checkpoint(places.weights)
            build_memory(model.eval(), dataset.gallery, dataset.root, default_memory_folder(places))
    return house, cache


@pytest.fixture
def compare(house, small_world_in_use, monkeypatch):
    monkeypatch.setenv("FPC_ROOTS", str(house[0]))
    monkeypatch.setenv("FPC_CACHE", str(house[1]))
    FILE_INFO.clear()
    page = open_page(PAGES / "compare.py")
    page.query_params["c_query"] = QUERY
    return page


def with_weights(page, name):
    page.query_params["b_weights"] = f"{root_label()}/{name}"
    return run_page(page)


def root_label():
    return Path(os.environ["FPC_ROOTS"]).name


def plain(page):
    return texts(page).replace("\\", "")


def numbers(page):
    return {name: tuple(row) for table in page.table for name, *row in table.value.itertuples()}


def test_the_weights_of_the_roots_are_offered_but_not_those_of_side_a(compare):
    box = run_page(compare).selectbox(key="b_weights")
    root = root_label()
    assert box.value == "same as A"
    assert f"{root}/twin.safetensors" in box.options
    assert not [name for name in box.options if name.endswith("secret.txt")]


def test_both_models_are_searched_and_named(compare, small_places, house):
    page = with_weights(compare, "twin.safetensors")
    shown = plain(page)
    assert "**A** γ 1 · α 0.4 · K 10 · released · non-salient · sinkhorn ε 0.05 · weights model.safetensors" in shown
    assert "**B** γ 0.8" in shown
    assert "weights twin.safetensors" in shown
    assert "**Weights** A model.safetensors" in shown
    assert ", B twin.safetensors" in shown
    places = Places(small_places.data, (house[0] / "twin.safetensors").resolve())
    twin = open_workspace(replace(places, memory=default_memory_folder(places)), "cpu")
    junk = {"0003_c1_f0000001.png"}
    final = twin.search(QUERY, k=10).trace.final.indices.tolist()
    expected = [row for row in final if twin.retriever.memory.records[row].path.name not in junk][:10]
    (strips,) = [sent["strips"] for sent in sent_to(page, "cards") if sent["strips"][0]["id"] == "by_cosine-A"]
    shown_strip = next(strip for strip in strips if strip["id"] == "final-B")
    assert [int(card["id"]) for card in shown_strip["cards"]] == expected
    assert "Patches kept on one side only" in shown


def test_weights_with_equal_file_names_are_shown_with_their_folders(compare, house):
    (house[0] / "again").mkdir(exist_ok=True)
    shutil.copy(house[0] / "twin.safetensors", house[0] / "again" / "model.safetensors")
    FILE_INFO.clear()
    shown = plain(with_weights(compare, "again/model.safetensors"))  # The gallery memory of the copied weights fits.
    assert f"weights {root_label()}/again/model.safetensors" in shown
    assert "How do the results differ?" in shown


def test_different_patch_grids_are_shown_without_marks(compare):
    page = with_weights(compare, "small.safetensors")
    shown = plain(page)
    assert "(16 × 8 patches of 16 pixels at stride 16, 15 × 7 patches of 16 pixels at stride 8)" in shown
    assert "differences are not marked" in shown
    assert "Coloured stripes" not in shown
    (masks,) = [sent["strips"][0] for sent in sent_to(page, "cards") if sent["strips"][0]["id"] == "masks-B"]
    assert masks["cards"][0]["lines"] == ["105 patches"]
    assert masks["cards"][1]["lines"] == ["84 kept"]
    one, other, _ = numbers(page)["FLOPs (G)"]
    assert float(one) > 0
    assert float(other) > 0


def test_copied_and_untrained_parts_are_named_next_to_the_ranking(compare):
    shown = plain(with_weights(compare, "transreid.pth"))
    assert "B: transreid.pth (TransReID): " in shown
    assert "copy of the last block" in shown or "copies of the last block" in shown


def test_a_missing_gallery_memory_is_explained_and_not_built(compare, house):
    before = sorted((house[1] / "memories").iterdir())
    page = with_weights(compare, "unbuilt.safetensors")
    shown = plain(page)
    assert "There is no gallery memory of" in shown
    assert "python -m fpc_core memory build --data" in shown
    assert str(house[0] / "unbuilt.safetensors") in shown
    assert "How do the results differ?" not in shown
    assert sorted((house[1] / "memories").iterdir()) == before
    page.button(key="b-to-data")  # The button that opens the Data page with these weights is there.


def test_a_gallery_memory_in_another_folder_is_used(compare, house, small_places):
    model, _ = load_checkpoint(house[0] / "unbuilt.safetensors")
    dataset = open_dataset(small_places.data)
    folder = house[0] / "mine"
    build_memory(model.eval(), dataset.gallery, dataset.root, folder)
    try:
        FILE_INFO.clear()
        assert "How do the results differ?" in plain(with_weights(compare, "unbuilt.safetensors"))
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize(
    "name", ["none.safetensors", "../../etc/passwd", "x" * 5000, "*bold*\0"], ids=["none", "outside", "long", "odd"]
)
def test_weights_that_do_not_exist_fall_back_with_a_message(compare, name):
    page = with_weights(compare, name)
    message = "but your folders have no such file. Using the weights of side A"
    assert (message in plain(page)) is True  # `is True` keeps the long text out of the failure message.
    assert page.selectbox(key="b_weights").value == "same as A"
    assert "How do the results differ?" in plain(page)


@pytest.mark.parametrize(
    ("name", "message"), [("few.safetensors", "but the weights have embeddings for"), ("unknown.pth", "is not a")]
)
def test_weights_that_cannot_be_used_are_explained(compare, name, message):
    shown = plain(with_weights(compare, name))
    assert message in shown
    assert "How do the results differ?" not in shown


def test_only_side_a_can_be_added_to_a_figure(compare):
    page = with_weights(compare, "twin.safetensors")
    keys = [button.key for button in page.button]
    assert "add-to-figureA" in keys
    assert "add-to-figureB" not in keys
    assert "Figures have the weights of side A" in plain(page)


def test_an_upload_is_searched_by_both_models(compare):
    image = UploadedImage("me.png", "d", np.full((256, 128, 3), 99, np.uint8))
    compare.session_state["uploaded-images"] = {("d", (256, 128)): image}
    compare.session_state["upload-names"] = {"me.png": "d"}
    compare.query_params["c_query"] = image.query
    assert "How do the results differ?" in plain(with_weights(compare, "small.safetensors"))


def test_a_public_app_offers_no_weights(compare, monkeypatch):
    monkeypatch.setenv("FPC_PUBLIC", "1")
    public_mode.is_public.cache_clear()
    try:
        page = with_weights(compare, "twin.safetensors")
        assert "This public app uses fixed weights and ignores this setting" in plain(page)
        assert not [box for box in page.selectbox if box.key == "b_weights"]
    finally:
        monkeypatch.undo()
        public_mode.is_public.cache_clear()

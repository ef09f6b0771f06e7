"""The Data page without a browser, and the effect of its choice on other pages."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from app.server import resources
from app.server.cache import FILE_INFO, WORKSPACES
from app.server.search import Query, search
from app.session.pending_release import PendingRelease
from app.session.workspace_choice import WorkspaceChoice, read_choice
from fpc_core.config import QuerySettings, Variant
from fpc_core.data.datasets import open_dataset
from fpc_core.data.match_label import QueryIdentity
from fpc_core.gallery.builder import build_memory
from fpc_core.model.checkpoint import load_checkpoint, save_checkpoint
from fpc_core.model.fpc import FPC
from fpc_core.workspace import Places, roots_in_use
from fpc_core.workspace.allowed_roots import OutsideRootsError, named_roots
from tests.support.apptest import PAGES, ROOT, open_page, run_page, run_until, texts
from tests.support.hostile_files import TouchOnLoad
from tests.support.small_workspace import CONFIG

LINK = {"data": "house/street", "weights": "house/other.safetensors"}


@pytest.fixture(scope="module")
def house(small_places, tmp_path_factory):
    """Create a root with other weights and a copy of the small dataset with a file that no layout recognises."""
    house = tmp_path_factory.mktemp("roots") / "house"
    shutil.copytree(small_places.data, house / "street")
    (house / "street" / "dataset.json").unlink()
    (house / "street" / "query" / "holiday *snap*.png").touch()
    torch.manual_seed(7)
    save_checkpoint(FPC(CONFIG).eval(), house / "other.safetensors")
    return house


@pytest.fixture
def in_house(small_world_in_use, house, monkeypatch, tmp_path):
    monkeypatch.setenv("FPC_ROOTS", str(house))
    monkeypatch.setenv("FPC_CACHE", str(tmp_path / "cache"))
    FILE_INFO.clear()
    return house


@pytest.fixture
def data(in_house):
    return open_page(PAGES / "data.py")


@pytest.fixture
def linked(in_house):
    page = open_page(PAGES / "data.py")
    page.query_params.update(LINK)
    return page


def typed(page, field, text):
    """Run a page with a path typed into a field. AppTest itself can only choose from the list of a field.

    Args:
        page: The Data page.
        field: `data`, `weights` or `memory`.
        text: The typed path.
    """
    page.session_state[f"draft-{field}"] = text
    return run_page(page)


def built(page):
    """Build the gallery memory of the page's draft with its button, and return the page."""
    run_page(page).button(key="build").click()
    return run_until(page, lambda now: now.success)


def status(page):
    return next(each.value for each in page.markdown if each.value.startswith("**Data**"))


def test_the_data_page_describes_data_weights_and_memory(data):
    shown = texts(run_page(data))
    assert ":orange-badge[SYNTHETIC] **Small world**" in shown
    assert data.table[0].value["images"].tolist() == ["0", "8", "32"]
    assert data.table[0].value["cameras"].tolist() == ["–", "1", "1, 2, 3, 4"]
    assert "**8** gallery images are excluded for some query" in shown
    assert "**model\\.safetensors** · own format, " in shown
    assert "matches this dataset and these weights (32 images" in data.success[0].value
    assert "on two principal components" in shown
    assert "You can choose from these folders: **demo**, **house**. To add your own" in shown
    assert not data.warning


def test_gallery_and_query_are_on_the_map(data):
    (chart,) = run_page(data).get("plotly_chart")
    figure = json.loads(chart.proto.spec)
    names = [trace["name"] for trace in figure["data"]]
    assert "✓ same person (3)" in names
    assert "junk: same person, same camera (1)" in names
    assert {"query, encoder", "query, consolidated"} <= set(names)


def test_other_data_and_weights_are_chosen_built_and_applied(data):
    run_page(data).selectbox(key="draft-data").set_value("house/street")
    run_page(data).selectbox(key="draft-weights").set_value("house/other.safetensors")
    shown = texts(run_page(data))
    assert "**1** files skipped: the name does not follow the layout" in shown
    assert "Not active yet: the other pages still use the startup data" in shown
    assert "There is no gallery memory" in data.info[0].value
    built(data)
    data.button(key="use").click()
    assert "All pages use this selection" in texts(run_page(data))
    assert {name: data.query_params[name] for name in LINK} == LINK


def test_a_link_opens_its_choice_on_every_page(linked):
    built(linked)
    for name in ("explore.py", "sweep.py", "compare.py", "figures.py"):
        page = open_page(PAGES / name)
        page.query_params.update(LINK)
        messages = status(run_page(page))
        assert "**Data** street (" in messages
        assert "**Weights** other\\.safetensors" in messages


def test_two_visitors_have_separate_choices(linked):
    built(linked)
    first, second = (open_page(PAGES / "sweep.py") for _ in range(2))
    first.query_params.update(LINK)
    assert "other\\.safetensors" in status(run_page(first))
    assert "model\\.safetensors" in status(run_page(second))
    assert "other\\.safetensors" in status(run_page(first))
    assert "data" not in second.query_params


def test_a_choice_survives_a_page_without_it_in_the_url(linked):
    built(linked)
    page = open_page(PAGES / "sweep.py")
    page.query_params.update(LINK)
    run_page(page)
    for name in LINK:
        del page.query_params[name]
    assert "other\\.safetensors" in status(run_page(page))
    assert page.query_params["weights"] == LINK["weights"]


def test_an_unanswered_slider_release_does_not_override_a_later_link(small_world_in_use):
    app = run_page(open_page(ROOT / "streamlit_app.py"))
    app.session_state["pending-release"] = PendingRelease("hits", 1, {"gamma": 0.5})
    app.switch_page("app/pages/compare.py")
    run_page(app)
    assert "pending-release" not in app.session_state
    assert "gamma" not in app.query_params


def test_searches_in_different_workspaces_do_not_share_results(in_house, small_places, tmp_path):
    weights = in_house / "other.safetensors"
    model, _ = load_checkpoint(weights)
    dataset = open_dataset(small_places.data)
    build_memory(model, dataset.gallery, dataset.root, tmp_path / "memory")
    spaces = [
        resources.workspace(each, "cpu")
        for each in (small_places, replace(small_places, weights=weights, memory=tmp_path / "memory"))
    ]
    record, settings = dataset.query[0], QuerySettings(neighbors=3, shortlist=12)
    found = []
    for workspace in (*spaces, *spaces):
        query = Query(
            "q", resources.image(workspace, record), QueryIdentity(record.identity, record.camera), workspace.key
        )
        found.append(search(workspace, query, settings).trace.match.shortlist.d_cos)
    assert not np.allclose(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])
    np.testing.assert_array_equal(found[1], found[3])


def test_few_workspaces_stay_open_and_a_rebuilt_memory_is_reopened(small_places, tmp_path):
    copies = []
    for number in range(WORKSPACES.max_entries + 1):
        weights = tmp_path / f"{number}.safetensors"
        shutil.copy(small_places.weights, weights)
        copies.append(replace(small_places, weights=weights))
    spaces = [resources.workspace(places, "cpu") for places in copies]
    assert resources.workspace(copies[-1], "cpu") is spaces[-1]
    assert resources.workspace(copies[-1], "auto") is spaces[-1] or torch.cuda.is_available()
    assert resources.workspace(copies[0], "cpu") is not spaces[0]
    last = copies[-1]
    memory = shutil.copytree(small_places.memory, tmp_path / "memory")
    first = resources.workspace(replace(last, memory=memory), "cpu")
    (memory / "manifest.json").touch()
    assert resources.workspace(replace(last, memory=memory), "cpu") is not first


@pytest.mark.parametrize("name", ["/etc", "house/../..", "nowhere/else", "house/street/../../../etc"])
def test_a_path_outside_the_roots_is_refused_and_the_choice_stays(data, name):
    typed(data, "data", name)
    assert "is not below a folder that this app may read" in data.warning[0].value
    assert "**Data** :orange-badge[SYNTHETIC] Small world" in status(run_page(open_page(PAGES / "sweep.py")))
    page = open_page(PAGES / "sweep.py")
    page.query_params["data"] = name
    assert run_page(page).header[0].value == "No data loaded yet"
    assert "is not below a folder" in page.error[0].value
    page.button(key="return").click()
    assert "Small world" in status(run_page(page))


def test_a_dataset_with_a_link_out_of_the_roots_is_refused(data, tmp_path, in_house):
    shutil.copytree(in_house / "street", in_house / "trap")
    (in_house / "trap" / "query" / "0001_c2_f0000009.png").symlink_to("/etc/hostname")
    try:
        run_page(data).selectbox(key="draft-data").set_value("house/trap")
        run_page(data)
        assert "is a link to a folder that this app may not read" in data.warning[0].value.replace("\\", "")
    finally:
        shutil.rmtree(in_house / "trap")


def test_weights_that_would_run_code_are_refused(data, in_house, tmp_path):
    torch.save({"cls_token": torch.zeros(1), "more": TouchOnLoad(tmp_path / "ran")}, in_house / "evil.pth")
    try:
        typed(data, "weights", "house/evil.pth")
        assert "contains Python objects besides tensors (never executed)" in data.warning[0].value.replace("\\", "")
        page = open_page(PAGES / "sweep.py")
        page.query_params["weights"] = "house/evil.pth"
        assert run_page(page).header[0].value == "No data loaded yet"
    finally:
        (in_house / "evil.pth").unlink()
    assert not (tmp_path / "ran").exists()
    assert not list(in_house.glob("evil*"))


def test_a_typed_path_is_replaced_by_its_name_below_the_root(data, in_house):
    typed(data, "data", str(in_house / "street"))
    assert data.query_params["data"] == "house/street"


def test_broken_images_are_found_in_the_background_and_listed(linked, in_house):
    broken = in_house / "street" / "bounding_box_test" / "0003_c2_f0000001.png"
    whole = broken.read_bytes()
    broken.write_bytes(whole[:200])
    try:
        run_page(linked).button(key="check").click()
        run_until(linked, lambda now: "40 of 40 images checked" in texts(now))
        assert "1 image can't be read" in linked.error[0].value
        assert linked.dataframe[-1].value["file"].tolist() == ["bounding_box_test/0003_c2_f0000001.png"]
        run_page(linked).button(key="build").click()
        run_until(linked, lambda now: "Building stopped" in texts(now))
        assert "0003" in texts(linked)
    finally:
        broken.write_bytes(whole)
    linked.button(key="build").click()
    run_until(linked, lambda now: now.success)


def test_a_memory_of_other_weights_is_reported_and_can_be_rebuilt(data, in_house, small_places):
    data.query_params["weights"] = "house/other.safetensors"
    memory = shutil.copytree(small_places.memory, in_house / "memory")
    try:
        typed(data, "memory", "house/memory")
        assert "`house/memory` was built with other weights" in data.warning[0].value
        built(data)
        assert "house/memory" in data.success[0].value
    finally:
        shutil.rmtree(memory)


def test_every_page_starts_with_the_default_variant(data):
    run_page(data).selectbox(key="draft-variant").set_value(Variant.PAPER)
    run_page(data).button(key="use").click()
    run_page(data)
    assert data.query_params["usual"] == "paper"
    page = open_page(PAGES / "sweep.py")
    page.query_params["usual"] = "paper"
    assert "**Variant** paper" in status(run_page(page))
    page.button_group(key="s_variant").set_value(Variant.RELEASED)
    assert "**Variant** released" in status(run_page(page))


def test_unavailable_settings_of_a_link_are_reported(in_house):
    page = open_page(PAGES / "sweep.py")
    page.query_params.update({"device": "cuda:77", "stride": "<b>", "usual": "mine"})
    run_page(page)
    messages = " ".join(each.value for each in page.warning).replace("\\", "")
    assert "device to cuda:77, but this machine has auto, cpu" in messages
    assert "stride to <b>, but it must be one of 11, 12, 16" in messages
    assert "it must be one of paper, released" in messages
    assert "Small world" in status(page)


def test_a_stride_other_than_the_trained_one_is_refused(in_house):
    page = open_page(PAGES / "sweep.py")
    page.query_params["stride"] = "11"
    run_page(page)
    assert "was trained with stride 16; it cannot be used with 11" in page.error[0].value.replace("\\", "")


def test_roots_that_cannot_be_used_are_explained(small_world_in_use, monkeypatch):
    monkeypatch.setenv("FPC_ROOTS", "data/reid")
    page = run_page(open_page(PAGES / "data.py"))
    assert "not an absolute path" in page.warning[0].value.replace("\\", "")


def test_a_choice_is_restored_from_its_link():
    choice = WorkspaceChoice("house/street", "house/other.safetensors", "house/memory", "cpu", 12, Variant.PAPER)
    assert read_choice(choice.to_params()) == (choice, ())
    assert WorkspaceChoice().to_params() == {}


def test_data_and_weights_have_a_default_memory_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("FPC_CACHE", str(tmp_path / "cache"))
    (tmp_path / "house").mkdir()
    monkeypatch.setenv("FPC_ROOTS", str(tmp_path / "house"))
    started, roots = Places(), roots_in_use()
    assert WorkspaceChoice().places(roots, started) == started
    places = WorkspaceChoice(data="house").places(roots, started)
    assert places.memory.parent == tmp_path / "cache" / "memories"
    assert places.weights == started.weights
    assert (
        WorkspaceChoice(data="house", memory="cache/m").places(roots, started).memory
        == tmp_path / "cache" / "memories" / "m"
    )
    with pytest.raises(OutsideRootsError):
        WorkspaceChoice(weights="/etc/passwd").places(named_roots(ROOT / "assets" / "demo", ""), started)


def test_a_label_that_is_a_link_out_of_the_roots_is_not_shown(in_house, tmp_path):
    """The dataset is in a subfolder of the chosen folder, as in many archives."""
    shutil.copytree(in_house / "street", in_house / "packed" / "inner")
    (tmp_path / "private.json").write_text(json.dumps({"name": "secret name", "note": "secret note"}))
    (in_house / "packed" / "dataset.json").symlink_to(tmp_path / "private.json")
    page = open_page(PAGES / "data.py")
    page.query_params.update({"data": "house/packed", "weights": "house/other.safetensors"})
    try:
        shown = texts(run_page(page))
    finally:
        shutil.rmtree(in_house / "packed")
    assert "secret" not in shown
    assert "is a link to a folder that this app may not read" in shown

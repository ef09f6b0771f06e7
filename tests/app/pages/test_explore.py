"""The Explore page without a browser: its content, its widgets, and messages on bad input."""

import io
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from app.sections import ranking
from app.session.visitor import in_page_run
from fpc_core.retrieval import Retriever
from tests.support.apptest import ROOT, alpha_shown, clear_caches, open_page, open_tab, run_page, sent_to, texts

SCRIPT = ROOT / "streamlit_app.py"


@pytest.fixture
def app(small_world_in_use):
    return open_page(SCRIPT)


def upload(app, name, data, kind="image/png"):
    app.file_uploader[0].set_value((name, data, kind))
    return run_page(app)


def png(size=(64, 128), mode="RGB", **options):
    buffer = io.BytesIO()
    Image.new(mode, size, **options).save(buffer, "PNG")
    return buffer.getvalue()


def test_the_page_shows_all_sections_and_the_status_line(app):
    shown = texts(run_page(app))
    for component in ("cards", "masks", "live_sliders", "ranking", "transport"):
        assert len(sent_to(app, component)) == 1, component
    assert [tab.label for tab in app.tabs] == ["Match", "Why", "Decoder", "Query map", "Alpha", "Patch", "By hand"]
    assert ":orange-badge[SYNTHETIC]" in shown
    assert "Small world" in shown
    assert "**Weights** model\\.safetensors" in shown
    assert "**Variant** released" in shown
    assert "**Device** CPU" in shown


@pytest.fixture
def small_world_with_examples(small_places, tmp_path, monkeypatch):
    data = shutil.copytree(small_places.data, tmp_path / "small")
    queries = sorted(path.relative_to(data).as_posix() for path in (data / "query").iterdir())
    examples = [
        {"title": "Behind a *hedge*", "query": queries[2], "story": "The hedge is dropped."},
        {"title": "Two people", "query": queries[1]},
    ]
    (data / "dataset.json").write_text(json.dumps({"examples": examples}))
    for name, path in (("DATA", data), ("WEIGHTS", small_places.weights), ("MEMORY", small_places.memory)):
        monkeypatch.setenv(f"FPC_{name}", str(path))
    return examples


def test_an_example_selects_its_query_and_follows_the_search_box(small_world_with_examples):
    hedge, people = small_world_with_examples
    app = run_page(open_page(SCRIPT))
    pills = app.button_group(key="example")
    assert pills.value is None
    assert [option.content for option in pills.proto.options] == ["Behind a \\*hedge\\*", "Two people"]
    pills.set_value(hedge["title"])
    run_page(app)
    assert app.selectbox(key="query").value == hedge["query"]
    assert "The hedge is dropped" in texts(app)
    app.selectbox(key="query").set_value(people["query"])
    run_page(app)
    assert app.button_group(key="example").value == people["title"]
    assert "The hedge is dropped" not in texts(app)


def test_moving_alpha_reweighs_the_two_distances(app):
    (before,) = sent_to(run_page(app), "transport")
    assert before["distance"][1] == 0.4
    app.query_params.update({"alpha": "0.9", "neighbor": str(before["row"])})
    (after,) = sent_to(run_page(app), "transport")
    assert after["distance"] == [before["distance"][0], 0.9]


def test_alpha_and_k_recompute_only_the_decoder(app, monkeypatch):
    names = ("prepare", "encode", "match", "plan", "finish")
    calls = dict.fromkeys(names, 0)

    def counted(name):
        whole = getattr(Retriever, name)

        def count(self, *args):
            calls[name] += in_page_run()  # Calls of background jobs do not count.
            return whole(self, *args)

        return count

    clear_caches()
    for name in names:
        monkeypatch.setattr(Retriever, name, counted(name))
    # Prevent the search of a newly opened workspace, and the background search at other keep rates.
    monkeypatch.setattr(Retriever, "warm_up", lambda _: None)
    monkeypatch.setattr(ranking, "keep_rates", lambda *_: None)
    run_page(app)
    first = dict(calls)
    # Plans for the selected hit and the hit that it is compared with.
    assert (first["plan"], first["finish"]) == (2, 1)
    app.query_params["alpha"], app.query_params["k"] = "0.61", "3"
    run_page(app)
    assert calls == {**first, "finish": 2, "plan": calls["plan"]}
    assert calls["plan"] <= 4  # The two hits may have changed, but no plan is computed twice.


def test_a_link_opens_its_view(app):
    app.query_params["alpha"] = "0.75"
    app.query_params["query"] = "query/0003_c1_f0000002.png"
    run_page(app)
    assert app.selectbox(key="query").value == "query/0003_c1_f0000002.png"
    assert alpha_shown(app) == 0.75


def test_a_pin_in_the_link_reaches_the_components_of_its_side(app):
    for pin, life in (("q17", "q17"), ("g9", "")):
        app.query_params["pin"] = pin
        assert [sent["pin"] for sent in sent_to(open_tab(app, "Match"), "transport")] == [pin]
        assert [sent["pin"] for sent in sent_to(open_tab(app, "Patch"), "lifeline")] == [life]


def test_a_comparison_shows_both_parts_and_the_rival_can_change(app):
    app.query_params["tab"] = "Why"
    (sent,) = sent_to(run_page(app), "margin")
    assert " is closer than " in sent["margin"]["story"]
    (box,) = (each for each in app.selectbox if each.label == "Compare with")
    box.select_index(5 if box.index != 5 else 4)
    (again,) = sent_to(run_page(app), "margin")
    assert again["margin"]["story"] != sent["margin"]["story"]
    (box,) = (each for each in app.selectbox if each.label == "Compare with")
    assert app.query_params["rival"] == str(box.value)


@pytest.mark.parametrize("link", [{"tab": "Patch"}, {"life": "true"}])  # The second is a link of release 0.1.
def test_lifelines_are_computed_only_in_their_tab(app, link):
    assert sent_to(run_page(app), "lifeline") == []
    app = open_page(SCRIPT)
    app.query_params.update(link)
    (sent,) = sent_to(run_page(app), "lifeline")
    assert sent["life"]["keepRates"][0] == 0.3
    assert sent["life"]["keepRates"][-1] == 1.0
    assert len(sent["life"]["keepRates"]) == 15


def test_a_link_with_invalid_values_shows_messages(app):
    app.query_params["query"] = "query/<b>nobody</b>.png"
    app.query_params["neighbor"] = "-3"
    run_page(app)
    messages = " ".join(each.value for each in app.warning)
    assert "is not in this dataset" in messages
    assert "<b>" not in messages
    assert "selected image" in messages


def test_the_random_strategy_and_the_exact_solver_run(app):
    run_page(app)
    app.button_group(key="drop").set_value(type(app.button_group(key="drop").value)("random"))
    app.button_group(key="solver").set_value(type(app.button_group(key="solver").value)("exact"))
    assert "Solver exact: L1 error of the marginals" in texts(run_page(app))


def test_an_uploaded_image_becomes_the_query(app):
    run_page(app)
    noise = np.random.default_rng(0).integers(0, 256, (300, 140, 3)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "PNG")
    upload(app, "me & you.png", buffer.getvalue())
    assert app.selectbox(key="query").value == "me & you.png (your image)"
    assert not app.warning


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "I;16", "1"])
def test_other_image_formats_are_accepted(app, mode):
    run_page(app)
    upload(app, "image.png", png(mode=mode))
    assert app.selectbox(key="query").value == "image.png (your image)"


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("notes.txt", b"not an image", "notes"),
        ("dot.png", png((1, 1)), "1 x 1"),
        ("cut.png", png((200, 400))[:200], "cut"),
        ("huge.png", png((20_000, 20_000), "1"), "pixels"),
        ("empty.png", b"", "empty"),
    ],
)
def test_an_unusable_file_is_reported_and_the_query_stays(app, name, data, message):
    run_page(app)
    before = app.selectbox(key="query").value
    upload(app, name, data)
    assert message in app.warning[0].value.replace("\\", "")
    assert app.selectbox(key="query").value == before


@pytest.mark.parametrize("part", ["FPC_DATA", "FPC_WEIGHTS", "FPC_MEMORY"])
def test_missing_parts_are_reported_with_the_command_that_builds_them(app, monkeypatch, tmp_path, part):
    monkeypatch.setenv(part, str(tmp_path / "nowhere"))
    run_page(app)
    assert app.header[0].value == "No data loaded yet"
    assert "nowhere" in app.error[0].value
    assert "memory build" in app.code[0].value


def test_another_visitor_starts_from_the_defaults(app):
    run_page(app)
    app.query_params["alpha"] = "0.9"
    assert alpha_shown(run_page(app)) == 0.9
    assert alpha_shown(run_page(open_page(SCRIPT))) == 0.4


def test_filtering_by_person_selects_the_first_image_of_that_person(app):
    run_page(app).selectbox(key="identity").set_value(3)
    assert run_page(app).selectbox(key="query").value == "query/0003_c1_f0000002.png"
    assert app.selectbox(key="identity").value == 3
    app.selectbox(key="query").set_value("query/0005_c1_f0000002.png")
    assert run_page(app).selectbox(key="identity").value is None
    assert app.selectbox(key="query").value == "query/0005_c1_f0000002.png"

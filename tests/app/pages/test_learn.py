"""The Learn page without a browser: ten steps, hidden answers, presenter mode, invalid links."""

from urllib.parse import parse_qs

import pytest

from fpc_core.figures.recipe import FigureKind
from fpc_core.lessons.course import STEPS
from tests.support.apptest import ROOT, open_page, run_page, sent_to, texts

PAGE = ROOT / "app" / "pages" / "learn.py"


@pytest.fixture
def learn(small_world_in_use):
    return open_page(PAGE)


def choices(page):
    return [button for button in page.button if button.key.startswith("answer-")]


FIGURES = (
    "patch_map",
    "patch_map",
    "lifeline",
    "patch_map",
    "patch_map",
    "sinkhorn_stepper",
    "alpha_chart",
    "cards",
    "patch_map",
    "masks",
)


@pytest.mark.parametrize(("number", "component"), list(enumerate(FIGURES, start=1)))
def test_every_step_has_text_equation_and_figure_and_hides_its_answer(learn, number, component):
    learn.query_params["step"] = str(number)
    run_page(learn)
    shown = texts(learn)
    assert f"{number}. " in learn.header[0].value
    assert len(learn.latex) >= 2
    assert sent_to(learn, component)
    assert "**Predict:**" in shown
    assert "Right." not in shown
    assert "It is:" not in shown
    assert not any("✓" in button.label or "✗" in button.label for button in choices(learn))
    choices(learn)[0].click()
    run_page(learn)
    assert ("Right." in texts(learn)) != ("It is:" in texts(learn))
    assert sum("✓" in button.label for button in choices(learn)) == 1
    assert all(button.disabled for button in choices(learn))


def test_next_and_back_walk_through_the_steps_and_stop_at_the_ends(learn):
    run_page(learn)
    assert learn.button(key="back").disabled
    learn.button(key="next").click()
    run_page(learn)
    assert learn.query_params["step"] == "2"
    learn.query_params["step"] = str(len(STEPS))
    assert run_page(learn).button(key="next").disabled


@pytest.mark.parametrize("step", ["0", "99", "two", "-1", "1e9", "٣"])
def test_an_unknown_step_in_the_link_opens_the_first(learn, step):
    learn.query_params["step"] = step
    run_page(learn)
    assert learn.header[0].value.startswith("1. ")


def test_presenter_mode_shows_only_the_step(learn):
    learn.query_params["present"] = "1"
    run_page(learn)
    assert not learn.title
    assert "Try it on your query" not in texts(learn)
    assert "SYNTHETIC" in texts(learn)
    assert "variant released" in texts(learn)
    learn.button(key="present").click()
    run_page(learn)
    assert "Try it on your query" in texts(learn)


def test_the_query_and_settings_are_those_of_the_link(learn):
    learn.query_params["query"] = "query/0003_c1_f0000002.png"
    learn.query_params["alpha"] = "0.7"
    learn.query_params["step"] = "7"
    run_page(learn)
    assert learn.selectbox(key="query").value == "query/0003_c1_f0000002.png"
    assert "0.3 \\cdot" in " ".join(each.value for each in learn.latex)


def test_explore_opens_in_the_same_tab_with_query_and_settings(learn):
    learn.query_params.update({"query": "query/0003_c1_f0000002.png", "alpha": "0.7", "step": "7"})
    assert not run_page(learn).get("link_button")  # Streamlit opens link buttons in a new tab.
    (link,) = [each.proto for each in learn.get("page_link")]
    assert (link.page, link.external) == ("", False)
    assert link.query_string == "query=query%2F0003_c1_f0000002.png&alpha=0.7&tab=Why"


def test_the_text_is_not_read_as_markup(learn):
    learn.query_params["step"] = "2"
    assert "\\[cls\\]" in texts(run_page(learn))


@pytest.mark.parametrize(("number", "kind"), [(3, FigureKind.DROP_PROCESS), (6, FigureKind.TRANSPORT)])
def test_the_figure_of_the_step_can_be_added(learn, number, kind):
    learn.query_params["step"] = str(number)
    run_page(learn).button(key="add-to-figure").click()
    run_page(learn)
    basket = learn.session_state["basket"]
    assert basket.kind is kind
    assert len(basket.items) == 1
    assert basket.gallery.startswith("bounding_box_test/")


@pytest.mark.parametrize("step", range(1, len(STEPS) + 1))
def test_every_step_links_to_a_tab_of_explore(learn, step):
    explore = run_page(open_page(PAGE.with_name("explore.py")))
    learn.query_params["step"] = str(step)
    (link,) = [each.proto for each in run_page(learn).get("page_link")]
    tab = parse_qs(link.query_string).get("tab", ["Match"])
    assert tab[0] in {each.label for each in explore.tabs}

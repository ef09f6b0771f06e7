"""A slider release until its answer is painted, also if other messages arrive before that."""

from dataclasses import fields

import pytest
from streamlit.errors import StreamlitAPIException
from streamlit.runtime.fragment import MemoryFragmentStorage
from streamlit.runtime.scriptrunner_utils.script_run_context import ScriptRunContext

from app.session import pending_release
from app.ui.query_picker import view_from_url


class Rerun(BaseException):
    """Exception that ends a run, as in Streamlit."""


@pytest.fixture
def page(monkeypatch):
    """Replace Streamlit by a page with session state, query parameters and a list of the requested reruns."""

    class Page:
        def __init__(self):
            self.session_state, self.query_params, self.runs = {}, {}, []

        def rerun(self, scope="app"):
            self.runs.append(scope)
            raise Rerun

        def after(self, callback, *arguments):
            """Call a callback, and return the scope of the rerun that it requests."""
            with pytest.raises(Rerun):
                callback(*arguments)
            return self.runs[-1]

    result = Page()
    monkeypatch.setattr(pending_release, "st", result)
    monkeypatch.setattr("app.ui.query_picker.st", result)
    return result


MOVED = {"gamma": 0.5, "alpha": 0.9, "k": 3}


def test_a_release_runs_its_fragment_and_then_the_page(page):
    assert page.after(pending_release.rerun_fragment_for_release, "hits", MOVED) == "hits"
    number = pending_release.pending().number
    assert page.after(pending_release.on_answer_painted, number) == "app"
    assert pending_release.pending() is None


def test_another_fragment_also_reruns_the_one_with_a_pending_release(page):
    assert page.after(pending_release.run_fragment, "feed") == "feed"
    page.after(pending_release.rerun_fragment_for_release, "hits", MOVED)
    assert page.after(pending_release.run_fragment, "feed") == ["hits", "feed"]
    page.after(pending_release.on_answer_painted, pending_release.pending().number)
    assert page.after(pending_release.run_fragment, "feed") == "feed"


def test_a_slider_moved_right_after_a_stroke_keeps_the_stroke(page):
    page.after(pending_release.rerun_fragment_for_release, "hits", {"given": "AQ.0.0"})
    page.after(pending_release.rerun_fragment_for_release, "hits", MOVED)
    assert pending_release.pending().values == {"given": "AQ.0.0", **MOVED}
    page.after(pending_release.on_answer_painted, pending_release.pending().number)
    assert page.query_params["given"] == "AQ.0.0"


@pytest.mark.parametrize("painted", [False, True])
def test_patches_of_the_previous_query_do_not_come_back(page, painted):
    page.after(pending_release.rerun_fragment_for_release, "hits", {"given": "AQ.0.0"})
    if painted:
        page.after(pending_release.on_answer_painted, pending_release.pending().number)
    page.query_params.pop("given", None)
    pending_release.forget_value("given")
    page.after(pending_release.on_answer_painted, 0)
    assert "given" not in page.query_params


def test_an_earlier_answer_does_not_clear_the_next_release(page):
    page.after(pending_release.rerun_fragment_for_release, "hits", MOVED)
    first = pending_release.pending().number
    page.after(pending_release.rerun_fragment_for_release, "hits", {**MOVED, "alpha": 0.1})
    assert page.after(pending_release.on_answer_painted, first) == "hits"
    assert pending_release.pending().values["alpha"] == 0.1


def test_the_page_is_drawn_with_released_values_whatever_the_url(page):
    page.after(pending_release.rerun_fragment_for_release, "hits", {**MOVED, "alpha": 0.1})
    page.after(pending_release.rerun_fragment_for_release, "hits", MOVED)
    number = pending_release.pending().number
    for _ in range(2):  # The browser repeats its message until the page has run.
        page.query_params = {"alpha": "0.2", "k": "7", "query": "it"}
        assert page.after(pending_release.on_answer_painted, number) == "app"
        assert page.query_params == {"gamma": "0.5", "alpha": "0.9", "k": "3", "query": "it"}
    page.query_params = {"alpha": "0.2"}
    page.after(pending_release.on_answer_painted, 0)  # The message was repeated although the page has run.
    assert page.query_params == {"gamma": "0.5", "alpha": "0.9", "k": "3"}
    page.query_params = {"alpha": "0.2"}
    page.after(pending_release.on_answer_painted, number - 1)  # A message about an earlier answer.
    assert page.query_params == {"alpha": "0.2"}


def test_a_url_older_than_the_release_moves_no_slider_back(page, small_places):
    from fpc_core.workspace import open_workspace

    workspace = open_workspace(small_places, "cpu")
    page.after(pending_release.rerun_fragment_for_release, "hits", MOVED)
    page.query_params = {"alpha": "0.2", "query": "it"}  # The URL from before the release.
    view, problems = view_from_url(workspace)
    assert (view.settings.prune.keep_rate, view.settings.alpha, view.settings.neighbors) == (0.5, 0.9, 3)
    assert view.query == "it"
    assert problems == ()
    page.after(pending_release.on_answer_painted, pending_release.pending().number)
    page.query_params = {"alpha": "0.2"}  # The visitor pressed Back.
    assert view_from_url(workspace)[0].settings.alpha == 0.2


@pytest.fixture
def left_page(page, monkeypatch):
    """Return a page that the visitor has left, whose fragments Streamlit has deleted."""

    def rerun(scope="app"):
        page.runs.append(scope)
        if scope != "app":
            raise StreamlitAPIException("No fragment found for target")
        raise Rerun

    page.rerun = rerun
    return page


def test_a_request_from_a_page_that_was_left_raises_nothing(left_page):
    pending_release.run_fragment("feed")
    assert left_page.runs == ["feed"]
    pending_release.rerun_fragment_for_release("hits", MOVED)
    pending_release.run_fragment("feed")
    assert left_page.runs[1:] == ["hits", ["hits", "feed"], "feed"]


def test_a_paint_report_from_a_page_that_was_left_raises_nothing(left_page):
    pending_release.rerun_fragment_for_release("hits", MOVED)
    pending_release.on_answer_painted(pending_release.pending().number + 1)
    assert left_page.query_params == {}


@pytest.mark.parametrize(
    "report",
    [
        lambda: pending_release.rerun_fragment_for_release("hits", MOVED),
        lambda: pending_release.run_fragment("feed"),
        lambda: pending_release.on_answer_painted(0),
        lambda: pending_release.on_answer_painted(1),
    ],
    ids=["a release", "a rerun of a fragment", "an outdated answer painted", "an answer painted"],
)
def test_a_late_report_runs_no_fragment_of_the_last_page(page, monkeypatch, report):
    """Streamlit may still have the fragments of the last page, and running one would draw it into the new page."""
    monkeypatch.setattr(pending_release.visitor, "page_run", lambda: "explore")
    pending_release.record_page()
    page.after(pending_release.run_fragment, "feed")
    monkeypatch.setattr(pending_release.visitor, "page_run", lambda: "compare")
    report()
    assert page.runs == ["feed"]
    assert pending_release.pending() is None
    pending_release.record_page()
    assert page.after(pending_release.run_fragment, "cases") == "cases"


def test_the_fragments_of_a_page_are_forgotten_when_another_one_starts(page, monkeypatch):
    forgotten = []
    monkeypatch.setattr(pending_release.visitor, "forget_fragments", lambda: forgotten.append(True))
    for name, expected in (("explore", 0), ("explore", 0), ("compare", 1), ("compare", 1), ("explore", 2)):
        monkeypatch.setattr(pending_release.visitor, "page_run", lambda name=name: name)
        pending_release.record_page()
        assert len(forgotten) == expected


def test_streamlit_can_forget_its_fragments():
    """If this fails, Streamlit has changed: check `visitor.forget_fragments`."""
    storage = MemoryFragmentStorage()
    storage.register("it", lambda: None)
    assert storage.contains("it")
    storage.clear()
    assert not storage.contains("it")
    assert "fragment_storage" in {each.name for each in fields(ScriptRunContext)}

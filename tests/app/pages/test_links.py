"""Links with invalid parameters: every page shows messages and uses its defaults."""

import pytest

from tests.support.apptest import PAGES, open_page, run_page, texts

INVALID = {
    "explore.py": {
        "map": "crystal ball",
        "target": "fame",
        "relative": "maybe",
        "tab": "Wonder",
        "pruned": "red",
        "junk": "some",
    },
    "learn.py": {"step": "99", "present": "now", "neighbor": "9999", "pin": "q999"},
    "sweep.py": {"gammas": "2", "step": "7", "ks": "99", "s_variant": "mine", "scope": "none", "measure": "luck"},
    "evaluate.py": {"tables": "Table 9", "e_gamma": "7", "e_solver": "oracle"},
    "atlas.py": {"at_gamma": "0", "class": "good"},
    "lab.py": {"l_query": "nobody.png", "l_epsilon": "9", "neighbor": "-1", "pin": "z1"},
    "compare.py": {"a_k": "500", "b_alpha": "much", "neighbor": "9999", "c_query": "nobody.png"},
    "figures.py": {"f_drop": "everything", "f_epsilon": "nan"},
}


@pytest.mark.parametrize("name", list(INVALID))
def test_invalid_parts_of_a_link_are_reported_and_the_page_is_shown(small_world_in_use, monkeypatch, tmp_path, name):
    monkeypatch.setenv("FPC_CACHE", str(tmp_path / "cache"))
    page = open_page(PAGES / name)
    page.query_params.update(INVALID[name])
    page_text = texts(run_page(page)).replace("\\", "")
    for key, text in INVALID[name].items():
        called = {"class": "the class", "neighbor": "the selected image", "pin": "the pinned patch"}.get(key, key)
        expected = "The link's query" if key in ("l_query", "c_query") else f"The link sets {called} to"
        assert f"{expected} {text}" in page_text


def test_a_valid_link_shows_no_message(small_world_in_use, monkeypatch, tmp_path):
    monkeypatch.setenv("FPC_CACHE", str(tmp_path / "cache"))
    valid = {
        "explore.py": {"map": "HiResCAM", "target": "chosen neighbour", "relative": "false", "life": "true", "k": "3"},
        "sweep.py": {"gammas": ["1", "0.5"], "step": "0.25", "ks": "5", "s_variant": "paper", "scope": "one"},
        "evaluate.py": {"tables": ["Table 3", "Fig. 4"], "e_gamma": "0.5", "e_solver": "exact"},
        "compare.py": {"a_k": "5", "b_alpha": "0.25", "neighbor": "3"},
    }
    for name, params in valid.items():
        page = open_page(PAGES / name)
        page.query_params.update(params)
        assert "The link sets" not in texts(run_page(page))


def test_invalid_parts_of_a_link_fall_back_and_valid_ones_are_used(small_world_in_use):
    page = open_page(PAGES / "compare.py")
    page.query_params.update({"b_gamma": "0.1", "a_variant": "mine", "a_alpha": "0.25"})
    run_page(page)
    assert page.slider(key="b_gamma").value == 0.8
    assert page.slider(key="a_alpha").value == 0.25
    assert page.button_group(key="a_variant").value == "released"
    assert "The link sets" not in texts(run_page(page))  # The first run has corrected the URL.


def test_thousands_of_invalid_link_values_give_few_messages(monkeypatch):
    from app.session import link_checks

    class Params(dict):
        def get_all(self, key):
            return self[key]

    monkeypatch.setattr(link_checks.st, "query_params", Params(tables=["x"] * 100_000, step=["y" * 10_000] * 100_000))
    assert len(link_checks.check_choice("tables", ("a", "b"))) == link_checks.MAX_MESSAGES
    assert len(link_checks.check_range("step", 0, 1)) == link_checks.MAX_MESSAGES
    assert sum(map(len, link_checks.check_range("step", 0, 1))) < 1000

"""Patches dropped by hand in a link: a valid link restores them, and a broken one is explained."""

import pytest

from app.session.given_patches import from_survived, to_param
from app.session.view import View, read_view, write_slider_params
from fpc_core.config import DropStrategy, PruneSettings, QuerySettings
from fpc_core.io.packed_patches import pack

MODEL = PruneSettings(0.6, DropStrategy.SALIENT)
GIVEN = MODEL.with_given(((0, 9), (), (241,)))


def test_a_link_restores_the_given_patches_and_the_models_strategy():
    view = View(settings=QuerySettings(GIVEN))
    params = view.to_params()
    assert params["drop"] == "salient"
    assert read_view(params, 242) == (view, ())
    assert read_view({"drop": "salient", "gamma": "0.6"}, 242)[0].settings.prune == MODEL


def test_the_parameter_is_short_and_has_no_dot_at_its_end():
    assert to_param(MODEL) == ""
    assert to_param(MODEL.with_given(((), (), ()))) == "0.0.0"
    assert to_param(GIVEN).startswith("AQI.0.")
    assert len(to_param(MODEL.with_given((tuple(range(80)), tuple(range(80, 160)), tuple(range(160, 241)))))) < 130


@pytest.mark.parametrize(
    "text",
    ["", "0", "0.0", "0.0.0.0", "AQ.AQ.0", "0.0.AA", "~.0.0", "/////.0.0", "0.0." + "_" * 5000, "0.0." + pack([200])],
)
def test_a_broken_link_is_explained_and_ignored(text):
    view, problems = read_view({"given": text}, 128)
    assert view.settings.prune.strategy is DropStrategy.NON_SALIENT
    assert len(problems) == 1
    assert problems[0].startswith("The link sets the patches dropped by hand to ")
    assert problems[0].endswith(
        "the text must be complete and name only patches from 0 to 127, each once. Ignoring it."
    )
    assert len(problems[0]) < 260


def test_a_link_that_drops_every_patch_is_ignored():
    everything = to_param(PruneSettings().with_given((tuple(range(128)), (), ())))
    assert read_view({"given": everything}, 128)[1]
    assert not read_view({"given": everything}, 242)[1]


def test_the_strategy_given_needs_its_patches():
    view, problems = read_view({"drop": "given"}, 128)
    assert view.settings.prune == PruneSettings()
    assert "it must be one of non-salient, random, salient" in problems[0]


def test_counts_from_the_browser_become_patches_of_each_layer():
    assert from_survived("0132330", 3) == ((0, 6), (1,), (3,))
    assert from_survived("333", 3) == ((), (), ())


def test_an_empty_value_removes_the_parameter():
    params = {"given": "AQ.0.0", "gamma": "0.5"}
    write_slider_params(params, {"given": ""})
    assert params == {"gamma": "0.5"}
    write_slider_params(params, {"given": to_param(GIVEN)})
    assert params["given"] == to_param(GIVEN)

"""Overlays, image strips, bars and URL parameters, tested on synthetic results without a running app."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.components.bars import share_bars, timing_bars
from app.messages import escape_markdown
from app.session.view import Pin, View, read_view, write_slider_params
from fpc_core.config import DropStrategy, ModelConfig, PruneSettings, QuerySettings, Solver, TransportSettings, Variant
from fpc_core.data.browser_encoding import data_uri
from fpc_core.data.datasets import ImageRecord
from fpc_core.data.match_rule import MatchRule
from fpc_core.explain.cards import MARKS, MatchLabel, QueryIdentity, distances_of, match_label, ranked_strip
from fpc_core.explain.overlay import grid_to_pixels, heat, viridis
from fpc_core.results import Consolidation, Match, Ranking, Shortlist, Transport

OVERLAPPING = ModelConfig(stride=11)
TILED = ModelConfig(stride=16)
GREY_IMAGE = np.full((256, 128, 3), 100, np.uint8)


def record(identity: int, camera: int) -> ImageRecord:
    return ImageRecord(Path(f"gallery/{identity:04d}_c{camera + 1}.jpg"), identity, camera, "gallery")


RECORDS = [record(1, 0), record(2, 1), record(1, 1), record(3, 0), record(1, 2)]  # query: identity 1, camera 0
SUBJECT = QueryIdentity(identity=1, camera=0)
RANKING = Ranking(np.arange(5), np.array([0.1, 0.2, 0.3, 0.4, 0.5], np.float32))


def match_of(d_cos: list[float], d_emd: list[float]) -> Match:
    count = len(d_cos)
    empty = np.zeros((count, 1), np.float32)
    transport = Transport(
        np.array(d_emd, np.float32), np.ones(count, int), np.zeros(count, np.float32), empty, empty, empty, empty
    )
    return Match(Shortlist(np.arange(count), np.array(d_cos, np.float32)), transport)


def strip(**changes):
    options = {"symbol": "D", "parts": {}, "uses_cameras": True, "show": 3} | changes
    return ranked_strip("s", "A strip", RANKING, RECORDS, SUBJECT, **options)


# Overlays and heat maps


@pytest.mark.parametrize("config", [OVERLAPPING, TILED])
def test_every_patch_is_drawn_at_its_centre(config):
    labels = np.arange(config.patches).reshape(config.grid)
    y, x = (np.arange(count) * config.stride + config.patch_size // 2 for count in config.grid)
    assert grid_to_pixels(labels, config)[np.ix_(y, x)].tolist() == labels.tolist()


def test_a_grid_of_another_size_is_refused():
    with pytest.raises(ValueError, match="must have the shape of the model's patch grid"):
        grid_to_pixels(np.ones((3, 3)), TILED)


def test_a_heat_map_draws_values_and_whitens_missing_ones():
    values = np.zeros(TILED.grid, np.float32)
    values[0, 0], values[1, 0] = 2.0, np.nan
    warm = heat(GREY_IMAGE, values, TILED, top=2.0).astype(int)
    hottest, coldest, unknown = warm[4, 4], warm[4, 40], warm[20, 4]
    assert hottest[0] > coldest[0]  # Viridis ends in yellow, which has more red and green than violet.
    assert hottest[1] > coldest[1]
    assert (unknown > 200).all()


def test_a_heat_map_of_zeros_has_the_lowest_colour():
    assert (
        heat(GREY_IMAGE, np.zeros(TILED.grid), TILED, top=0.0) == heat(GREY_IMAGE, np.zeros(TILED.grid), TILED, 1)
    ).all()


def test_viridis_runs_from_violet_to_yellow_and_clips():
    ends = viridis(np.array([-1.0, 0.0, 1.0, 2.0]))
    assert ends[0].tolist() == ends[1].tolist() == [68, 1, 84]
    assert ends[2].tolist() == ends[3].tolist() == [253, 231, 36]


def test_a_lossless_image_is_pixel_exact():
    noise = np.random.default_rng(0).integers(0, 256, (256, 128, 3)).astype(np.uint8)
    head, body = data_uri(noise, lossless=True).split(",", 1)
    assert head == "data:image/webp;base64"
    assert (np.asarray(Image.open(io.BytesIO(base64.b64decode(body))).convert("RGB")) == noise).all()


# Strips


def test_the_junk_rule_needs_same_identity_and_same_camera():
    tones = [match_label(item, SUBJECT, uses_cameras=True) for item in RECORDS]
    assert tones == [MatchLabel.JUNK, MatchLabel.OTHER, MatchLabel.MATCH, MatchLabel.OTHER, MatchLabel.MATCH]
    assert match_label(RECORDS[0], SUBJECT, uses_cameras=False) is MatchLabel.MATCH
    assert match_label(RECORDS[0], QueryIdentity(), uses_cameras=True) is MatchLabel.NEUTRAL


def test_only_a_neutral_border_has_no_mark():
    assert [tone for tone, mark in MARKS.items() if not mark] == [MatchLabel.NEUTRAL]
    assert len(set(MARKS.values())) == len(MatchLabel)


def test_hidden_junk_takes_no_rank_and_is_counted():
    shown = strip()
    assert [card.id for card in shown.cards] == ["1", "2", "3"]
    assert [card.title for card in shown.cards] == ["1", "2", "3"]
    assert shown.note == "1 of the top 3 correct · 1 same-camera hidden"


def test_shown_junk_is_in_order_without_a_rank():
    shown = strip(show_junk=True)
    assert [(card.id, card.title) for card in shown.cards] == [("0", "junk"), ("1", "1"), ("2", "2"), ("3", "3")]


def test_an_upload_has_neutral_cards_and_no_score():
    shown = ranked_strip("s", "", RANKING, RECORDS, QueryIdentity(), symbol="D", parts={}, uses_cameras=True, show=5)
    assert {card.tone for card in shown.cards} == {MatchLabel.NEUTRAL}
    assert shown.note == ""


def test_a_caption_has_distance_both_parts_identity_and_camera():
    parts = distances_of(match_of([0.1, 0.2, 0.3, 0.4, 0.5], [0.5, 0.4, 0.3, 0.2, 0.1]), alpha=0.25)
    first = strip(parts=parts).cards[0]
    assert parts[1] == pytest.approx((0.25, 0.2, 0.4))
    assert first.lines == ("D 0.200", "D_cos 0.200", "D_EMD 0.400", "id 2 · cam 2")


def test_a_hit_from_outside_the_shortlist_says_so():
    assert strip().cards[0].lines[1:3] == ("beyond the", "shortlist")


def test_arrows_show_rank_changes():
    before = MatchRule(RECORDS, SUBJECT, uses_cameras=True).ranks(Ranking(np.array([3, 1, 2]), np.zeros(3)))
    assert before == {3: 1, 1: 2, 2: 3}
    assert [card.title for card in strip(before=before).cards] == ["1 ↑1", "2 ↑1", "3 ↓2"]
    assert [card.title for card in strip(before={1: 1, 2: 2}).cards] == ["1", "2", "3 ↑"]


def test_a_card_shows_its_rank_in_another_search_in_brackets():
    titles = [card.title for card in strip(before={3: 1, 1: 2, 2: 3}, other="B").cards]
    assert titles == ["1 (B 2)", "2 (B 3)", "3 (B 1)"]
    assert [card.title for card in strip(before={1: 1}, other="B").cards] == ["1", "2 (B –)", "3 (B –)"]


def test_images_used_by_the_decoder_are_tagged():
    assert [card.tag for card in strip(decoder=frozenset({2})).cards] == ["", "K", ""]


# Bars


def test_the_shares_bar_adds_up_to_the_whole():
    grids = np.zeros((2, 16, 8), np.float32)
    result = Consolidation(np.zeros(4), np.arange(2), 0.2, 0.3, np.array([0.4, 0.1]), grids[0], grids)
    (bar,) = share_bars(result)
    assert [part.share for part in bar.parts] == pytest.approx([0.2, 0.3, 0.5])
    assert [part.text for part in bar.parts] == ["[cls] 20.0 %", "query 30.0 %", "neighbours 50.0 %"]


def test_reused_stages_are_hollow_and_say_so():
    encode, rank = (bar.parts[0] for bar in timing_bars({"encode": 0.1, "rank": 0.002}, frozenset({"encode"})))
    assert (encode.text, rank.text) == ("100.0 ms, cached", "2.0 ms")
    assert (encode.hollow, rank.hollow) == (True, False)
    assert (encode.share, rank.share) == pytest.approx((1.0, 0.02))


# The view and the URL


def test_the_default_view_has_an_empty_url():
    assert View().to_params() == {}
    assert read_view({}, 128) == (View(), ())


def test_a_view_survives_the_url():
    settings = QuerySettings(
        prune=PruneSettings(0.5, DropStrategy.NON_SALIENT),
        transport=TransportSettings(Solver.EXACT, epsilon=0.02),
        variant=Variant.PAPER,
        alpha=0.15,
        neighbors=3,
    )
    view = View("query/0001_c2.jpg", 17, 4, Pin("g", 93), settings)
    assert view.to_params()["pin"] == "g93"
    assert read_view(view.to_params(), 128) == (view, ())


def test_sliders_write_only_values_other_than_the_default():
    params = {"query": "a.jpg", "alpha": "0.9"}
    write_slider_params(params, {"gamma": 0.5, "alpha": 0.4, "k": 10})
    assert params == {"query": "a.jpg", "gamma": "0.5"}
    write_slider_params(params, {"alpha": 1 / 3})
    assert read_view(params, 128)[0].settings.alpha == 1 / 3


PARAM_NAMES = {
    "gamma": "the keep rate",
    "k": "K",
    "drop": "the drop strategy",
    "solver": "the transport solver",
    "variant": "the variant",
    "neighbor": "the selected image",
    "rival": "the image to compare with",
    "pin": "the pinned patch",
}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("gamma", "2"),
        ("gamma", "nan"),
        ("alpha", "-0.1"),
        ("alpha", "much"),
        ("k", "0"),
        ("k", "2.5"),
        ("k", "1e9"),
        ("drop", "all"),
        ("variant", "<b>"),
        ("solver", ""),
        ("epsilon", "0"),
        ("neighbor", "-4"),
        ("neighbor", "x"),
        ("rival", "-1"),
        ("pin", "q128"),
        ("pin", "x3"),
        ("pin", "q-1"),
        ("pin", "g1e2"),
        ("pin", "q٣"),
        ("pin", ""),
    ],
)
def test_a_parameter_out_of_bounds_falls_back_and_says_so(name, text):
    view, problems = read_view({name: text}, 128)
    assert view == View()
    assert len(problems) == 1
    assert problems[0].startswith(f"The link sets {PARAM_NAMES.get(name, name)} to {text}, but ")


def test_a_parameter_message_uses_the_words_of_the_page():
    (halves,), (drops,) = (read_view(params, 128)[1] for params in ({"k": "5.5"}, {"drop": "all"}))
    assert "K to 5.5, but it must be a whole number from 1 to 20. Using 10." in halves
    assert drops.endswith("Using non-salient.")


def test_one_bad_parameter_does_not_spoil_the_others():
    view, problems = read_view({"gamma": "0.5", "alpha": "7"}, 128)
    assert view.settings.prune.keep_rate == 0.5
    assert view.settings.alpha == QuerySettings().alpha
    assert len(problems) == 1


# Text from outside


@pytest.mark.parametrize(
    "text", ["![x](https://example.org/a.png)", "[a](b)", "<img src=x onerror=alert(1)>", ":red[x]", "$x$"]
)
def test_markup_in_a_name_is_escaped(text):
    escaped = escape_markdown(text)
    assert escaped.replace("\\", "") == text
    for sign in "[]()<>:$!":
        assert all(escaped[at - 1] == "\\" for at, letter in enumerate(escaped) if letter == sign)


def test_long_text_is_cut_to_one_line():
    assert escape_markdown("a\n" * 300, limit=4) == "a a…"

"""A visitor's own images are the first queries of every page that has a choice of queries."""

import io

import pytest
from PIL import Image

from app.session.uploads import MAX_STORED
from tests.support.apptest import PAGES, ROOT, open_page, run_page, sent_to, texts

OPENING = "query/0001_c1_f0000002.png"


def png(value=0):
    buffer = io.BytesIO()
    Image.new("RGB", (64, 128), (value, 20, 20)).save(buffer, "PNG")
    return buffer.getvalue()


def upload(app, name, value=0):
    (uploader,) = [each for each in app.file_uploader if each.key.startswith("upload")]
    uploader.set_value((name, png(value), "image/png"))
    return run_page(app)


def strip(app):
    """Return the cards of the query strip."""
    (cards,) = [sent["strips"][0]["cards"] for sent in sent_to(app, "cards") if sent["strips"][0]["id"] == "queries"]
    return cards


def own_cards(app):
    return [(card["title"], card["selected"]) for card in strip(app) if card["id"].endswith("(your image)")]


@pytest.mark.parametrize("page", ["explore", "learn"])
def test_an_upload_is_the_first_card_and_selected(small_world_in_use, page):
    app = upload(run_page(open_page(PAGES / f"{page}.py")), "me.png")
    first, second, *_ = strip(app)
    assert (first["title"], first["selected"], first["alt"]) == ("me.png", True, "query, me.png (your image)")
    assert not second["selected"]
    assert app.selectbox(key="query").value == app.selectbox(key="query").options[0] == "me.png (your image)"
    assert not app.warning


@pytest.mark.parametrize(("page", "key"), [("lab", "l_query"), ("compare", "c_query")])
def test_other_pages_list_uploads_first_in_the_search_box(small_world_in_use, page, key):
    app = upload(run_page(open_page(PAGES / f"{page}.py")), "me.png")
    assert app.selectbox(key=key).value == app.selectbox(key=key).options[0] == "me.png (your image)"
    assert not app.warning


def test_an_upload_stays_first_while_other_queries_are_selected(small_world_in_use):
    app = upload(run_page(open_page(PAGES / "explore.py")), "me.png")
    app.selectbox(key="query").set_value(OPENING)
    assert own_cards(run_page(app)) == [("me.png", False)]
    assert "forget-upload" not in [button.key for button in app.button]
    app.selectbox(key="query").set_value("me.png (your image)")
    assert own_cards(run_page(app)) == [("me.png", True)]


def test_uploads_in_a_row_give_no_message_about_links(small_world_in_use):
    app = run_page(open_page(PAGES / "explore.py"))
    for number in range(MAX_STORED + 2):
        upload(app, "image.png", number)
        assert not app.warning, number
        assert own_cards(app)[0][1], number
        assert app.query_params["query"] == own_cards(app)[0][0] + " (your image)"
        assert not run_page(app).warning
    assert [title for title, _ in own_cards(app)] == [
        f"image ({number}).png" for number in range(MAX_STORED + 2, 2, -1)
    ]


def test_a_link_to_an_upload_of_another_visit_is_explained(small_world_in_use):
    for page, key in (("explore", "query"), ("lab", "l_query"), ("compare", "c_query")):
        app = open_page(PAGES / f"{page}.py")
        app.query_params[key] = "me.png (your image)"
        (message,) = run_page(app).warning
        assert message.value.startswith("This link points to an uploaded image, which isn't stored"), page


def test_uploads_stay_across_pages_until_they_are_removed(small_world_in_use):
    app = run_page(open_page(ROOT / "streamlit_app.py"))
    upload(app, "first.png", 1)
    own = upload(app, "second.png", 2).selectbox(key="query").value
    for page, key in (("lab", "l_query"), ("compare", "c_query"), ("learn", "query")):
        app.switch_page(f"app/pages/{page}.py")
        assert run_page(app).selectbox(key=key).value == own, page
        assert "second\\.png" in texts(app)
    app.button(key="forget-upload").click()
    assert own_cards(run_page(app)) == [("first.png", True)]
    app.button(key="forget-upload").click()
    assert not own_cards(run_page(app))
    assert app.selectbox(key="query").value == OPENING
    assert "forget-upload" not in [button.key for button in app.button]
    assert not app.warning

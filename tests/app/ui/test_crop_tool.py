"""Photos are cropped in a dialog; the boxes become queries or the visitor's own gallery."""

import io

import pytest
import streamlit as st
from PIL import Image

from app.components.crop import MAX_BOXES, CropAction, CropChoice, read_choice
from app.server.cache import RESULTS
from app.session.uploads import MAX_STORED
from app.ui import crop_tool
from app.ui.crop_tool import whole_image_note
from fpc_core.data.uploads.crops import CropBox
from tests.app.ui.test_own_images import own_cards, upload
from tests.support.apptest import PAGES, open_page, run_page, sent_to, texts
from tests.support.small_workspace import paint

SIZE = (256, 128)
PHOTO = (400, 900)
BOXES = (CropBox(30, 60, 128, 256), CropBox(330, 60, 128, 256), CropBox(630, 60, 128, 256))


def photo(people=(1, 2, 3)):
    """Return a PNG file of a photo with one painted person in each of BOXES."""
    image = Image.new("RGB", PHOTO[::-1], (150, 160, 170))
    for person, box in zip(people, BOXES, strict=True):
        image.paste(paint(person, 1), (box.left, box.top))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def decide(monkeypatch):
    """Return a function that makes a choice in the crop tool. Buttons replace the tool, which needs a browser."""
    choices = {}

    def tool(*_, key, on_done, **__):
        for name, choice in choices.items():
            st.button(name, key=f"decide-{name}", on_click=on_done, args=(choice,))

    monkeypatch.setattr(crop_tool, "crop", tool)

    def act(app, action, boxes=BOXES):
        choices[action.value] = CropChoice(action, boxes)
        run_page(app)
        app.button(key=f"decide-{action.value}").click()
        return run_page(app)

    return act


def open_photo(page="explore", data=None, name="street.png"):
    app = run_page(open_page(PAGES / f"{page}.py"))
    (uploader,) = [each for each in app.file_uploader if each.key.startswith("upload")]
    uploader.set_value((name, data or photo(), "image/png"))
    return run_page(app)


@pytest.mark.parametrize("page", ["explore", "learn", "lab", "compare"])
def test_a_photo_opens_the_tool_on_every_page_with_an_uploader(small_world_in_use, page):
    app = open_photo(page)
    (tool,) = sent_to(app, "crop")
    assert tool["photo"] == {"width": 900, "height": 400, "ratio": 0.5, "smallest": 32, "largest": 400}
    assert "street\\.png has 900 × 400 pixels" in texts(app)
    assert "(your image)" not in str(app.query_params)
    assert not app.warning


def test_a_tight_crop_needs_no_tool(small_world_in_use):
    app = upload(run_page(open_page(PAGES / "explore.py")), "me.png")
    assert sent_to(app, "crop") == []
    assert own_cards(app) == [("me.png", True)]


def test_boxes_become_queries_and_the_first_one_is_selected(small_world_in_use, decide):
    app = decide(open_photo(), CropAction.QUERIES)
    assert own_cards(app) == [
        ("box 1 of street.png", True),
        ("box 2 of street.png", False),
        ("box 3 of street.png", False),
    ]
    assert app.selectbox(key="query").value == "box 1 of street.png (your image)"
    assert sent_to(app, "crop") == []
    assert not app.warning
    assert not app.toast


def test_a_box_is_searched_like_the_same_image_uploaded_alone(small_world_in_use, decide):
    app = decide(open_photo(), CropAction.QUERIES)
    alone = io.BytesIO()
    paint(1, 1).save(alone, "PNG")
    other = run_page(open_page(PAGES / "explore.py"))
    other.file_uploader(key="upload").set_value(("one.png", alone.getvalue(), "image/png"))
    run_page(other)
    rankings = [sent_to(each, "ranking")[0]["answer"]["match"] for each in (app, other)]
    assert rankings[0] == rankings[1]


def test_the_whole_image_and_cancel(small_world_in_use, decide):
    app = decide(open_photo(), CropAction.CANCEL, ())
    assert own_cards(app) == []
    assert sent_to(app, "crop") == []
    app = decide(open_photo(), CropAction.WHOLE, ())
    assert own_cards(app) == [("street.png", True)]


def test_more_boxes_than_are_stored_remove_the_oldest_with_a_message(small_world_in_use, decide):
    app = run_page(open_page(PAGES / "explore.py"))
    for number in range(MAX_STORED - 1):
        upload(app, f"{number}.png", number)
    (uploader,) = [each for each in app.file_uploader if each.key.startswith("upload")]
    uploader.set_value(("street.png", photo(), "image/png"))
    run_page(app)
    app = decide(app, CropAction.QUERIES)
    assert len(own_cards(app)) == MAX_STORED
    assert [each.value for each in app.toast] == ["The oldest 2 of your images were removed from the queries\\."]


def test_a_limit_is_reported_and_the_boxes_are_kept(small_world_in_use, decide, monkeypatch):
    app = open_photo()
    monkeypatch.setattr("app.session.uploads.MAX_PER_MINUTE", 1)
    app = decide(app, CropAction.QUERIES)
    assert app.warning[0].value.startswith("street\\.png was not added\\: the limit is 1 uploads per minute")
    monkeypatch.setattr("app.session.uploads.MAX_PER_MINUTE", 10)
    app = decide(app, CropAction.QUERIES)
    assert len(own_cards(app)) == 3
    assert not app.warning


def own_gallery(app):
    """Return the gallery rows in the rankings, and the texts under the hits."""
    (sent,) = sent_to(app, "ranking")
    return sent["answer"]["match"]["in_sight"], [person["line"] for person in sent["answer"]["people"].values()]


def test_boxes_become_a_gallery_that_is_searched_at_once(small_world_in_use, decide):
    app = decide(open_photo(), CropAction.GALLERY)
    assert [each.value for each in app.toast] == ["Added 3 images to your gallery\\."]
    assert app.query_params["gallery"] == "own"
    rows, names = own_gallery(app)
    assert sorted(rows) == [0, 1, 2]
    assert sorted(names) == [f"box {number} of street.png" for number in (1, 2, 3)]
    assert "**Gallery** yours (3 images)" in texts(app)
    assert own_cards(app) == []  # The query is still that of the dataset.
    (final,) = [sent["final"]["cards"] for sent in sent_to(app, "ranking")]
    assert {card["tone"] for card in final} == {"neutral"}
    assert not app.warning
    app.pills(key="searched-gallery").set_value("dataset")
    app = run_page(app)
    assert "gallery" not in app.query_params
    assert len(own_gallery(app)[0]) > 3


def test_images_of_an_own_gallery_do_not_enter_shared_caches(small_world_in_use, decide):
    app = decide(open_photo(data=photo((21, 22, 23))), CropAction.GALLERY)  # Nobody in the dataset.
    sent = {uri for images in sent_to(app, "image_store") for uri in images.values()}
    assert len(sent) == 3
    with RESULTS._lock:  # Background jobs may add results at the same time.
        stored = list(RESULTS._entries.values())
    assert sent.isdisjoint(value for value, _ in stored if isinstance(value, str))


def test_a_query_from_the_gallery_finds_the_other_images(small_world_in_use, decide):
    app = decide(open_photo(data=photo((1, 2, 1))), CropAction.GALLERY)  # Boxes 1 and 3 are equal.
    assert sorted(own_gallery(app)[0]) == [0, 1]
    alone = io.BytesIO()
    paint(1, 1).save(alone, "PNG")
    (uploader,) = [each for each in app.file_uploader if each.key.startswith("upload")]
    uploader.set_value(("one.png", alone.getvalue(), "image/png"))
    app = run_page(app)
    rows, names = own_gallery(app)
    assert (rows, names) == ([1], ["box 2 of street.png"])
    (k,) = [each for each in sent_to(app, "live_sliders")[0]["sliders"] if each["name"] == "k"]
    assert (k["high"], k["value"]) == (1, 1)


@pytest.mark.parametrize("tab", ["Match", "Why", "Decoder", "Query map", "Alpha", "Patch", "By hand"])
def test_every_tab_works_with_an_own_gallery(small_world_in_use, decide, tab):
    app = decide(open_photo(), CropAction.GALLERY)
    app.session_state["tab"] = app.query_params["tab"] = tab
    run_page(app)
    assert not app.warning
    assert not app.error
    assert "save-" not in " ".join(button.key or "" for button in app.button)


@pytest.mark.parametrize("page", ["learn", "compare"])
@pytest.mark.parametrize("boxes", [1, 2])
def test_other_pages_search_small_own_galleries(small_world_in_use, decide, page, boxes):
    app = decide(open_photo(page), CropAction.GALLERY, BOXES[:boxes])
    assert f"**Gallery** yours ({boxes} image{'s' if boxes > 1 else ''})" in texts(app)
    assert not app.warning
    assert not app.error


def test_compare_restores_its_settings_for_the_gallery_of_the_dataset(small_world_in_use, decide):
    app = run_page(open_page(PAGES / "compare.py"))
    before = [app.slider(key=f"{side}_k").value for side in "ab"]
    (uploader,) = [each for each in app.file_uploader if each.key.startswith("upload")]
    uploader.set_value(("street.png", photo(), "image/png"))
    run_page(app)
    app = decide(app, CropAction.GALLERY)
    assert texts(app).count("K 3 ·") >= 2  # All images of the gallery.
    app.pills(key="searched-gallery").set_value("dataset")
    app = run_page(app)
    assert [app.slider(key=f"{side}_k").value for side in "ab"] == before
    assert "K 3 ·" not in texts(app)


def test_boxes_stay_when_the_gallery_is_full(small_world_in_use, decide, monkeypatch):
    monkeypatch.setattr("app.session.own_gallery.MAX_IMAGES", 0)
    app = decide(open_photo(), CropAction.GALLERY)
    assert "Your gallery is full" in app.warning[0].value
    monkeypatch.setattr("app.session.own_gallery.MAX_IMAGES", 32)
    app = decide(app, CropAction.GALLERY)
    assert len(own_gallery(app)[0]) == 3


def test_a_small_gallery_does_not_change_k(small_world_in_use, decide, monkeypatch):
    def sliders(shown, *, on_release, **_):
        values = {each.name: each.value for each in shown}
        st.caption(f"K shown {values['k']}")
        st.button("release", key="release", on_click=on_release, args=({**values, "alpha": 0.7},))

    monkeypatch.setattr("app.ui.controls.live_sliders", sliders)
    app = decide(open_photo(), CropAction.GALLERY)
    assert "K shown 3" in texts(app)
    app.button(key="release").click()
    app = run_page(run_page(app))  # The first run is a run of the fragment with the rankings.
    assert app.query_params["alpha"] == "0.7"
    app.pills(key="searched-gallery").set_value("dataset")
    assert "K shown 10" in texts(run_page(app))


def test_a_gallery_that_cannot_be_encoded_is_reported(small_world_in_use, decide, monkeypatch):
    def fail(*_):
        raise ValueError("tokens exceed the range of float16; check the weights")

    monkeypatch.setattr("app.ui.gallery_choice.encode_images", fail)
    app = decide(open_photo(), CropAction.GALLERY)
    assert app.warning[0].value.startswith("Your gallery cannot be encoded\\: tokens exceed the range of float16")
    assert "gallery" not in app.query_params
    assert len(own_gallery(app)[0]) > 3


def test_the_lab_keeps_the_gallery_of_the_dataset(small_world_in_use, decide):
    app = decide(open_photo("lab"), CropAction.GALLERY)
    assert "gallery" not in app.query_params
    assert [each.value for each in app.toast] == ["Added 3 images to your gallery\\."]
    assert "**Gallery** yours" not in texts(app)


def test_an_upload_is_added_to_the_gallery_and_removed_again(small_world_in_use):
    app = upload(run_page(open_page(PAGES / "explore.py")), "me.png")
    app.button(key="add-to-gallery").click()
    app = run_page(app)
    assert own_gallery(app)[1] == ["me.png"]  # The only image is found although it is the query.
    assert app.button(key="add-to-gallery").disabled
    app.button(key="remove-own").click()
    app = run_page(app)
    assert "gallery" not in app.query_params
    assert len(own_gallery(app)[0]) > 1
    assert not app.warning


def test_a_link_to_an_own_gallery_of_another_visit_is_explained(small_world_in_use):
    for page in ("explore", "learn", "compare"):
        app = open_page(PAGES / f"{page}.py")
        app.query_params["gallery"] = "own"
        (message,) = run_page(app).warning
        assert message.value.startswith("This link searches a visitor's own gallery, which isn't stored"), page
        assert "gallery" not in app.query_params
    app = open_page(PAGES / "explore.py")
    app.query_params["gallery"] = "theirs"
    (message,) = run_page(app).warning
    assert message.value.startswith("The link sets gallery to theirs, but it must be one of own")


def test_a_photo_too_small_for_a_box_is_refused(small_world_in_use):
    buffer = io.BytesIO()
    Image.new("RGB", (40, 10)).save(buffer, "PNG")
    app = open_photo(data=buffer.getvalue(), name="thin.png")
    assert app.warning[0].value.startswith("thin\\.png has 40 x 10 pixels, too few")
    assert sent_to(app, "crop") == []


@pytest.mark.parametrize(
    ("photo_size", "effect"),
    [
        ((1080, 1920), "which makes people 3.6 times thinner."),
        ((400, 100), "which makes people 2.0 times wider."),
        ((1920, 1080), "with little distortion."),
    ],
)
def test_the_effect_of_the_whole_image_is_stated(photo_size, effect):
    assert whole_image_note(photo_size, SIZE).endswith(effect)


GOOD = [30, 60, 128, 256]


@pytest.mark.parametrize(
    "value",
    [
        {"action": "steal", "boxes": [GOOD]},
        {"action": "queries", "boxes": []},
        {"action": "queries", "boxes": [GOOD] * (MAX_BOXES + 1)},
        {"action": "queries", "boxes": [[30, 60, 128]]},
        {"action": "queries", "boxes": [[30, 60, 256, 256]]},
        {"action": "queries", "boxes": [[800, 60, 128, 256]]},
        {"action": "queries", "boxes": [[30.5, 60, 128, 256]]},
        {"action": "queries", "boxes": [[True, 60, 128, 256]]},
        {"action": "queries", "boxes": [["30", 60, 128, 256]]},
        {"action": "queries", "boxes": "all"},
        {"action": "queries"},
        [],
    ],
)
def test_forged_decisions_are_refused(value):
    with pytest.raises((ValueError, TypeError, KeyError)):
        read_choice(value, PHOTO, SIZE)


def test_a_decision_has_boxes_in_pixels():
    choice = read_choice({"action": "gallery", "boxes": [GOOD, [30.0, 60, 128, 256]]}, PHOTO, SIZE)
    assert choice == CropChoice(CropAction.GALLERY, (BOXES[0], BOXES[0]))
    assert read_choice({"action": "cancel", "boxes": []}, PHOTO, SIZE).boxes == ()

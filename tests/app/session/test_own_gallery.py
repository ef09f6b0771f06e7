"""The visitor's own gallery: a limited number of different images, and the query parameter that selects it."""

import numpy as np
from streamlit.testing.v1 import AppTest

from app.session.own_gallery import MAX_IMAGES
from app.session.uploads import UploadedImage
from tests.support.apptest import run_page

SIZE = (32, 16)


def page():
    """Call a function of `own_gallery`, and show its result and the names of the images in the gallery."""
    import streamlit as st

    from app.session import own_gallery

    name, arguments = st.session_state["call"]
    st.markdown(str(getattr(own_gallery, name)(*arguments)))
    st.caption(", ".join(image.name for image in own_gallery.gallery_images((32, 16))))


def image(value, name=None):
    return UploadedImage(name or f"{value}.png", f"digest {value}", np.full((*SIZE, 3), value, np.uint8))


def call(visitor, name, *arguments):
    visitor.session_state["call"] = (name, arguments)
    run_page(visitor)
    return visitor.markdown[0].value


def names(visitor):
    return visitor.caption[0].value if visitor.caption else ""


def test_images_with_the_same_pixels_are_added_once():
    visitor = AppTest.from_function(page)
    assert call(visitor, "add_images", [image(1), image(2)], SIZE) == "Added 2 images to your gallery."
    again = [image(2, "other name.png"), image(3), image(3)]
    message = call(visitor, "add_images", again, SIZE)
    assert message == "Added 1 image to your gallery; 1 image was already in it."
    assert names(visitor) == "1.png, 2.png, 3.png"


def test_the_number_of_images_is_limited_and_the_rest_is_reported():
    visitor = AppTest.from_function(page)
    message = call(visitor, "add_images", [image(value) for value in range(MAX_IMAGES + 2)], SIZE)
    assert message == "Added 32 images to your gallery; 2 images did not fit, because the gallery can hold 32 images."
    assert names(visitor).endswith(f"{MAX_IMAGES - 1}.png")
    assert call(visitor, "add_images", [image(99)], SIZE).startswith("Added 0 images to your gallery; 1 image did")


def test_images_are_removed_one_by_one_or_all_at_once():
    visitor = AppTest.from_function(page)
    call(visitor, "add_images", [image(1), image(2), image(3)], SIZE)
    visitor.query_params["gallery"] = "own"
    visitor.query_params["neighbor"] = "2"
    call(visitor, "remove_image", "2.png", SIZE)
    assert names(visitor) == "1.png, 3.png"
    assert dict(visitor.query_params) == {"gallery": "own"}  # The row of the selected hit is no longer valid.
    call(visitor, "clear")
    assert names(visitor) == ""
    assert "gallery" not in visitor.query_params


def test_removing_the_last_image_ends_the_search_in_the_own_gallery():
    visitor = AppTest.from_function(page)
    call(visitor, "add_images", [image(1)], SIZE)
    visitor.query_params["gallery"] = "own"
    call(visitor, "remove_image", "1.png", SIZE)
    assert "gallery" not in visitor.query_params


def test_images_for_another_input_size_are_replaced():
    visitor = AppTest.from_function(page)
    large = UploadedImage("large.png", "x", np.zeros((64, 32, 3), np.uint8))
    call(visitor, "add_images", [large], (64, 32))
    assert names(visitor) == ""
    call(visitor, "add_images", [image(1)], SIZE)
    assert names(visitor) == "1.png"
    assert len(visitor.session_state["own-gallery"]) == 1


def test_visitors_do_not_share_their_galleries():
    one, other = AppTest.from_function(page), AppTest.from_function(page)
    call(one, "add_images", [image(1)], SIZE)
    assert call(other, "gallery_images", SIZE) == "()"


def test_removing_an_image_keeps_the_selected_hit_of_the_dataset():
    visitor = AppTest.from_function(page)
    call(visitor, "add_images", [image(1), image(2)], SIZE)
    for name, arguments in (("remove_image", ("1.png", SIZE)), ("clear", ())):
        visitor.query_params["neighbor"] = "812"
        call(visitor, name, *arguments)
        assert visitor.query_params["neighbor"] == "812"


def test_a_gallery_is_full_with_the_maximum_number_of_images():
    visitor = AppTest.from_function(page)
    call(visitor, "add_images", [image(value) for value in range(MAX_IMAGES - 1)], SIZE)
    assert call(visitor, "is_full", SIZE) == "False"
    call(visitor, "add_images", [image(99)], SIZE)
    assert call(visitor, "is_full", SIZE) == "True"

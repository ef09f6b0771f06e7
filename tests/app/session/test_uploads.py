"""A visitor's own images: decoded once, few stored, and limited in number."""

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from app.session import uploads
from app.session.uploads import MAX_PER_MINUTE, MAX_PER_VISIT, MAX_STORED, count_upload, unique_name
from fpc_core.data.images import ImageError
from fpc_core.data.uploads.sandboxed_decode import DecodedPhoto
from tests.core.data.test_images import encoded
from tests.support.apptest import run_page


def page():
    """Show the mean value of an uploaded image, or its error, and the names of all stored uploads."""
    import streamlit as st

    from app.session.uploads import add_upload, stored_uploads
    from fpc_core.data.images import ImageError

    name, data = st.session_state["file"]
    try:
        st.markdown(f"{add_upload(name, data, (32, 16)).image.mean():.0f}")
    except ImageError as error:
        st.warning(str(error))
    st.caption(", ".join(upload.name for upload in stored_uploads((32, 16))))


def flat(value):
    return encoded(Image.new("RGB", (16, 32), (value,) * 3))


@pytest.fixture
def decoded(monkeypatch):
    """Return a list that receives the names of decoded images. A stub replaces the slow decoding in a subprocess."""
    names = []

    def decode(data, name, size, side):
        names.append(name)
        if data == b"bad":
            raise ImageError(f"{name} is bad")
        image = np.full((*size, 3), len(data) % 200, np.uint8)
        return DecodedPhoto(size, image, image)

    monkeypatch.setattr(uploads, "preview_in_subprocess", decode)
    return names


def shown(visitor, name, data):
    visitor.session_state["file"] = (name, data)
    return run_page(visitor)


def test_images_are_decoded_once_and_few_are_stored(decoded, monkeypatch):
    monkeypatch.setattr(uploads, "MAX_PER_MINUTE", 20)
    visitor = AppTest.from_function(page)
    for at in range(MAX_STORED + 2):
        shown(visitor, f"{at}.png", bytes(at + 1))
        run_page(visitor)  # Another run, such as after a slider move.
        assert visitor.markdown[0].value == str(at + 1)
    assert decoded == [f"{at}.png" for at in range(MAX_STORED + 2)]
    assert visitor.caption[0].value == "9.png, 8.png, 7.png, 6.png, 5.png, 4.png, 3.png, 2.png"
    shown(visitor, "2.png", bytes(3))  # This image is still stored.
    assert visitor.caption[0].value == "2.png, 9.png, 8.png, 7.png, 6.png, 5.png, 4.png, 3.png"
    shown(visitor, "0.png", bytes(1))  # This image was removed, so it is decoded again.
    assert decoded[MAX_STORED + 2 :] == ["0.png"]


def test_a_bad_image_is_reported_and_not_stored(decoded):
    visitor = AppTest.from_function(page)
    shown(visitor, "good.png", b"good")
    shown(visitor, "it.png", b"bad")
    assert visitor.warning[0].value == "it.png is bad"
    assert visitor.caption[0].value == "good.png"


def test_images_of_the_same_file_name_are_numbered(decoded):
    visitor = AppTest.from_function(page)
    for at in range(3):
        shown(visitor, "image.png", bytes(at + 1))
    assert visitor.caption[0].value == "image (3).png, image (2).png, image.png"
    for at in range(MAX_STORED - 2):
        shown(visitor, "other.png", bytes(at + 10))
    assert shown(visitor, "image.png", bytes(2)).caption[0].value.startswith("image (2).png, ")  # It keeps its name.


@pytest.mark.parametrize(
    ("name", "known_as"),
    [
        ("../a\\b.png", ".. a b.png"),
        ("a\n\u202eb\ud800.png", "a b .png"),
        ("", "image"),
        ("x" * 200 + ".png", "x" * 56 + ".png"),
        (".png", ".png"),
    ],
)
def test_file_names_are_printable_and_short(name, known_as):
    assert unique_name(name, ()) == known_as
    assert unique_name(name, [known_as]) != known_as


def test_too_many_uploads_a_minute_are_refused(decoded):
    visitor, other = AppTest.from_function(page), AppTest.from_function(page)
    for at in range(MAX_PER_MINUTE):
        shown(visitor, f"{at}.png", bytes(at + 1))
    shown(visitor, "more.png", b"more")
    assert visitor.warning[0].value.startswith("more.png was not added: the limit is 10 uploads per minute")
    assert len(decoded) == MAX_PER_MINUTE
    shown(visitor, f"{MAX_PER_MINUTE - 1}.png", bytes(MAX_PER_MINUTE))  # The limit does not apply to stored images.
    assert not visitor.warning
    assert not shown(other, "mine.png", b"mine").warning  # The limit applies to each visitor separately.


def test_uploads_resume_after_a_minute_up_to_the_limit_of_a_visit():
    times = ()
    for at in range(MAX_PER_MINUTE):
        times = count_upload(times, float(at), "a.png")
    with pytest.raises(ImageError, match=r"a\.png was not added: the limit is 10 uploads per minute"):
        count_upload(times, 59.9, "a.png")
    assert len(count_upload(times, 60.0, "a.png")) == MAX_PER_MINUTE + 1
    with pytest.raises(ImageError, match=r"a\.png was not added: the limit is 200 images per visit"):
        count_upload([0.0] * MAX_PER_VISIT, 1e9, "a.png")


def test_an_upload_is_decoded_in_a_subprocess():
    visitor = AppTest.from_function(page, default_timeout=60)
    assert shown(visitor, "me.png", flat(77)).markdown[0].value == "77"

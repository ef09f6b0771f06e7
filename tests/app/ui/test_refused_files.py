"""A refused file is removed from the uploader, and the reason is shown below it until the next file."""

import io

import pytest
from PIL import Image

from tests.support.apptest import PAGES, open_page, run_page


def png():
    buffer = io.BytesIO()
    Image.new("RGB", (64, 128), (90, 20, 20)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("page", "name", "accepted"),
    [("explore", "upload", ("me.png", png(), "image/png")), ("figures", "recipe", None), ("lab", "lab-recipe", None)],
)
def test_a_refused_file_is_removed_and_its_reason_is_shown(small_world_in_use, page, name, accepted):
    page = run_page(open_page(PAGES / f"{page}.py"))
    page.file_uploader(key=name).set_value(("notes.json", b"nothing", "application/json"))
    run_page(page)
    (uploader,) = [each for each in page.file_uploader if each.key.startswith(name)]
    assert uploader.key == f"{name}-1"
    assert not uploader.value
    for _ in range(2):
        (reason,) = [each.value for each in run_page(page).sidebar.warning]
        assert "notes\\.json" in reason
    if accepted:
        page.file_uploader(key=f"{name}-1").set_value(accepted)
        assert not run_page(page).warning


def test_an_upload_keeps_its_camera_on_all_pages(small_world_in_use):
    app = run_page(open_page(PAGES.parents[1] / "streamlit_app.py"))
    app.file_uploader(key="upload").set_value(("me.png", png(), "image/png"))
    for number in (3, 2):
        run_page(app).selectbox(key="camera").set_value(number)
        assert run_page(app).selectbox(key="camera").value == number
    for name in ("lab", "learn", "explore"):
        app.switch_page(f"app/pages/{name}.py")
        assert run_page(app).selectbox(key="camera").value == 2, name
    app.file_uploader(key="upload-1").set_value(("other.png", png()[:-1] + b"\x00", "image/png"))
    assert run_page(app).selectbox(key="camera").value == 0

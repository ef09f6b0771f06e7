"""The crop tool in a browser: cutting people out of a photo by pointer, touch and keyboard."""

import io
import re
from pathlib import Path

import pytest
from PIL import Image

from tests.browser.test_accessibility import severe_problems
from tests.browser.test_own_images import first_cards, paste, wait_for_selected
from tests.support.browser import captions, console_errors, open_demo, order, settle, until, wait_for_frame

pytestmark = pytest.mark.browser
QUERIES = Path(__file__).resolve().parents[2] / "assets" / "demo" / "query"
WIDTH, HEIGHT = 1920, 1080
PERSON = (200, 400)  # Width and height of a person in the photo.
LEFT, TOP = (60, 430, 800, 1170, 1540), 500
BOX = ".fpc-crop .box"
STAGE = ".fpc-crop .stage"
MARKUP = "<img src=x onerror=alert(1)> **street**.jpg"


def street(orientation=1):
    """Return a JPEG of a photo with five people of the demo side by side."""
    photo = Image.new("RGB", (WIDTH, HEIGHT), (150, 160, 170))
    photo.paste((110, 110, 112), (0, 700, WIDTH, HEIGHT))
    for left, path in zip(LEFT, sorted(QUERIES.iterdir())[::25], strict=False):
        photo.paste(Image.open(path).convert("RGB").resize(PERSON), (left, TOP))
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    stored = photo.transpose(Image.Transpose.ROTATE_90) if orientation == 6 else photo
    stored.save(buffer, "JPEG", quality=90, exif=exif)
    return buffer.getvalue()


@pytest.fixture(params=["desktop", "phone"])
def visitor(request, browser, url):
    """Return Explore at 1280 px with a mouse, or at 390 px with touch. Afterwards, check the console for errors."""
    phone = request.param == "phone"
    size = {"width": 390, "height": 844} if phone else {"width": 1280, "height": 900}
    context = browser.new_context(viewport=size, has_touch=phone, is_mobile=phone)
    page = context.new_page()
    errors = console_errors(page)
    open_demo(page, url)
    yield page
    settle(page)
    assert page.get_by_test_id("stException").count() == 0
    context.close()
    assert errors == []


def choose_photo(page, data=None, name="street.jpg"):
    page.locator("[class*='st-key-upload'] input[type=file]").set_input_files(
        [{"name": name, "mimeType": "image/jpeg", "buffer": data or street()}]
    )
    page.locator("[data-act=queries]").wait_for()
    page.locator(BOX).first.wait_for()
    settle(page)


def boxes(page):
    """Return left, top, width and height of every box in pixels of the photo, from its label."""
    wait_for_frame(page)
    labels = page.locator(BOX).evaluate_all("boxes => boxes.map((box) => box.getAttribute('aria-label'))")
    return [tuple(map(int, re.findall(r"\d+", label)[2:])) for label in labels]


def on_screen(page, x, y):
    """Return the position on the screen of a pixel of the photo."""
    area = page.locator(STAGE).bounding_box()
    return area["x"] + x / WIDTH * area["width"], area["y"] + y / HEIGHT * area["height"]


def drag(page, start, end):
    """Drag the mouse from one pixel of the photo to another."""
    page.locator(STAGE).scroll_into_view_if_needed()
    (x, y), (to_x, to_y) = on_screen(page, *start), on_screen(page, *end)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(to_x, to_y, steps=8)
    page.mouse.up()


def tap(page, x, y):
    page.locator(STAGE).scroll_into_view_if_needed()
    position = on_screen(page, x, y)
    if page.viewport_size["width"] < 500:
        page.touchscreen.tap(*position)
    else:
        page.mouse.click(*position)


def test_a_photo_of_five_people_becomes_two_queries_and_a_gallery(visitor):
    page = visitor
    before = order(page, "final")
    choose_photo(page)
    assert boxes(page) == [(744, 108, 432, 864)]
    page.locator("[data-act=remove]").click()
    assert boxes(page) == []
    assert page.locator("[data-act=queries]").is_disabled()
    drag(page, (LEFT[0], TOP), (LEFT[0] + PERSON[0], TOP + PERSON[1]))  # Draw a box around the first person.
    tap(page, LEFT[2] + 100, TOP + 200)  # Add a box of the same size on the third person.
    assert len(boxes(page)) == 2
    for box, left in zip(boxes(page), (LEFT[0], LEFT[2]), strict=True):
        assert box == pytest.approx((left, TOP, *PERSON), abs=12)
    assert page.locator("[data-act=queries]").inner_text() == "Use as 2 queries"
    page.locator("[data-act=queries]").click()
    wait_for_selected(page, "box 1 of street.jpg")
    assert first_cards(page, 2) == ["box 1 of street.jpg", "box 2 of street.jpg"]
    assert page.locator("[data-act=queries]").count() == 0
    with_box = order(page, "final")
    assert with_box != before

    choose_photo(page)
    page.locator("[data-act=remove]").click()
    drag(page, (LEFT[1], TOP), (LEFT[1] + PERSON[0], TOP + PERSON[1]))
    for left in LEFT[2:]:
        tap(page, left + 90, TOP + 190)
    assert len(boxes(page)) == 4
    page.locator("[data-act=gallery]").click()
    page.locator("[data-act=gallery]").wait_for(state="detached")
    page.get_by_text("Added 4 images to your gallery.").wait_for()
    settle(page)
    assert sorted(order(page, "final")) == [f"final/{row}" for row in range(4)]
    assert page.locator(".st-key-status").get_by_text("yours (4 images)").count() == 1
    assert all("✓" not in text and "✗" not in text for text in captions(page, "final"))
    page.locator("[data-card='queries/box 2 of street.jpg (your image)']").click()
    wait_for_selected(page, "box 2 of street.jpg")
    settle(page)
    # The gallery image shows the same person in a slightly different box.
    assert order(page, "distance")[0] == "distance/1"
    if page.viewport_size["width"] < 500:
        page.get_by_test_id("stExpandSidebarButton").click()
    page.get_by_test_id("stSidebar").get_by_text("dataset", exact=True).click()
    until(page, lambda: "gallery" not in page.url)
    settle(page)
    assert len(order(page, "final")) == 10
    assert page.get_by_test_id("stAlert").count() == 0


def test_boxes_are_dragged_and_resized_within_the_photo(visitor):
    page = visitor
    choose_photo(page)
    (left, top, width, height) = boxes(page)[0]
    drag(page, (left + 200, top + 400), (left - 100, top + 380))
    moved = boxes(page)[0]
    assert moved == pytest.approx((left - 300, top - 20, width, height), abs=12)
    drag(page, (moved[0] + 216, moved[1] + 432), (0, 0))
    assert boxes(page)[0] == (0, 0, width, height)
    drag(page, (width, height), (width - 200, height - 400))
    assert boxes(page)[0] == pytest.approx((0, 0, width - 200, height - 400), abs=20)
    drag(page, (boxes(page)[0][2], boxes(page)[0][3]), (WIDTH, HEIGHT))
    assert boxes(page)[0] == pytest.approx((0, 0, 540, 1080), abs=4)


def test_the_keyboard_places_boxes_and_reaches_everything(page):
    choose_photo(page)
    box = page.locator(BOX).first
    box.focus()
    (left, top, width, height) = boxes(page)[0]
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowUp")
    step = [new - old for new, old in zip(boxes(page)[0], (left, top, width, height), strict=True)]
    assert step == [10, -77, 0, 0]
    page.keyboard.press("-")
    assert boxes(page)[0][3] < height
    page.keyboard.press("+")
    page.keyboard.press("+")
    assert boxes(page)[0][3] > height
    page.locator("[data-act=add]").focus()
    page.keyboard.press("Enter")
    page.wait_for_function("document.activeElement.dataset.box === '1'")
    assert len(boxes(page)) == 2
    page.keyboard.press("Delete")
    assert len(boxes(page)) == 1
    reached = set()
    for _ in range(30):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate("document.activeElement.dataset.act ?? (document.activeElement.dataset.box ? 'box' : '')")
        )
    controls = {"box", "add", "remove", "smaller", "larger", "in", "queries", "gallery", "whole", "cancel"}
    assert controls <= reached
    page.keyboard.press("Escape")
    page.locator("[data-act=queries]").wait_for(state="detached")
    settle(page)
    page.reload()
    settle(page)
    assert page.locator("[data-act=queries]").count() == 0


def test_keys_on_a_box_do_not_change_the_page_below(page):
    before = page.url
    choose_photo(page)
    page.locator(BOX).first.focus()
    for key in ("n", "p", "1", "ArrowRight", "ArrowLeft"):
        page.keyboard.press(key)
    page.locator("[data-act=cancel]").click()
    page.locator("[data-act=cancel]").wait_for(state="detached")
    settle(page)
    assert page.url == before


def test_a_turned_photo_is_shown_and_cropped_upright(page):
    choose_photo(page, street(orientation=6))
    shape = page.locator(STAGE).bounding_box()
    assert shape["width"] / shape["height"] == pytest.approx(WIDTH / HEIGHT, rel=0.02)
    assert page.get_by_role("dialog").get_by_text("1,920 × 1,080 pixels").count() == 1


def test_a_zoomed_photo_can_be_moved_and_tapped(visitor):
    page = visitor
    choose_photo(page)
    page.locator("[data-act=remove]").click()
    for _ in range(2):
        page.locator("[data-act=in]").click()
    view = page.locator(".fpc-crop .view")
    before = view.evaluate("view => view.scrollLeft")
    area = view.bounding_box()
    page.mouse.move(area["x"] + 150, area["y"] + 60)
    page.mouse.down()
    page.mouse.move(area["x"] + 60, area["y"] + 60, steps=5)
    page.mouse.up()
    assert view.evaluate("view => view.scrollLeft") == pytest.approx(before + 90, abs=3)
    assert boxes(page) == []
    page.mouse.click(area["x"] + 100, area["y"] + 100)
    assert len(boxes(page)) == 1


def test_a_file_name_is_never_markup(page):
    choose_photo(page, name=MARKUP)
    dialog = page.get_by_role("dialog")
    assert dialog.get_by_text("**street**").count() == 1
    assert page.locator("img[src=x]").count() == 0
    page.locator("[data-act=whole]").click()
    wait_for_selected(page, MARKUP.replace("/", " "))
    assert page.locator("img[src=x]").count() == 0


def test_a_pasted_photo_opens_the_tool(page):
    paste(page, "body", "image.png", street())
    page.locator("[data-act=queries]").wait_for()


def test_axe_finds_nothing_serious_in_the_tool(page):
    choose_photo(page)
    page.locator("[data-act=add]").click()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.wait_for_function(
            "scheme => getComputedStyle(document.querySelector('.stApp')).colorScheme === scheme", arg=scheme
        )
        settle(page)
        assert severe_problems(page) == []


def test_fingers_drag_boxes_and_corners_without_scrolling_the_page(browser, url):
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = context.new_page()
    open_demo(page, url)
    choose_photo(page)
    session = context.new_cdp_session(page)

    def swipe(start, end):
        path = [on_screen(page, *start), on_screen(page, *end)]
        steps = [[from_ + (to - from_) * step / 8 for from_, to in zip(*path, strict=True)] for step in range(9)]
        for kind, place in zip(("touchStart", *["touchMove"] * 8), steps, strict=True):
            session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": place[0], "y": place[1]}]})
        session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    left, top, width, height = boxes(page)[0]
    place = page.locator(STAGE).bounding_box()
    swipe((left + 216, top + 432), (left - 84, top + 632))
    left, top = boxes(page)[0][:2]
    assert (left, top) == pytest.approx((444, 216), abs=12)
    # The touch starts beside the corner.
    swipe((left + width + 40, top + height + 40), (left + width - 160, top + height - 360))
    assert boxes(page)[0][:2] == (left, top)
    assert boxes(page)[0][3] == pytest.approx(height - 360, abs=90)
    assert page.locator(STAGE).bounding_box() == place
    context.close()


def test_handles_are_large_enough_for_fingers(browser, url):
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = context.new_page()
    open_demo(page, url)
    choose_photo(page)
    sizes = page.locator(".fpc-crop .handle:is(.nw, .se)").evaluate_all(
        "handles => handles.map((each) => { const area = getComputedStyle(each, '::after');"
        "return [parseFloat(area.width), parseFloat(area.height)]; })"
    )
    assert sizes
    assert all(min(size) >= 44 for size in sizes)
    heights = page.locator(".fpc-crop .bar button").evaluate_all("buttons => buttons.map((each) => each.offsetHeight)")
    assert min(heights) >= 44
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    context.close()

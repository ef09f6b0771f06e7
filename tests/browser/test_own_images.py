"""A visitor's own image can be dropped or pasted anywhere on the page, and is then the first query."""

import base64
import io

import pytest
from PIL import Image

from tests.support.browser import open_demo, order, settle

pytestmark = pytest.mark.browser
TRANSFER = """([name, type, base64]) => {
  const bytes = Uint8Array.from(atob(base64), (each) => each.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name, { type }));
  return transfer;
}"""
HINT = ".fpc-drop-hint"


def png(colour):
    buffer = io.BytesIO()
    Image.new("RGB", (64, 128), colour).save(buffer, "PNG")
    return buffer.getvalue()


def transfer(page, name, data, kind="image/png"):
    """Return a handle of the browser's `DataTransfer` object for a dragged or copied file.

    Args:
        page: Page on which the file is used.
        name: Name of the file.
        data: Content of the file.
        kind: MIME type of the file.
    """
    return page.evaluate_handle(TRANSFER, [name, kind, base64.b64encode(data).decode()])


def drop(page, name, data, kind="image/png"):
    page.dispatch_event("[data-testid='stMain']", "drop", {"dataTransfer": transfer(page, name, data, kind)})


def paste(page, where, name, data):
    page.evaluate(
        """([where, data]) => document.querySelector(where).dispatchEvent(
          new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true }))""",
        [where, transfer(page, name, data)],
    )


def choose(page, name, data):
    page.locator("[class*='st-key-upload'] input[type=file]").set_input_files(
        [{"name": name, "mimeType": "image/png", "buffer": data}]
    )


def wait_for_selected(page, name):
    page.locator(f"[data-card='queries/{name} (your image)'][aria-pressed='true']").wait_for()
    settle(page)


def first_cards(page, count):
    return [each.removeprefix("queries/").removesuffix(" (your image)") for each in order(page, "queries")[:count]]


def test_an_image_can_be_dropped_anywhere(page):
    before = order(page, "distance")
    data = transfer(page, "me & you #1 100%+.png", png("navy"))
    page.dispatch_event("[data-testid='stMain']", "dragover", {"dataTransfer": data})
    assert page.locator(HINT).inner_text() == "Drop an image to search with it"
    page.dispatch_event("[data-testid='stMain']", "drop", {"dataTransfer": data})
    assert not page.locator(HINT).is_visible()
    wait_for_selected(page, "me & you #1 100%+.png")
    assert first_cards(page, 1) == ["me & you #1 100%+.png"]
    assert page.get_by_role("combobox", name="Query").input_value() == "me & you #1 100%+.png (your image)"
    assert order(page, "distance") != before
    assert page.get_by_test_id("stAlert").count() == 0


def test_the_drop_hint_disappears_when_the_drag_ends_elsewhere(page):
    page.dispatch_event("[data-testid='stMain']", "dragover", {"dataTransfer": transfer(page, "a.png", b"")})
    page.locator(HINT).wait_for()
    page.locator(HINT).wait_for(state="detached")


def test_an_image_can_be_pasted_and_text_still_goes_into_fields(page):
    paste(page, "body", "image.png", png("teal"))
    wait_for_selected(page, "image.png")
    box = page.get_by_role("combobox", name="Query")
    box.focus()
    page.evaluate("""() => {
      const data = new DataTransfer();
      data.setData("text/plain", "0002");
      const event = new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true });
      window.wasTaken = !document.activeElement.dispatchEvent(event);
    }""")
    assert page.evaluate("window.wasTaken") is False


def test_uploads_in_a_row_stay_in_the_strip_and_give_no_message(page):
    for number, (name, give) in enumerate((("first.png", choose), ("second.png", choose), ("third.png", drop)), 1):
        give(page, name, png((40 * number, 20, 20)))
        wait_for_selected(page, name)
        assert page.get_by_test_id("stAlert").count() == 0
    assert first_cards(page, 3) == ["third.png", "second.png", "first.png"]
    page.locator("[data-card^='queries/'][data-card$='.jpg']").first.click()
    page.locator("[data-card$='.jpg'][aria-pressed='true']").first.wait_for()
    settle(page)
    assert first_cards(page, 3) == ["third.png", "second.png", "first.png"]
    page.locator("[data-card='queries/first.png (your image)']").click()
    wait_for_selected(page, "first.png")
    page.get_by_role("button", name="Remove").click()
    wait_for_selected(page, "third.png")
    assert first_cards(page, 2) == ["third.png", "second.png"]
    assert page.get_by_test_id("stAlert").count() == 0


def test_an_image_follows_the_visitor_to_other_pages(page):
    drop(page, "me.png", png("maroon"))
    wait_for_selected(page, "me.png")
    settle(page)
    for name in ("Learn", "Lab", "Compare"):
        page.get_by_role("link", name=name, exact=True).click()
        page.wait_for_url(f"**/{name.lower()}*")
        settle(page)
        assert page.get_by_role("combobox", name="Query").input_value() == "me.png (your image)", name
        assert page.get_by_test_id("stAlert").count() == 0, name
        drop(page, f"{name}.png", png((len(name), 0, 0)))
        page.wait_for_function(
            "name => document.querySelector('[role=combobox][aria-label*=Query]')?.value.startsWith(name)", arg=name
        )
        settle(page)
        page.get_by_role("button", name="Remove").click()
        settle(page)


def test_a_refused_drop_names_the_accepted_formats(page):
    drop(page, "note.txt", b"no image", "text/plain")
    alert = page.get_by_test_id("stAlert").get_by_text("note.txt")
    alert.wait_for()
    assert "HEIC" in alert.inner_text()


@pytest.mark.parametrize("viewport", [(1280, 720), (390, 844)])
def test_dropping_works_while_the_sidebar_is_collapsed(browser, url, viewport):
    page = browser.new_page(viewport={"width": viewport[0], "height": viewport[1]})
    open_demo(page, url)
    if page.get_by_test_id("stExpandSidebarButton").count() == 0:
        page.get_by_test_id("stSidebar").hover()
        page.get_by_test_id("stSidebarCollapseButton").locator("button").click()
    page.get_by_test_id("stExpandSidebarButton").wait_for()
    drop(page, "me.png", png("olive"))
    wait_for_selected(page, "me.png")
    page.close()

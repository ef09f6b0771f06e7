"""The Data page in a browser: typed paths, the image check and the gallery map."""

import pytest

from fpc_core.data.datasets import open_dataset
from fpc_core.explain.cards import identity_label
from fpc_core.workspace import Places
from tests.support.browser import settle

pytestmark = pytest.mark.browser


@pytest.fixture
def data(page):
    page.get_by_role("link", name="Data", exact=True).click()
    page.get_by_text("Gallery map").wait_for()
    page.locator(".js-plotly-plot .legendtext").first.wait_for()
    settle(page)
    return page


def choose(page, label, text):
    box = page.get_by_role("combobox", name=label)
    box.click()
    box.fill(text)
    page.keyboard.press("Enter")
    settle(page)


def test_images_are_checked_and_a_path_outside_the_roots_is_refused(data):
    dataset = open_dataset(Places().data)
    count = len(dataset.query) + len(dataset.gallery)
    data.get_by_role("button", name="Check all images for errors").click()
    data.get_by_text(f"{count:,} of {count:,} images checked, no errors").wait_for()
    nearest = data.get_by_text("Nearest by D: person").inner_text().removeprefix("Nearest by D: ")
    labels = [identity_label(record) for record in dataset.gallery]
    plot = data.locator(".js-plotly-plot")
    plot.scroll_into_view_if_needed()
    row, *spot = plot.evaluate(
        """(plot, [labels, nearest]) => {
            const {xaxis, yaxis} = plot._fullLayout, box = plot.getBoundingClientRect();
            const match = plot._fullData.find(each => each.name.startsWith("✓"));
            const at = match.customdata.findIndex(([row]) => labels[row] !== nearest);
            const [x, y] = [xaxis.l2p(match.x[at]), yaxis.l2p(match.y[at])];
            return [match.customdata[at][0], box.x + xaxis._offset + x, box.y + yaxis._offset + y];
        }""",
        [labels, nearest],
    )
    data.mouse.move(*spot)
    data.wait_for_timeout(300)
    data.mouse.click(*spot)
    data.get_by_text(f"Selected: {labels[row]}", exact=True).wait_for()
    assert labels[row] != nearest

    choose(data, "Dataset", "/etc")
    data.get_by_text("is not below a folder that this app may read").wait_for()
    data.get_by_role("link", name="Sweep").click()
    data.get_by_text("Which settings work best?").wait_for()
    settle(data)
    assert "Demo world" in data.locator(".st-key-status").inner_text()
    data.get_by_role("link", name="Data", exact=True).click()
    data.get_by_role("button", name="Reset to startup settings").click()
    data.get_by_text("matches this dataset and these weights").wait_for()
    settle(data)
    assert "data=" not in data.url


def test_an_existing_folder_that_is_typed_is_selected_not_added(data):
    box = data.get_by_role("combobox", name="Dataset")
    box.click()
    box.fill("demo")
    assert data.get_by_role("option").all_inner_texts() == ["demo"]
    data.keyboard.press("Enter")
    settle(data)
    box.click()
    box.press_sequentially(str(Places().data.resolve()))
    data.keyboard.press("Enter")
    settle(data)
    assert box.input_value() == "demo"
    assert "data=" not in data.url
    box.click()
    assert data.get_by_role("option").all_inner_texts() == ["demo"]

"""Take the screenshots of the README: `python -m docs.screenshots [URL [PAGE ...]]` while the app runs."""

import io
import sys
from itertools import product
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from tests.support.server import chromium

OUT = Path(__file__).parent / "screenshots"
PAGES = {  # Path, text that appears last, and page heights at widths of 1280 and 390 pixels.
    "explore": ("", "Sum of all patch contributions", 720, 1700),
    "learn": ("learn?step=3", "Try it on your query", 1250, 2100),
    "sweep": ("sweep", "All cells as CSV", 900, 1300),
    "evaluate": ("evaluate", "The paper draws this curve", 5720, 6150),
    "atlas": ("atlas?class=broken", "Matches outside the shortlist", 2800, 5000),
    "lab": ("lab", "Which image region matters most", 3300, 5000),
    "compare": ("compare", "Decoder attention to each", 3000, 4600),
    "figures": ("figures", "See the first query in Explore", 1300, 1400),
    "data": ("data", "The arrow shows how", 1720, 3000),
}
PRESSED = {"lab": "Pole"}  # Button that is pressed first: without an occluder the Lab shows few results.
TIMEOUT = 240_000  # Milliseconds; generous, because other processes may slow the app down.
SHAPES = {"": (1280, "light"), "-dark": (1280, "dark"), "-phone": (390, "light"), "-phone-dark": (390, "dark")}


def main() -> None:
    """Save a screenshot of each page in light and dark mode at the widths of a desktop and a phone."""
    url = sys.argv[1] if len(sys.argv) > 1 else "http://localhost:8501"
    pages = {name: PAGES[name] for name in sys.argv[2:] or PAGES}
    OUT.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = chromium(playwright)
        for (name, (path, last, high, higher)), (suffix, (width, scheme)) in product(pages.items(), SHAPES.items()):
            height = high if width == 1280 else higher
            page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
            page.set_default_timeout(TIMEOUT)
            page.goto(f"{url}/{path}")
            start = page.get_by_role("button", name="Start")  # Shown if there is no stored sweep.
            start.or_(page.get_by_text(last)).first.wait_for(timeout=TIMEOUT)
            if name not in PRESSED and start.is_visible():
                start.click()
                page.get_by_text("Done: ").wait_for(timeout=600_000)
            page.get_by_text(last).first.wait_for(timeout=TIMEOUT)
            if name in PRESSED:
                page.get_by_role("button", name=PRESSED[name]).click()
                page.wait_for_timeout(2500)
            page.wait_for_function("document.querySelector('.stApp').dataset.testScriptState === 'notRunning'")
            page.wait_for_function("!document.querySelector('[data-testid=stSkeleton]')")
            page.locator("[data-heat=''], [data-heat='awaited']").first.wait_for(state="detached", timeout=TIMEOUT)
            page.wait_for_timeout(2500)
            shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
            # A palette reduces the file size to a quarter, without a visible difference.
            shot.quantize(128, dither=Image.Dither.NONE).save(OUT / f"{name}{suffix}.png", optimize=True)
            page.close()
        browser.close()


if __name__ == "__main__":
    main()

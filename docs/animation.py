"""Record the animation of the README: `python -m docs.animation [URL]` while the app runs.

The script lowers and raises the keep rate and then changes alpha, as a visitor would by keyboard. Every frame shows
results that the app computed.
"""

import io
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from benchmarks.live import FILLED
from tests.support.server import chromium

OUT = Path(__file__).parent / "screenshots" / "explore.webp"
SIZE = (1280, 720)
WIDTH = 800  # Width of the animation in pixels.
FRAME = 450  # Milliseconds per frame.


def frame(page: Page) -> Image.Image:
    """Return a scaled screenshot, taken when the cards no longer move."""
    page.wait_for_timeout(350)  # The transition of the cards takes 220 ms.
    shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    return shot.resize((WIDTH, WIDTH * SIZE[1] // SIZE[0]), Image.Resampling.LANCZOS)


def main() -> None:
    """Save the animation as `docs/screenshots/explore.webp`."""
    url = sys.argv[1] if len(sys.argv) > 1 else "http://localhost:8501"
    keep_rates = [0.8, 0.7, 0.6, 0.5, 0.4, 0.5, 0.6, 0.7, 0.8]
    alphas = [0.4, 0.6, 0.8, 1.0, 0.8, 0.6, 0.4]
    with sync_playwright() as playwright:
        browser = chromium(playwright)
        page = browser.new_page(viewport={"width": SIZE[0], "height": SIZE[1]})
        page.goto(url)
        page.locator("[data-card^='final/']").first.wait_for(timeout=240_000)
        page.wait_for_function(FILLED, timeout=240_000)
        frames = []
        for name, values in (("gamma", keep_rates), ("alpha", alphas)):
            for value in values:
                page.evaluate("values => fpcLive.commit(values)", {name: value})
                page.wait_for_function("([name, value]) => fpcLive.answer[name] === value", arg=[name, value])
                page.wait_for_function("document.querySelector('.stApp').dataset.testScriptState === 'notRunning'")
                frames.append(frame(page))
        browser.close()
    frames[0].save(OUT, save_all=True, append_images=frames[1:], duration=FRAME, loop=0, quality=60, method=6)


if __name__ == "__main__":
    main()

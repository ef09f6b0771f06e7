"""Takes the screenshots of the README: `python docs/screenshots.py [URL]` while the app runs."""

import io
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

OUT = Path(__file__).parent / "screenshots"
VIEWS = {
    "explore": (1280, 2600, "light"),
    "explore-dark": (1280, 2600, "dark"),
    "explore-phone": (390, 5200, "light"),
    "explore-phone-dark": (390, 5200, "dark"),
}


def main() -> None:
    url = sys.argv[1] if len(sys.argv) > 1 else "http://localhost:8501"
    OUT.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium")
        for name, (width, height, scheme) in VIEWS.items():
            page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
            page.goto(url)
            page.get_by_text("What did the decoder take").wait_for(timeout=60_000)
            page.wait_for_timeout(2500)
            shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
            # A palette keeps the repository small: a quarter of the bytes, no difference to the eye.
            shot.quantize(128, dither=Image.Dither.NONE).save(OUT / f"{name}.png", optimize=True)
            page.close()
        browser.close()


if __name__ == "__main__":
    main()

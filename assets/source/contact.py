"""Make a contact sheet of a rendered demo set: `python assets/source/contact.py assets/demo assets/contact_sheet.jpg`.

Each row shows two people who wear nearly the same clothes. Each person has two queries and gallery images of four
cameras.
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

from photo import SIZE

IDENTITIES = (1, 2, 4, 5, 7, 8, 10, 11, 13, 14, 16, 17)
GAP, MIDDLE = 4, 12


def contact_sheet(root: Path) -> Image.Image:
    height, width = SIZE
    half = (width + GAP) * 6 + MIDDLE
    page = Image.new("RGB", (half * 2 - MIDDLE, (height + GAP) * (len(IDENTITIES) // 2)), "white")
    for n, identity in enumerate(IDENTITIES):
        queries = sorted((root / "query").glob(f"{identity:04d}_*.jpg"))[:2]
        by_camera: dict[str, Path] = {}
        for file in sorted((root / "bounding_box_test").glob(f"{identity:04d}_*.jpg")):
            by_camera.setdefault(file.name.split("_")[1], file)
        for k, file in enumerate([*queries, *list(by_camera.values())[:4]]):
            page.paste(Image.open(file), (n % 2 * half + k * (width + GAP), n // 2 * (height + GAP)))
    return page.resize((page.width * 2 // 3, page.height * 2 // 3), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    contact_sheet(Path(sys.argv[1])).save(sys.argv[2], quality=82)

"""Write docs/layouts.md from the registry of dataset layouts: `python -m docs.make_layouts`."""

from pathlib import Path

from fpc_core.data.layouts.registry import LAYOUTS
from fpc_core.data.layouts.spec import LayoutSpec
from fpc_core.data.protocols import PROTOCOL_TEXT, Cameras, Protocol

PAGE = Path(__file__).parent / "layouts.md"
CAMERA_TEXT = {Cameras.NAMES: "in the name", Cameras.RELEASED: "query 1, gallery 2", Cameras.NONE: "none"}
LABELS = (
    (
        "A title, K = 5, and a note for every page",
        '{"title": "Market-1501", "neighbors": 5, "note": "Cleaned labels."}',
    ),
    (
        "Other folder names, with two gallery folders and camera numbers that start at 0",
        '{"folders": {"query": "seen", "gallery": ["day", "night"]}, "cameras": "from-0"}',
    ),
    (
        "A layout that cannot be recognised by its folder and file names",
        '{"layout": "occluded_reid", "title": "Occluded-ReID, cleaned"}',
    ),
    ("Scores that count images from the query's own camera", '{"protocol": "no-cameras"}'),
)
TEXT = """# Dataset layouts

Made from `fpc_core/data/layouts` by `python -m docs.make_layouts`.

The dataset may be in the folder that you choose, or up to two folders deeper. The case of folder names does not
matter, and the folders of a split may contain one folder per person. If several layouts fit, the one that matches
most file names is used. `python -m fpc_core doctor` prints what was recognised.

{table}

A published title is shown only if the name of the folder says so (`Market-1501-v15.09.15`, `Occluded_Duke`); other
datasets are shown with the name of their folder. Identity -1 marks junk images, which are ignored. Identity 0 marks
distractors unless a query has it.

**Files that are left out are reported.** Some file names do not follow the layout, some files are missing in the lists
of the dataset, and some are in folders that are too deep. The Data page and the commands `memory build`, `query`,
`evaluate`, `sweep` and `doctor` print how many files were left out for each reason, with examples if they are more than
1 % of all files.

## Cameras

Camera numbers in names start at 0 if at least two images, and at least 1 % of all images, are of camera 0. Otherwise
they start at 1.
`--cameras`, the field on the Data page, or `cameras` in `dataset.json` sets another source: {cameras}.

For Occluded-ReID, Partial-ReID and Partial-iLIDS, the released code assigns camera 1 to queries and camera 2 to gallery
images, and the model uses these numbers. Variant `released` does the same (`--cameras released`). With variant `paper`,
Occluded-ReID and Partial-ReID have no cameras, and the model uses the mean camera embedding (`--cameras none`). The
gallery memory must be built with the same choice. Notes on the results state which one is in use.

## Protocols

The protocol is chosen by the dataset and stated next to every score. `--protocol`, the field on the Data page, or
`protocol` in `dataset.json` sets another one. In every protocol, the query's own file is left out of the gallery.

{protocols}

## dataset.json

A file `dataset.json` in the dataset's folder may set `title` (or `name`), `synthetic`, `note`, `layout`, `folders`,
`cameras`, `protocol`, `neighbors`, `opening` and `examples`. {labels}
"""


def layouts_page() -> str:
    """Return the page as Markdown."""
    rows = "\n".join(map(_row, LAYOUTS))
    head = "| layout | read as | folders | names | cameras | remarks |\n|---|---|---|---|---|---|\n"
    labels = "\n\n".join(f"{what}:\n\n```json\n{text}\n```" for what, text in LABELS)
    protocols = "\n".join(f"- `{each}`: {PROTOCOL_TEXT[each].partition(': ')[2]}." for each in Protocol)
    cameras = ", ".join(f"`{each}`" for each in Cameras)
    return TEXT.format(table=head + rows, cameras=cameras, protocols=protocols, labels=f"Examples:\n\n{labels}")


def _row(spec: LayoutSpec) -> str:
    folders = "; ".join(f"{split}: {', '.join(f'`{path}`' for path in paths)}" for split, paths in spec.folders.items())
    lists = f"; {', '.join(f'`{name}`' for name in spec.files)}" if spec.files else ""
    cameras = CAMERA_TEXT[spec.cameras]
    if spec.released_cameras and spec.cameras is Cameras.NONE:
        cameras += f"; released: {CAMERA_TEXT[Cameras.RELEASED]}"
    remarks = [spec.remark, "recognised by the folder's name" if spec.needs_title else ""]
    cells = (f"`{spec.key}`", spec.title, (folders or "any") + lists, f"`{spec.example}`", cameras)
    return f"| {' | '.join(cells)} | {'; '.join(filter(None, remarks))} |"


if __name__ == "__main__":
    PAGE.write_text(layouts_page(), encoding="utf-8")

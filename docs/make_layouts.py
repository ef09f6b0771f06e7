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
        "Own folders, of which two are the gallery, with cameras counted from 0",
        '{"folders": {"query": "seen", "gallery": ["day", "night"]}, "cameras": "from-0"}',
    ),
    ("A layout that is not recognised by its names", '{"layout": "occluded_reid", "title": "Occluded-ReID, cleaned"}'),
    ("Scores that count images from the query's own camera", '{"protocol": "no-cameras"}'),
)
TEXT = """# Dataset layouts

Made from `fpc_core/data/layouts` by `python -m docs.make_layouts`.

The dataset is in the folder that you choose, or up to two folders deeper. Upper and lower case in names of folders
are the same, and images may be in one folder per person inside the folders of a split. Of several layouts that fit,
the one that most file names follow is chosen. `python -m fpc_core doctor` prints what was recognised.

{table}

A published title is shown only if the name of the folder says so (`Market-1501-v15.09.15`, `Occluded_Duke`); other
datasets carry the name of their folder. Identity -1 marks junk, which is ignored; identity 0 marks distractors if no
query has it.

**What is left out is reported.** Files whose names do not follow the layout, that a list does not name or that are
too deep are counted by reason in `memory build`, `query`, `evaluate`, `sweep`, `doctor` and on the Data page; above 1
% of all files with examples.

## Cameras

Cameras in names are counted from 0 if at least two images, and 1 % of all, are of camera 0; otherwise from 1.
`--cameras`, the field on the Data page, or `cameras` in `dataset.json` sets another source: {cameras}.

The released code for Occluded-ReID, Partial-ReID and Partial-iLIDS gives queries camera 1 and gallery images
camera 2, and the model gets these numbers. Variant `released` follows them (`--cameras released`); with variant
`paper` Occluded-ReID and Partial-ReID have no cameras, and the model uses the mean camera embedding (`--cameras
none`). The gallery memory must be built with the same choice; notes say which one is in use.

## Protocols

The protocol is chosen from the data and stated next to every score. `--protocol`, the field on the Data page, or
`protocol` in `dataset.json` sets another one. A query never finds its own file.

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

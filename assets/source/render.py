"""Render the demo world: `python assets/source/render.py {demo,train,sheet} --out PATH` (see assets/README.md).

Every image depends only on the seed of the split, the identity and the number of the image. The same command therefore
gives the same files for any number of processes, and an interrupted run can be resumed.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from photo import SIZE
from places import CAMERAS
from view import KINDS, take
from wardrobe import Outfit, make_outfit, near_double

VISIBLE = (0.20, 0.75)  # Range of the share of the person that an occluder leaves visible.
QUERY_VISIBLE = (0.20, 0.55)  # Visible share in queries, which are occluded about as much as those of Occluded-Duke.
TEST_GROUP, TRAIN_GROUP = 2, 3  # Number of people in a group that looks nearly alike.
SLIGHT = (0.75, 0.92)  # Visible share in slightly occluded gallery images.
CROWD = 900_000  # Offset of the seeds of passers-by, so that no identity has the same seed.
QUERY, GALLERY, TRAIN = "query", "bounding_box_test", "bounding_box_train"
QUALITY = 88
SCHEMA = pa.schema(
    [("path", pa.string()), ("identity", pa.int32()), ("camera", pa.int32()), ("occluder", pa.string()), ("visible", pa.float32()), ("mask", pa.binary())],
    metadata={
        "mask": "PNG, 64 x 128: 0 background, 1 person, 2 occluder, 3 occluder before the person",
        "visible": "share of the person inside the box that is not covered",
        "camera": "1-based, as in the file name",
    },
)


@dataclass(frozen=True)
class Shot:
    """One image to render.

    Attributes:
        folder: Folder of the split.
        camera: 0-based.
        visible: Range of the share of the person that an occluder leaves visible; None for no occluder.
    """

    folder: str
    camera: int
    visible: tuple[float, float] | None


@dataclass(frozen=True)
class Person:
    """An identity with its images.

    Attributes:
        number: Number in the file names.
        index: Number within the split.
        seed: Seed of the split.
        shots: Images to render.
        group: Number of people who look nearly alike.
    """

    number: int
    index: int
    seed: int
    shots: tuple[Shot, ...]
    group: int = TEST_GROUP


def outfit_of(seed: int, index: int, group: int) -> Outfit:
    """Return the outfit of an identity; all people of a group wear nearly the same clothes as its first."""
    base, first = seed * 1_000_000, index - index % group
    return make_outfit(base + index) if index == first else near_double(make_outfit(base + first), base + index)


def visible_range(rng: np.random.Generator, limits: tuple[float, float] = VISIBLE) -> tuple[float, float]:
    """Draw the visible share of an occluded person from `limits`, and return a range of 0.05 below and above it."""
    share = float(rng.uniform(*limits))
    return share - 0.05, share + 0.05


def test_person(number: int, index: int, seed: int) -> Person:
    """Plan the images of a test identity, in the proportions of Occluded-Duke.

    There are three occluded queries by two cameras, and 14 gallery images by the other four cameras, two of which are
    slightly occluded. Each camera of the queries also takes one gallery image, which is junk for its queries.
    """
    rng = np.random.default_rng([seed, index, 1])
    cameras = [int(c) for c in rng.permutation(len(CAMERAS))]
    own, other = cameras[:2], cameras[2:]
    queries = [Shot(QUERY, camera, visible_range(rng, QUERY_VISIBLE)) for camera in (*own, own[0])]
    slight = set(rng.permutation(14)[:2].tolist())
    gallery = [Shot(GALLERY, other[k % 4], SLIGHT if k in slight else None) for k in range(14)]
    return Person(number, index, seed, (*queries, *gallery, *(Shot(GALLERY, camera, None) for camera in own)))


def distractor(number: int, index: int, seed: int) -> Person:
    """Plan the images of a person without a query: two gallery images, one of which is occluded."""
    rng = np.random.default_rng([seed, index, 1])
    cameras = rng.permutation(len(CAMERAS))
    return Person(number, index, seed, (Shot(GALLERY, int(cameras[0]), None), Shot(GALLERY, int(cameras[1]), visible_range(rng))))


def train_person(number: int, index: int, seed: int, images: int, occluded: float) -> Person:
    """Plan the images of a training identity, which are spread over all cameras; a share of them is occluded."""
    rng = np.random.default_rng([seed, index, 1])
    cameras = np.concatenate([rng.permutation(len(CAMERAS)) for _ in range(-(-images // len(CAMERAS)))])[:images]
    covered = rng.permutation(images) < round(occluded * images)
    shots = (Shot(TRAIN, int(c), visible_range(rng) if o else None) for c, o in zip(cameras, covered, strict=True))
    return Person(number, index, seed, tuple(shots), TRAIN_GROUP)


def shoot(person: Person, root: Path) -> list[dict]:
    """Render all images of a person, write them, and return their records."""
    outfit, records = outfit_of(person.seed, person.index, person.group), []
    for k, shot in enumerate(person.shots):
        picture = take(outfit, shot.camera, [person.seed, person.index, k], shot.visible, person.seed * 1_000_000 + CROWD)
        path = Path(shot.folder) / f"{person.number:04d}_c{shot.camera + 1}_f{person.index * 100 + k:07d}.jpg"
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        picture.image.save(root / path, "JPEG", quality=QUALITY, optimize=True)
        records.append(
            {
                "path": path.as_posix(),
                "identity": person.number,
                "camera": shot.camera + 1,
                "occluder": picture.kind,
                "visible": picture.visible,
                "mask": picture.mask_png(),
            }
        )
    return records


def _part(person: Person, root: Path) -> int:
    """Render a person unless that is done already, and write the records to a file, so that a run can be resumed."""
    done = root / "records.partial" / f"{person.number:04d}.parquet"
    if not done.exists():
        partial = done.with_suffix(".tmp")
        pq.write_table(pa.Table.from_pylist(shoot(person, root), SCHEMA), partial)
        partial.replace(done)
    return len(person.shots)


def render(people: list[Person], root: Path, jobs: int, report: Callable[[str], None] = print) -> int:
    """Render all people into `root`, merge their records into records.parquet, and return the number of images."""
    parts = root / "records.partial"
    parts.mkdir(parents=True, exist_ok=True)
    start, images, total = time.monotonic(), 0, sum(len(p.shots) for p in people)
    with ProcessPoolExecutor(jobs) as pool:
        for n, job in enumerate(as_completed([pool.submit(_part, person, root) for person in people]), 1):
            images += job.result()
            if n % 20 == 0 or n == len(people):
                report(f"{images}/{total} images, {time.monotonic() - start:.0f} s")
    files = [parts / f"{p.number:04d}.parquet" for p in people]
    table = pa.concat_tables([pq.read_table(f) for f in files]).replace_schema_metadata(SCHEMA.metadata)
    pq.write_table(table.sort_by("path"), root / "records.parquet", compression="zstd")
    for file in parts.iterdir():
        file.unlink()
    parts.rmdir()
    return images


def describe(root: Path, seed: int, text: str) -> None:
    """Write dataset.json, which labels the dataset wherever it is shown."""
    note = "Every person is made up: rendered by assets/source/render.py; no real person is shown."
    label: dict[str, object] = {"name": "Demo world (synthetic)", "synthetic": True, "layout": "occluded_duke", "description": text, "note": note, "seed": seed}
    (root / "dataset.json").write_text(json.dumps(label, indent=2) + "\n")


def demo(args: argparse.Namespace) -> None:
    n, extra = args.identities, args.distractors
    people = [test_person(1 + k, k, args.seed) for k in range(n)]
    people += [distractor(1 + n + k, n + k, args.seed) for k in range(extra // 2)]
    count = render(people, args.out, args.jobs)
    describe(args.out, args.seed, f"{n} test identities, six cameras: occluded queries, 16 gallery images of each, {extra} distractors; {count} rendered images.")


def train(args: argparse.Namespace) -> None:
    n, first = args.identities, 1001
    people = [train_person(first + k, k, args.seed, args.images, args.occluded) for k in range(n)]
    people += [test_person(first + n + k, n + k, args.seed) for k in range(args.validation)]
    count = render(people, args.out, args.jobs)
    describe(args.out, args.seed, f"{n} training identities x {args.images} images and {args.validation} identities to watch the training; {count} rendered images.")
    (args.out / "DONE").write_text(f"{count}\n")


def sheet(args: argparse.Namespace) -> None:
    """Render a contact sheet with one identity per row: six images without and six with an occluder, one per camera."""
    h, w = SIZE
    page = Image.new("RGB", ((w + 4) * 12 - 4, (h + 4) * args.identities - 4), "white")
    people = [(args.seed, args.first + k, c, covered) for k in range(args.identities) for covered in (False, True) for c in range(len(CAMERAS))]
    with ProcessPoolExecutor(args.jobs) as pool:
        for n, (picture, caption) in enumerate(pool.map(_tile, people, chunksize=6)):
            page.paste(picture, (n % 12 * (w + 4), n // 12 * (h + 4)))
            print(caption, end="\n" if n % 12 == 11 else "; ")
    page = page.resize((page.width * 2 // 3, page.height * 2 // 3), Image.Resampling.LANCZOS) if args.small else page
    page.save(args.out, quality=84)


def _tile(which: tuple[int, int, int, bool]) -> tuple[Image.Image, str]:
    seed, index, camera, covered = which
    picture = take(outfit_of(seed, index, TEST_GROUP), camera, [seed, index, 50 + camera + 6 * covered], VISIBLE if covered else None, seed * 1_000_000 + CROWD)
    return picture.image, f"{picture.kind} {picture.visible:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=f"Render the synthetic demo world. Occluders: {', '.join(KINDS)}.")
    commands = parser.add_subparsers(required=True)
    for name, run, identities, seed in (("demo", demo, 70, 6), ("train", train, 320, 5), ("sheet", sheet, 6, 1)):
        command = commands.add_parser(name)
        command.set_defaults(run=run)
        command.add_argument("--out", type=Path, required=True, help="output folder; for sheet, an image file")
        command.add_argument("--identities", type=int, default=identities)
        command.add_argument("--seed", type=int, default=seed, help="seed of the split; splits with different seeds have no identity in common")
        command.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
        if name == "demo":
            command.add_argument("--distractors", type=int, default=40, help="number of gallery images of people without a query, two per person")
        elif name == "train":
            command.add_argument("--images", type=int, default=16, help="number of images per identity")
            command.add_argument("--occluded", type=float, default=0.4, help="share of occluded images")
            command.add_argument("--validation", type=int, default=30, help="number of identities with queries and gallery images")
        else:
            command.add_argument("--first", type=int, default=0, help="first identity")
            command.add_argument("--small", action="store_true", help="shrink the sheet to two thirds of its size")
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()

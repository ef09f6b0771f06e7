"""Files that would be expensive or harmful to read: large images and tables that are cheap to create, and pickles."""

import io
from pathlib import Path

import pyarrow as pa
from PIL import Image
from pyarrow import parquet


class TouchOnLoad:
    """An object that creates a file when its pickle is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def sparse(path, size):
    """Create a file of zero bytes that takes no space on disk."""
    with path.open("wb") as file:
        file.truncate(size)


def flat_mask(side):
    """Return a small PNG file with an empty mask of `side` x `side` pixels."""
    file = io.BytesIO()
    Image.new("L", (side, side)).save(file, "PNG")
    return file.getvalue()


def write_rows(path, count=None, *, paths=("query/a.png",), mask=None, visible=0.5):
    """Write `records.parquet`.

    Args:
        path: File to write.
        count: Number of rows with the first path; None for one row per path.
        paths: Paths of images.
        mask: PNG of every mask; by default an empty one of 64 x 64 pixels.
        visible: Visible share of every person.
    """
    paths = list(paths)
    codes = pa.array([0] * count if count else range(len(paths)), pa.int32())
    rows = len(codes)
    mask = mask or flat_mask(64)
    table = pa.table(
        {
            "path": pa.DictionaryArray.from_arrays(codes, pa.array(paths)).cast(pa.string()),
            "mask": pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array([mask])).cast(
                pa.binary()
            ),
            "occluder": ["car"] * rows,
            "visible": pa.array([visible] * rows, pa.float32()),
        }
    )
    parquet.write_table(table, path, compression="zstd")

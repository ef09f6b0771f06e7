"""What is known of a rendered dataset and of no real one: true masks and occlusions, from `records.parquet`."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from fpc_core.data.datasets import Dataset, DatasetError
from fpc_core.data.images import decode_image
from fpc_core.io.bounded_files import UnusableFileError, open_regular

RECORDS = "records.parquet"
BACKGROUND, PERSON, OCCLUDER, OCCLUDER_BEFORE_PERSON = range(4)  # pixel values of a mask
MAX_RECORDS_BYTES = 256_000_000  # of the file, and of the columns that are read once unpacked; the demo's has 245,000
MASK_PIXELS = 500_000  # of one mask; the model takes 32,768
ROWS_PER_IMAGE = 4  # a file of records has one row for each image of the dataset
_FEW_ROWS = 10_000  # that are read however few images there are
_MAX_FOOTER = 4 << 20  # bytes of the file's own summary; the demo's has 3,000
_ENCODINGS = frozenset({"PLAIN", "RLE", "BIT_PACKED", "PLAIN_DICTIONARY", "RLE_DICTIONARY"})
"""What pyarrow writes. Others say in a few bytes that a long value comes again, and are unpacked a value at a time."""


@dataclass(frozen=True)
class Occlusion:
    """kind: of the occluder, "none" without.  visible: share of the person inside the box that is not covered."""

    kind: str
    visible: float


class TrueMasks(Mapping[Path, np.ndarray]):
    """Masks by image path relative to the dataset's root: uint8 (h, w) with the four values above.

    A mask is decoded when it is asked for, and not kept: all of them together would take gigabytes.
    """

    def __init__(self, encoded: Mapping[Path, bytes]) -> None:
        """Take the masks as image files.

        Args:
            encoded: By image path relative to the dataset's root.
        """
        self._encoded = dict(encoded)

    def __getitem__(self, path: Path) -> np.ndarray:
        """Decode one mask.

        Raises:
            KeyError: For an image without a mask.
            ImageError: For a mask that is not an image or has more than MASK_PIXELS pixels, before it is decoded.
        """
        pixels = decode_image(self._encoded[path], f"the mask of {path.as_posix()}", max_pixels=MASK_PIXELS)
        return np.ascontiguousarray(pixels[..., 0])

    def __contains__(self, path: object) -> bool:
        return path in self._encoded

    def __iter__(self) -> Iterator[Path]:
        return iter(self._encoded)

    def __len__(self) -> int:
        return len(self._encoded)


def true_masks(dataset: Dataset) -> TrueMasks:
    """Read the masks of a dataset's images, without decoding them; none for a dataset without records.

    Raises:
        DatasetError: For a file of records that has no masks, that is damaged, or that has more rows or bytes than the
            dataset's images account for.
        OutsideRootsError: For one that is a link out of the folders allowed.
    """
    return TrueMasks({path: mask for path, (mask,) in _records(dataset, {"mask": "bytes"}).items()})


def occlusions(dataset: Dataset) -> dict[Path, Occlusion]:
    """Read the occlusion of a dataset's images by path relative to the root; empty for a dataset without records.

    Raises:
        DatasetError: For a file of records that says nothing of occlusion; else as `true_masks`.
        OutsideRootsError: As `true_masks`.
    """
    found = _records(dataset, {"occluder": "text", "visible": "number"})
    for path, (_, visible) in found.items():
        if not (math.isfinite(visible) and 0 <= visible <= 1):
            raise DatasetError(
                f"{RECORDS} gives {path.as_posix()} a visible share of {visible:g}, which must lie in 0..1; correct it"
            )
    return {path: Occlusion(kind, visible) for path, (kind, visible) in found.items()}


def _records(dataset: Dataset, columns: Mapping[str, str]) -> dict[Path, list[Any]]:
    """Values of these columns by image path, of the dataset's own images alone; empty where there is no such file.

    columns: their kinds by name; texts and bytes are read as codes and a list of distinct values, so that a value that
    is repeated a million times takes memory once.
    """
    file = dataset.root / RECORDS
    kinds = {"path": "text", **columns}
    images = {record.path.as_posix(): record.path for record in (*dataset.query, *dataset.gallery, *dataset.train)}
    most_rows = max(_FEW_ROWS, ROWS_PER_IMAGE * (len(images) + len(dataset.skipped) + dataset.junk))
    try:
        opened = open_regular(file, max_bytes=MAX_RECORDS_BYTES, allowed=dataset.allowed)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return {}
    except UnusableFileError as error:
        raise DatasetError(str(error)) from error
    with opened:
        try:
            _check_footer(opened, file)
            by_code = [name for name, kind in kinds.items() if kind != "number"]
            found = parquet.ParquetFile(opened, read_dictionary=by_code, arrow_extensions_enabled=False)
            _check_types(found.schema_arrow, kinds)
            _check_size(found, kinds, most_rows, file)
            table = found.read(columns=list(kinds))
            _check_values(table, file)
            values = {name: _rows(table.column(name)) for name in kinds}
        except (OSError, ValueError, KeyError, pa.ArrowException) as error:
            if isinstance(error, DatasetError):
                raise
            named = f"{', '.join(list(kinds)[:-1])} and {list(kinds)[-1]}"
            raise DatasetError(
                f"{file} cannot be read as Parquet with columns {named}; restore or delete it"
            ) from error
    rows = zip(*values.values(), strict=True)
    return {images[path]: own for path, *own in rows if path in images}


def _check_size(found: parquet.ParquetFile, kinds: Mapping[str, str], most_rows: int, file: Path) -> None:
    """Hold what the file's own summary says against the bounds, before any row is read."""
    told = found.metadata
    if told.num_rows > most_rows:
        raise DatasetError(
            f"{file} has {told.num_rows:,} rows, the limit for these images is {most_rows:,}; give it one row for each "
            "image"
        )
    size = 0
    for group in range(told.num_row_groups):
        for place in range(told.num_columns):
            column = told.row_group(group).column(place)
            if column.path_in_schema not in kinds:
                continue
            size += column.total_uncompressed_size
            if strange := sorted(set(column.encodings) - _ENCODINGS):
                raise DatasetError(
                    f"{file} is encoded with {', '.join(strange)}; write it with dictionaries or plain, as pyarrow does"
                )
    if size > MAX_RECORDS_BYTES:
        raise DatasetError(
            f"{file} unpacks to {size:,} bytes, the limit is {MAX_RECORDS_BYTES:,}; write smaller masks, as PNG"
        )


def _check_footer(opened: IO[bytes], file: Path) -> None:
    """Raises DatasetError for a summary, at the end of the file, that is too long to be unpacked."""
    opened.seek(max(0, opened.seek(0, os.SEEK_END) - 8))
    size = int.from_bytes(opened.read(4), "little")
    if size > _MAX_FOOTER and opened.read(4) == b"PAR1":
        raise DatasetError(f"{file} has a footer of {size:,} bytes, the limit is {_MAX_FOOTER:,}; write it again")
    opened.seek(0)


def _check_types(schema: pa.Schema, kinds: Mapping[str, str]) -> None:
    """Raises ValueError or KeyError for a column that is missing or of another type, before any row is read."""
    is_kind = {
        "text": lambda kind: pa.types.is_string(kind) or pa.types.is_large_string(kind),
        "bytes": lambda kind: pa.types.is_binary(kind) or pa.types.is_large_binary(kind),
        "number": pa.types.is_floating,
    }
    for name, wanted in kinds.items():
        kind = schema.field(name).type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        if not is_kind[wanted](kind):
            raise ValueError(f"the column {name} has the type {kind}")


def _check_values(table: pa.Table, file: Path) -> None:
    """Raises DatasetError for a value that is missing."""
    for name, column in zip(table.column_names, table.columns, strict=True):
        if column.null_count:
            row = int(column.is_null().to_numpy().argmax())
            raise DatasetError(f"{file} has no {name} in row {row + 1}; fill it in, or leave the row out")


def _rows(column: pa.ChunkedArray) -> list[Any]:
    """The value of every row; equal ones of a chunk are the same object."""
    rows: list[Any] = []
    for chunk in column.chunks:
        if pa.types.is_dictionary(chunk.type):
            distinct = chunk.dictionary.to_pylist()
            rows += [distinct[code] for code in chunk.indices.to_pylist()]
        else:
            rows += chunk.to_pylist()
    return rows

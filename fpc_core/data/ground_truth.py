"""Read the ground truth of rendered datasets: masks and occlusions from `records.parquet`."""

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
BACKGROUND, PERSON, OCCLUDER, OCCLUDER_BEFORE_PERSON = range(4)  # Pixel values of a mask.
MAX_RECORDS_BYTES = 256_000_000  # Maximum bytes of the file and of its uncompressed columns; the demo has 245,000.
MAX_MASK_PIXELS = 500_000  # Maximum number of pixels in one mask; the model's input has 32,768.
ROWS_PER_IMAGE = 4  # Maximum number of rows per image; a file of records normally has one.
_MIN_ROW_LIMIT = 10_000  # Number of rows that are always allowed, even for a few images.
_MAX_FOOTER = 4 << 20  # Maximum size of the file's footer in bytes; that of the demo has 3,000.
_ENCODINGS = frozenset({"PLAIN", "RLE", "BIT_PACKED", "PLAIN_DICTIONARY", "RLE_DICTIONARY"})
"""Encodings that pyarrow writes. Others are refused, because they can expand a few bytes to many long values."""


@dataclass(frozen=True)
class Occlusion:
    """How the person of an image is occluded.

    Attributes:
        kind: Kind of the occluder, "none" if there is no occluder.
        visible: Share of the person inside the box that is not occluded, in [0, 1].
    """

    kind: str
    visible: float


class TrueMasks(Mapping[Path, np.ndarray]):
    """Masks by image path relative to the dataset's root; (h, w) uint8 with the pixel values BACKGROUND, PERSON etc.

    Masks are decoded on each access, because all decoded masks together would take gigabytes.
    """

    def __init__(self, encoded: Mapping[Path, bytes]) -> None:
        """Store the encoded masks.

        Args:
            encoded: Bytes of the mask's image file by image path relative to the dataset's root.
        """
        self._encoded = dict(encoded)

    def __getitem__(self, path: Path) -> np.ndarray:
        """Decode one mask.

        Raises:
            KeyError: The image has no mask.
            ImageError: The mask is not an image, or has more than MAX_MASK_PIXELS pixels.
        """
        pixels = decode_image(self._encoded[path], f"the mask of {path.as_posix()}", max_pixels=MAX_MASK_PIXELS)
        return np.ascontiguousarray(pixels[..., 0])

    def __contains__(self, path: object) -> bool:
        return path in self._encoded

    def __iter__(self) -> Iterator[Path]:
        return iter(self._encoded)

    def __len__(self) -> int:
        return len(self._encoded)


def true_masks(dataset: Dataset) -> TrueMasks:
    """Read the masks of a dataset's images without decoding them; empty if the dataset has no file of records.

    Raises:
        DatasetError: The file of records has no masks, is damaged, or has too many rows or bytes.
        OutsideRootsError: The file of records is a link that leads out of the allowed folders.
    """
    return TrueMasks({path: mask for path, (mask,) in _records(dataset, {"mask": "bytes"}).items()})


def occlusions(dataset: Dataset) -> dict[Path, Occlusion]:
    """Read the occlusions of a dataset's images by path relative to the root; empty if it has no file of records.

    Raises:
        DatasetError: The file of records has no occlusions, is damaged, or has too many rows or bytes.
        OutsideRootsError: The file of records is a link that leads out of the allowed folders.
    """
    records = _records(dataset, {"occluder": "text", "visible": "number"})
    for path, (_, visible) in records.items():
        if not (math.isfinite(visible) and 0 <= visible <= 1):
            raise DatasetError(
                f"the visible share of {path.as_posix()} in {RECORDS} must be in 0..1, got {visible:g}; correct it"
            )
    return {path: Occlusion(kind, visible) for path, (kind, visible) in records.items()}


def _records(dataset: Dataset, columns: Mapping[str, str]) -> dict[Path, list[Any]]:
    """Return the values of some columns by path, for the dataset's images only; empty if there is no file of records.

    Texts and bytes are read as indices into a list of distinct values, so that repeated values use memory only once.

    Args:
        dataset: Dataset whose file of records is read.
        columns: Kind of the values (text, bytes or number) of each column.
    """
    file = dataset.root / RECORDS
    kinds = {"path": "text", **columns}
    images = {record.path.as_posix(): record.path for record in (*dataset.query, *dataset.gallery, *dataset.train)}
    max_rows = max(_MIN_ROW_LIMIT, ROWS_PER_IMAGE * (len(images) + len(dataset.skipped) + dataset.junk))
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
            records = parquet.ParquetFile(opened, read_dictionary=by_code, arrow_extensions_enabled=False)
            _check_types(records.schema_arrow, kinds)
            _check_size(records, kinds, max_rows, file)
            table = records.read(columns=list(kinds))
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
    return {images[path]: row for path, *row in rows if path in images}


def _check_size(records: parquet.ParquetFile, kinds: Mapping[str, str], max_rows: int, file: Path) -> None:
    """Check the sizes in the file's metadata against the limits, before any row is read.

    Args:
        records: File of records.
        kinds: Kind of the values of each column to read.
        max_rows: Maximum number of rows.
        file: Path of the file, for messages.

    Raises:
        DatasetError: There are too many rows or bytes, or a column has another encoding.
    """
    metadata = records.metadata
    if metadata.num_rows > max_rows:
        raise DatasetError(f"{file} has {metadata.num_rows:,} rows, the limit is {max_rows:,}; write one row per image")
    size = 0
    for group in range(metadata.num_row_groups):
        for index in range(metadata.num_columns):
            column = metadata.row_group(group).column(index)
            if column.path_in_schema not in kinds:
                continue
            size += column.total_uncompressed_size
            if unsupported := sorted(set(column.encodings) - _ENCODINGS):
                raise DatasetError(f"{file} is encoded with {', '.join(unsupported)}; use plain or dictionary encoding")
    if size > MAX_RECORDS_BYTES:
        raise DatasetError(
            f"{file} unpacks to {size:,} bytes, the limit is {MAX_RECORDS_BYTES:,}; write smaller masks as PNG"
        )


def _check_footer(opened: IO[bytes], file: Path) -> None:
    """Raise DatasetError if the footer at the end of the file is too long to be unpacked."""
    opened.seek(max(0, opened.seek(0, os.SEEK_END) - 8))
    size = int.from_bytes(opened.read(4), "little")
    if size > _MAX_FOOTER and opened.read(4) == b"PAR1":
        raise DatasetError(f"{file} has a footer of {size:,} bytes, the limit is {_MAX_FOOTER:,}; write it again")
    opened.seek(0)


def _check_types(schema: pa.Schema, kinds: Mapping[str, str]) -> None:
    """Raise KeyError if a column is missing, or ValueError if it has another type."""
    is_kind = {
        "text": lambda kind: pa.types.is_string(kind) or pa.types.is_large_string(kind),
        "bytes": lambda kind: pa.types.is_binary(kind) or pa.types.is_large_binary(kind),
        "number": pa.types.is_floating,
    }
    for name, expected in kinds.items():
        kind = schema.field(name).type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        if not is_kind[expected](kind):
            raise ValueError(f"column {name} must be of type {expected}, not {kind}")


def _check_values(table: pa.Table, file: Path) -> None:
    """Raise DatasetError if a value is missing."""
    for name, column in zip(table.column_names, table.columns, strict=True):
        if column.null_count:
            row = int(column.is_null().to_numpy().argmax())
            raise DatasetError(f"{file} has no {name} in row {row + 1}; add the value or remove the row")


def _rows(column: pa.ChunkedArray) -> list[Any]:
    """Return the value of every row; equal values in a dictionary-encoded chunk share one object."""
    rows: list[Any] = []
    for chunk in column.chunks:
        if pa.types.is_dictionary(chunk.type):
            distinct = chunk.dictionary.to_pylist()
            rows += [distinct[code] for code in chunk.indices.to_pylist()]
        else:
            rows += chunk.to_pylist()
    return rows

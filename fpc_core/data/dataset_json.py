"""Read `dataset.json`, the optional description of a dataset."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from fpc_core.config import QuerySettings
from fpc_core.io.bounded_files import OutsideRootsError, UnusableFileError, escape_name, read_json

MAX_EXAMPLES = 12
MAX_EXAMPLE_TEXT = 120  # characters


class DatasetError(ValueError):
    """A dataset cannot be opened; the message names the folder and what was expected in it."""


@dataclass(frozen=True)
class Example:
    """A named query of a dataset.

    Attributes:
        title: Short name, such as "Behind a hedge".
        query: Path of the query, relative to the dataset.
        story: What the example shows, in a sentence; may be empty.
    """

    title: str
    query: str
    story: str = ""


def read_label(folder: Path, allowed: Sequence[Path]) -> dict[str, object]:
    """Return the content of `dataset.json`, with escapes for text that is not valid Unicode; empty if there is none.

    Args:
        folder: Folder with the file.
        allowed: Real folders in which the file must be; empty for no restriction.

    Raises:
        DatasetError: The file cannot be read or is not a JSON object.
        OutsideRootsError: It is a link out of `allowed`.
    """
    path = folder / "dataset.json"
    try:
        label = read_json(path, allowed=allowed)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return {}
    except UnusableFileError as error:
        raise DatasetError(str(error)) from error
    except OutsideRootsError:  # This is also a ValueError, which the next clause would catch.
        raise
    except ValueError as error:
        raise DatasetError(f"{path} is not valid JSON ({error}); correct or delete it") from error
    if not isinstance(label, dict):
        raise DatasetError(f'{path} must contain an object such as {{"name": "...", "synthetic": true}}')
    return {name: escape_name(value) if isinstance(value, str) else value for name, value in label.items()}


def title_in(label: dict[str, object], default: str) -> str:
    """Return the title of the dataset.

    Args:
        label: Content of `dataset.json`, in which `title` or `name` is the title.
        default: Title if the file has neither.
    """
    return str(label.get("title", label.get("name", default)))


def choice_in(label: dict[str, object], field: str, values: Collection[str]) -> str:
    """Return a field of which only some values are allowed; "auto" if it is missing.

    Args:
        label: Content of `dataset.json`.
        field: Name of the field.
        values: Allowed values besides "auto".

    Raises:
        DatasetError: The value is not allowed.
    """
    value = str(label.get(field, "auto"))
    if value != "auto" and value not in values:
        raise DatasetError(f"{field} in dataset.json is {value[:60]!r}; use auto, {', '.join(values)}")
    return value


def folders_in(label: dict[str, object]) -> dict[str, tuple[str, ...]]:
    """Return the folders of the splits that `folders` sets, relative to the dataset.

    Raises:
        DatasetError: `folders` is not an object with paths, or a path leads out of the dataset.
    """
    folders = label.get("folders", {})
    example = '{"query": "probe", "gallery": ["day", "night"]}'
    if not isinstance(folders, dict) or not set(folders) <= {"train", "query", "gallery"}:
        raise DatasetError(f"folders in dataset.json must be an object such as {example}, got {str(folders)[:100]}")
    found = {}
    for split, value in folders.items():
        paths = [value] if isinstance(value, str) else value
        if not isinstance(paths, list) or not paths or not all(isinstance(path, str) and path for path in paths):
            raise DatasetError(f"folders in dataset.json must be an object such as {example}, got {str(folders)[:100]}")
        if any(Path(path).is_absolute() or ".." in Path(path).parts for path in paths):
            raise DatasetError(
                f"folders in dataset.json must be inside the dataset, got {', '.join(paths)[:100]}; use relative paths "
                "without .."
            )
        found[split] = tuple(paths)
    return found


def first_query_of(label: dict[str, object], queries: Sequence[str]) -> str:
    """Return the path of the query shown at a first visit.

    Args:
        label: Content of `dataset.json`; without `opening`, the first query is shown.
        queries: Paths of all queries.

    Raises:
        DatasetError: `opening` is not a query.
    """
    path = str(label.get("opening", queries[0]))
    if path not in queries:
        raise DatasetError(f"opening in dataset.json is {path}, which is not a query; use the path of a query")
    return path


def neighbors_of(label: dict[str, object]) -> int:
    """Return the initial K: `neighbors` in `dataset.json`, or the default of `QuerySettings`.

    Raises:
        DatasetError: `neighbors` is not an integer in the allowed range.
    """
    neighbors = label.get("neighbors", QuerySettings.neighbors)
    if type(neighbors) is not int or not 1 <= neighbors <= QuerySettings.shortlist:
        raise DatasetError(
            f"neighbors in dataset.json must be a whole number in 1..{QuerySettings.shortlist}, got {neighbors!r}"
        )
    return neighbors


def examples_of(label: dict[str, object], queries: Collection[str]) -> tuple[Example, ...]:
    """Return the example queries that `dataset.json` lists.

    Args:
        label: Content of `dataset.json`, whose `examples` are read.
        queries: Paths of all queries.

    Raises:
        DatasetError: `examples` is not a list of at most MAX_EXAMPLES objects with short texts, contains a path that is
            not a query, or has a missing or repeated title.
    """
    entries = label.get("examples", [])
    if not isinstance(entries, list) or len(entries) > MAX_EXAMPLES:
        raise DatasetError(f"examples in dataset.json must be a list of at most {MAX_EXAMPLES} entries")
    examples = []
    for number, entry in enumerate(entries, 1):
        fields = [entry.get(name, "") for name in ("title", "query", "story")] if isinstance(entry, dict) else []
        if not fields or not all(isinstance(each, str) and len(each) <= MAX_EXAMPLE_TEXT for each in fields):
            raise DatasetError(
                f'example {number} in dataset.json must be an object such as {{"title": "Behind a hedge", '
                f'"query": "query/0001_c1_f0000002.jpg"}} with texts of at most {MAX_EXAMPLE_TEXT} characters'
            )
        example = Example(*(escape_name(each) for each in fields))
        if not example.title or example.query not in queries:
            raise DatasetError(
                f"example {number} in dataset.json has the title {example.title!r} and the query {example.query!r}; "
                "use a title and the path of a query"
            )
        examples.append(example)
    titles = {example.title for example in examples}
    if len(titles) < len(examples):
        raise DatasetError("two examples in dataset.json have the same title; give each a title of its own")
    return tuple(examples)

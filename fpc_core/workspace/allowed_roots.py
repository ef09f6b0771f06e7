"""Where visitors of the app may look: folders that whoever runs it has named, and nothing outside of them.

A place below a root has a name, `LABEL/relative/path`, with the root's label in front: it goes into links and lists, so
that neither tells the machine's own paths. The demo is always a root; the environment variable FPC_ROOTS adds others,
separated as in PATH.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePath

from fpc_core.data.datasets import LAYOUT_FOLDERS, Dataset, is_layout
from fpc_core.data.images import SUFFIXES
from fpc_core.gallery.memory import PARTIAL
from fpc_core.io.bounded_files import OutsideRootsError, check_inside, escape_name, is_text

CACHE = "cache"  # label of the folder of memories built for visitors; no root of FPC_ROOTS has it
CHECKPOINTS = frozenset({".safetensors", ".pth", ".pt", ".bin", ".ckpt"})
MAX_DEPTH = 5  # folders below a root that are looked into
MAX_ENTRIES = 20_000  # files and folders that one look goes through
_LONGEST = 4096  # characters of a path on the common systems
_MOST_OF_ONE = 2_000  # of them in one folder


@dataclass(frozen=True)
class Root:
    """A folder below which visitors may choose. path: absolute, every link in it resolved; it need not exist."""

    label: str
    path: Path


@dataclass(frozen=True)
class DiscoveredPaths:
    """Names of what lies below the roots, sorted. complete: False where the bounds ended the look.

    memories: folders of gallery memories, those with an unfinished build included.  absent: labels of roots that are
    no folder.  skipped: how many files and folders were left out because their names are not valid text (UTF-8).
    """

    datasets: tuple[str, ...]
    checkpoints: tuple[str, ...]
    memories: tuple[str, ...]
    absent: tuple[str, ...] = ()
    complete: bool = True
    skipped: int = 0


def named_roots(demo: Path, text: str | None = None) -> tuple[Root, ...]:
    """The demo, and the folders of `text` (default: FPC_ROOTS) under their own names; a second one of a name, or one
    named CACHE, gets "-2".

    Raises ValueError for a folder that is not named from the top: what it means would change with the working folder.
    """
    listed = os.environ.get("FPC_ROOTS", "") if text is None else text
    roots = [Root("demo", demo.resolve())]
    for part in filter(None, (each.strip() for each in listed.split(os.pathsep))):
        path = Path(part).expanduser()
        if not path.is_absolute():
            raise ValueError(f"FPC_ROOTS names {part!r}, which is no absolute path; write it from the top")
        path = path.resolve()
        if path not in {root.path for root in roots}:
            roots.append(
                Root(_unique_label(escape_name(path.name) or "root", {CACHE, *(root.label for root in roots)}), path)
            )
    return tuple(roots)


def resolve(name: str, roots: Sequence[Root]) -> Path:
    """The place of a name, or of an absolute path that somebody typed: real, that is with every link resolved.

    It need not exist. Raises OutsideRootsError where a name has no known label, steps upwards (`..`), or where the
    place, after all links, is neither a root nor below one.
    """
    label, _, rest = name.partition("/")
    root = next((root for root in roots if root.label == label), None)
    refusal = OutsideRootsError(
        f"{name[:200]!r} is not below a folder that this app may read ({', '.join(root.label for root in roots)}); "
        "choose from the list, or have its folder added to FPC_ROOTS"
    )
    inner, typed = PurePath(rest), PurePath(name)
    if ".." in inner.parts or ".." in typed.parts or "\0" in name or len(name) > _LONGEST:
        raise refusal
    if root is not None and not inner.is_absolute():
        path = root.path / inner
    elif typed.is_absolute():
        path = Path(typed)
    else:
        raise refusal
    try:
        real = path.resolve()
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, or a name no system takes
        raise refusal from error
    if root_of(real, roots) is None:
        raise refusal
    return real


def name_of(path: Path, roots: Sequence[Root]) -> str:
    """The name of a place below a root. Raises OutsideRootsError for any other place."""
    real = path.resolve()
    root = root_of(real, roots)
    if root is None:
        raise OutsideRootsError(f"{path} is below none of {', '.join(root.label for root in roots)}")
    inner = real.relative_to(root.path).as_posix()
    return root.label if inner == "." else f"{root.label}/{inner}"


def root_of(real: Path, roots: Sequence[Root]) -> Root | None:
    """The innermost root that is `real` or lies above it; `real` has its links resolved."""
    above = [root for root in roots if real == root.path or root.path in real.parents]
    return max(above, key=lambda root: len(root.path.parts), default=None)


def confine(dataset: Dataset, roots: Sequence[Root]) -> None:
    """Raises OutsideRootsError for a dataset with a folder, an image or another file that is a link out of the roots.

    Links are resolved now: whoever may write below a root can change one later, and so is trusted with what it names.
    """
    records = (*dataset.train, *dataset.query, *dataset.gallery)
    folders = {record.path.parent for record in records}
    beside = sorted(child.relative_to(dataset.root) for child in dataset.root.iterdir() if child.is_symlink())
    links = (record.path for record in records if (dataset.root / record.path).is_symlink())
    for path in (*sorted(folders), *beside, *links):
        _confined(dataset.root / path, f"{path} of the dataset", roots)


def confine_memory(directory: Path, roots: Sequence[Root]) -> None:
    """Raises OutsideRootsError for a gallery memory with a file that is a link out of the roots; it need not exist."""
    for folder in (directory, directory.with_name(directory.name + PARTIAL)):
        for child in sorted(folder.iterdir()) if folder.is_dir() else ():
            _confined(child, f"{child.name} of the memory", roots)


def _confined(path: Path, spoken: str, roots: Sequence[Root]) -> None:
    check_inside(path, [root.path for root in roots], spoken)


def discover(roots: Sequence[Root], depth: int = MAX_DEPTH, most: int = MAX_ENTRIES) -> DiscoveredPaths:
    """Find datasets, checkpoints and memories below the roots, nearest first until `most` entries were seen.

    Links are not followed and folders of images are not listed to their end. A folder with sub-folders of images is
    one dataset (a sub-folder is an identity then); with a single such sub-folder, that one is. What is not found can
    still be named.
    """
    look = _Scanner(roots, most)
    absent = tuple(root.label for root in roots if not root.path.is_dir())
    level = [root.path for root in roots if root.label not in absent]
    for _ in range(depth + 1):
        level = [child for folder in level for child in look.into(folder)]
    return DiscoveredPaths(
        datasets=tuple(sorted(look.datasets)),
        checkpoints=tuple(sorted(look.checkpoints)),
        memories=tuple(sorted(look.memories)),
        absent=absent,
        complete=look.left > 0 and not level,
        skipped=len(look.unreadable),
    )


class _Scanner:
    """One look below the roots, and what it has found so far."""

    def __init__(self, roots: Sequence[Root], most: int) -> None:
        self.left = most
        self.datasets: set[str] = set()
        self.checkpoints: set[str] = set()
        self.memories: set[str] = set()
        self.unreadable: set[Path] = set()
        self._roots = roots

    def into(self, folder: Path) -> list[Path]:
        """Note what `folder` holds; returns the sub-folders to look into."""
        inner, files = [], []
        for entry in self._entries(folder):
            if entry.is_dir(follow_symlinks=False):
                inner.append(folder / entry.name)
            elif entry.is_file(follow_symlinks=False):
                files.append(folder / entry.name)
        if any(path.name == "manifest.json" for path in files):
            self.memories.add(self._name(folder))
            return []
        self.checkpoints |= {self._name(path) for path in files if path.suffix.lower() in CHECKPOINTS}
        unfinished = [path for path in inner if path.name.endswith(PARTIAL)]
        self.memories |= {self._name(path.with_name(path.name.removesuffix(PARTIAL))) for path in unfinished}
        inner = [path for path in inner if path not in unfinished]
        names = {path.name for path in inner}
        if is_layout(names) or {"query", "gallery"} <= names:
            self.datasets.add(self._name(folder))
            return [path for path in inner if path.name not in LAYOUT_FOLDERS]
        people = [path for path in inner if self._has_image(path)]
        if any(path.suffix.lower() in SUFFIXES for path in files) or len(people) > 1:
            self.datasets.add(self._name(folder))
        elif people:
            self.datasets.add(self._name(people[0]))
        return [path for path in inner if path not in people]

    def _has_image(self, folder: Path) -> bool:
        """One among its first entries."""
        return any(
            Path(entry.name).suffix.lower() in SUFFIXES and entry.is_file(follow_symlinks=False)
            for entry in self._entries(folder, 100)
        )

    def _entries(self, folder: Path, most: int = _MOST_OF_ONE) -> Iterator[os.DirEntry[str]]:
        """The first `most` of a folder that can be read, but for hidden ones, as long as the bound lasts."""
        try:
            with os.scandir(folder) as entries:
                for entry in islice(entries, most):
                    self.left -= 1
                    if self.left < 0:
                        return
                    if not is_text(entry.name):
                        self.unreadable.add(folder / entry.name)
                    elif not entry.name.startswith("."):
                        yield entry
        except OSError:  # not ours to read, or gone since it was listed: nothing to offer there
            return

    def _name(self, path: Path) -> str:
        return name_of(path, self._roots)


def _unique_label(label: str, taken: set[str]) -> str:
    number = 1
    while (found := label if number == 1 else f"{label}-{number}") in taken:
        number += 1
    return found

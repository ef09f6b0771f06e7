"""Restrict the paths that visitors of the app may choose to folders that the administrator configures, called roots.

A path below a root has a name, `LABEL/relative/path`, which starts with the root's label. Links and lists contain names
instead of absolute paths, which would reveal how the host is organised. The demo is always a root. The environment
variable FPC_ROOTS adds others, separated as in PATH.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePath

from fpc_core.data.datasets import Dataset
from fpc_core.data.images import SUFFIXES
from fpc_core.data.layouts.registry import TOP_FOLDERS, is_layout
from fpc_core.gallery.manifest import PARTIAL
from fpc_core.io.bounded_files import OutsideRootsError, check_inside, escape_name, is_text

CACHE = "cache"  # Label of the folder with gallery memories built for visitors; no root in FPC_ROOTS may have it.
CHECKPOINTS = frozenset({".safetensors", ".pth", ".pt", ".bin", ".ckpt"})
MAX_DEPTH = 5  # Maximum depth of the folders below a root that a scan visits.
MAX_ENTRIES = 20_000  # Maximum number of files and folders that one scan visits.
_MAX_PATH = 4096  # Maximum number of characters in a path on common systems.
_MAX_FOLDER_ENTRIES = 2_000  # Maximum number of entries that a scan visits in one folder.


@dataclass(frozen=True)
class Root:
    """A folder below which visitors may choose paths.

    Attributes:
        label: Name that visitors see.
        path: Absolute path with all links resolved; the folder need not exist.
    """

    label: str
    path: Path


@dataclass(frozen=True)
class DiscoveredPaths:
    """Sorted names of the paths that a scan found below the roots.

    Attributes:
        datasets: Names of dataset folders.
        checkpoints: Names of weight files.
        memories: Names of gallery memory folders, including those with an unfinished build.
        absent: Labels of roots that are not folders.
        complete: Whether the scan ended without reaching its limit of depth or entries.
        skipped: Number of files and folders that were left out because their names are not valid UTF-8.
    """

    datasets: tuple[str, ...]
    checkpoints: tuple[str, ...]
    memories: tuple[str, ...]
    absent: tuple[str, ...] = ()
    complete: bool = True
    skipped: int = 0


def named_roots(demo: Path, text: str | None = None) -> tuple[Root, ...]:
    """Return the demo and the folders in `text` as roots, labelled by folder name.

    A label that is already in use, or equals CACHE, gets the suffix "-2", "-3" and so on.

    Args:
        demo: Folder of the demo.
        text: Folders, separated as in PATH; by default the value of FPC_ROOTS.

    Raises:
        ValueError: A path is relative, so that its meaning would depend on the working directory.
    """
    listed = os.environ.get("FPC_ROOTS", "") if text is None else text
    roots = [Root("demo", demo.resolve())]
    for part in filter(None, (each.strip() for each in listed.split(os.pathsep))):
        path = Path(part).expanduser()
        if not path.is_absolute():
            raise ValueError(f"FPC_ROOTS contains {part!r}, which is not an absolute path; use absolute paths")
        path = path.resolve()
        if path not in {root.path for root in roots}:
            roots.append(
                Root(_unique_label(escape_name(path.name) or "root", {CACHE, *(root.label for root in roots)}), path)
            )
    return tuple(roots)


def resolve(name: str, roots: Sequence[Root]) -> Path:
    """Return the path of a name or of an absolute path that a visitor entered, with all links resolved.

    Args:
        name: Name such as `demo/query`, or absolute path; the path need not exist.
        roots: Configured roots.

    Raises:
        OutsideRootsError: The label is unknown, the name contains `..`, or the resolved path is not a root or below
            one.
    """
    label, _, rest = name.partition("/")
    root = next((root for root in roots if root.label == label), None)
    refusal = OutsideRootsError(
        f"{name[:200]!r} is not below a folder that this app may read ({', '.join(root.label for root in roots)}); "
        "choose from the list, or ask the administrator to add the folder to FPC_ROOTS"
    )
    inner, typed = PurePath(rest), PurePath(name)
    if ".." in inner.parts or ".." in typed.parts or "\0" in name or len(name) > _MAX_PATH:
        raise refusal
    if root is not None and not inner.is_absolute():
        path = root.path / inner
    elif typed.is_absolute():
        path = Path(typed)
    else:
        raise refusal
    try:
        real = path.resolve()
    except (OSError, RuntimeError, ValueError) as error:  # The links form a loop, or the name is invalid.
        raise refusal from error
    if root_of(real, roots) is None:
        raise refusal
    return real


def name_of(path: Path, roots: Sequence[Root]) -> str:
    """Return the name of a path below a root.

    Args:
        path: Path to name.
        roots: Configured roots.

    Raises:
        OutsideRootsError: The path is not below a root.
    """
    real = path.resolve()
    root = root_of(real, roots)
    if root is None:
        raise OutsideRootsError(
            f"{path} is not below any root ({', '.join(root.label for root in roots)}); add its folder to FPC_ROOTS"
        )
    inner = real.relative_to(root.path).as_posix()
    return root.label if inner == "." else f"{root.label}/{inner}"


def root_of(real: Path, roots: Sequence[Root]) -> Root | None:
    """Return the innermost root that contains a path, or None.

    Args:
        real: Path with all links resolved.
        roots: Configured roots.
    """
    above = [root for root in roots if real == root.path or root.path in real.parents]
    return max(above, key=lambda root: len(root.path.parts), default=None)


def confine(dataset: Dataset, roots: Sequence[Root]) -> None:
    """Check that no image, image folder or entry of a dataset's top folder is a link that leads out of the roots.

    Links are resolved at the time of the check. Users with write access below a root are trusted not to change them
    later.

    Args:
        dataset: Dataset to check.
        roots: Configured roots.

    Raises:
        OutsideRootsError: A link leads out of the roots.
    """
    records = (*dataset.train, *dataset.query, *dataset.gallery)
    folders = {record.path.parent for record in records}
    links_beside = sorted(child.relative_to(dataset.root) for child in dataset.root.iterdir() if child.is_symlink())
    links = (record.path for record in records if (dataset.root / record.path).is_symlink())
    for path in (*sorted(folders), *links_beside, *links):
        _check_inside_roots(dataset.root / path, f"{path} of the dataset", roots)


def confine_memory(directory: Path, roots: Sequence[Root]) -> None:
    """Check that no file of a gallery memory is a link that leads out of the roots.

    Args:
        directory: Folder of the gallery memory; it need not exist.
        roots: Configured roots.

    Raises:
        OutsideRootsError: A link leads out of the roots.
    """
    for folder in (directory, directory.with_name(directory.name + PARTIAL)):
        for child in sorted(folder.iterdir()) if folder.is_dir() else ():
            _check_inside_roots(child, f"{child.name} of the gallery memory", roots)


def _check_inside_roots(path: Path, description: str, roots: Sequence[Root]) -> None:
    check_inside(path, [root.path for root in roots], description)


def discover(roots: Sequence[Root], depth: int = MAX_DEPTH, max_entries: int = MAX_ENTRIES) -> DiscoveredPaths:
    """Find datasets, checkpoints and gallery memories below the roots, top-level folders first.

    Links are not followed, and folders of images are not listed completely. A folder with several subfolders of images
    is one dataset, with a subfolder per identity. If only one subfolder has images, that subfolder is the dataset.
    Visitors can still enter the names of paths that are not found.

    Args:
        roots: Configured roots.
        depth: Maximum depth of folders below a root.
        max_entries: Maximum number of files and folders to visit.
    """
    scanner = _Scanner(roots, max_entries)
    absent = tuple(root.label for root in roots if not root.path.is_dir())
    level = [root.path for root in roots if root.label not in absent]
    for _ in range(depth + 1):
        level = [child for folder in level for child in scanner.scan(folder)]
    return DiscoveredPaths(
        datasets=tuple(sorted(scanner.datasets)),
        checkpoints=tuple(sorted(scanner.checkpoints)),
        memories=tuple(sorted(scanner.memories)),
        absent=absent,
        complete=scanner.left > 0 and not level,
        skipped=len(scanner.unreadable),
    )


class _Scanner:
    """A scan below the roots.

    Attributes:
        left: Number of files and folders that may still be visited; 0 or less if the limit was reached.
        datasets: Names of the datasets found so far.
        checkpoints: Names of the weight files found so far.
        memories: Names of the gallery memories found so far.
        unreadable: Paths whose names are not valid text.
    """

    def __init__(self, roots: Sequence[Root], max_entries: int) -> None:
        self.left = max_entries
        self.datasets: set[str] = set()
        self.checkpoints: set[str] = set()
        self.memories: set[str] = set()
        self.unreadable: set[Path] = set()
        self._roots = roots

    def scan(self, folder: Path) -> list[Path]:
        """Record what `folder` contains, and return the subfolders to scan next."""
        subfolders, files = [], []
        for entry in self._entries(folder):
            if entry.is_dir(follow_symlinks=False):
                subfolders.append(folder / entry.name)
            elif entry.is_file(follow_symlinks=False):
                files.append(folder / entry.name)
        if any(path.name == "manifest.json" for path in files):
            self.memories.add(self._name(folder))
            return []
        self.checkpoints |= {self._name(path) for path in files if path.suffix.lower() in CHECKPOINTS}
        unfinished = [path for path in subfolders if path.name.endswith(PARTIAL)]
        self.memories |= {self._name(path.with_name(path.name.removesuffix(PARTIAL))) for path in unfinished}
        subfolders = [path for path in subfolders if path not in unfinished]
        if is_layout({path.name for path in (*subfolders, *files)}):
            self.datasets.add(self._name(folder))
            return [path for path in subfolders if path.name.lower() not in TOP_FOLDERS]
        identities = [path for path in subfolders if self._has_image(path)]
        if any(path.suffix.lower() in SUFFIXES for path in files) or len(identities) > 1:
            self.datasets.add(self._name(folder))
        elif identities:
            self.datasets.add(self._name(identities[0]))
        return [path for path in subfolders if path not in identities]

    def _has_image(self, folder: Path) -> bool:
        """Return whether there is an image among the first 100 entries of a folder."""
        return any(
            Path(entry.name).suffix.lower() in SUFFIXES and entry.is_file(follow_symlinks=False)
            for entry in self._entries(folder, 100)
        )

    def _entries(self, folder: Path, max_entries: int = _MAX_FOLDER_ENTRIES) -> Iterator[os.DirEntry[str]]:
        """Yield entries of a folder, without hidden and unreadable names, until a limit is reached.

        Args:
            folder: Folder to list; nothing is yielded if it cannot be read.
            max_entries: Maximum number of entries to visit in this folder; the limit of the scan also applies.
        """
        try:
            with os.scandir(folder) as entries:
                for entry in islice(entries, max_entries):
                    self.left -= 1
                    if self.left < 0:
                        return
                    if not is_text(entry.name):
                        self.unreadable.add(folder / entry.name)
                    elif not entry.name.startswith("."):
                        yield entry
        except OSError:  # The folder is not readable, or was deleted after it was listed.
            return

    def _name(self, path: Path) -> str:
        return name_of(path, self._roots)


def _unique_label(label: str, taken: set[str]) -> str:
    number = 1
    while (candidate := label if number == 1 else f"{label}-{number}") in taken:
        number += 1
    return candidate

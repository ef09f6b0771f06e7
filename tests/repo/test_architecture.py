"""Holds the map of docs/architecture.md: who may import whom."""

import ast
import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def offenders(room: str, forbidden: tuple[str, ...]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sorted((ROOT / room).rglob("*.py"))
        for name in sorted(imports(path))
        if any(name == each or name.startswith(f"{each}.") for each in forbidden)
    ]


def test_the_core_knows_nothing_of_the_app():
    assert offenders("fpc_core", ("streamlit", "plotly", "app")) == []


def test_model_and_matching_do_not_know_each_other():
    assert offenders("fpc_core/model", ("fpc_core.matching", "fpc_core.gallery.memory", "fpc_core.retrieval")) == []
    assert offenders("fpc_core/matching", ("fpc_core.model", "fpc_core.gallery.memory", "fpc_core.retrieval")) == []


def test_caches_are_used_in_resources_and_in_the_stages_of_a_search_alone():
    text = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "app").rglob("*.py")}
    assert {name for name in text if "@kept(" in text[name]} == {"resources.py", "stages.py"}
    assert {name for name in text if "Cache(" in text[name]} == {"caches.py"}
    assert [name for name in text if "st.cache_" in text[name] or "lru_cache" in text[name]] == []  # bound no bytes
    # A handful of values by nature: four workers, the pictures of a few textures, one setting.
    assert {name for name in text if "@cache\n" in text[name]} == {"resources.py", "occluder.py", "public.py"}


def test_importing_the_core_loads_no_front_end():
    code = "import sys, fpc_core.retrieval; print({'streamlit', 'plotly'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_no_module_is_longer_than_400_lines():
    long = [
        str(path.relative_to(ROOT))
        for room in ("fpc_core", "app")
        for path in (ROOT / room).rglob("*.py")
        if len(path.read_text(encoding="utf-8").splitlines()) > 400
    ]
    assert long == []


def test_the_map_names_every_room_of_app_and_core_and_no_other():
    named = set()
    for cell in re.findall(
        r"^\| (`[^|]+`) \|", (ROOT / "docs/architecture.md").read_text(encoding="utf-8"), re.MULTILINE
    ):
        first, *others = (Path(each) for each in re.findall("`([^`]+)`", cell))
        named |= {first, *(first.parent / each for each in others)}
    rooms = [path for room in ("app", "fpc_core") for path in (ROOT / room).iterdir() if path.name[0] not in "._"]
    assert {each for each in named if each.parts[0] in ("app", "fpc_core")} == {
        path.relative_to(ROOT) for path in rooms
    }


def test_every_library_that_is_imported_is_pinned():
    ours = {"fpc_core", "app", "tests", "benchmarks", "docs"}
    for rooms, files in (({"fpc_core", "app"}, ("", "-scale")), (ours, ("", "-scale", "-dev"))):
        text = "".join((ROOT / f"requirements{each}.txt").read_text(encoding="utf-8") for each in files)
        pinned = {name.lower() for name in re.findall(r"^([\w.-]+)==", text, re.MULTILINE)}
        paths = [path for room in rooms for path in (ROOT / room).rglob("*.py")]
        libraries = {name.split(".")[0] for path in paths for name in imports(path)} - ours - sys.stdlib_module_names
        from_where = packages_distributions()
        assert {each for each in libraries if pinned.isdisjoint(map(str.lower, from_where[each]))} == set()

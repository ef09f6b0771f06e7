"""The code follows docs/architecture.md in its folders, sizes and imports."""

import ast
import re
import subprocess
import sys
from graphlib import TopologicalSorter
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


APP_LAYERS = (  # A layer may import the layers listed after it.
    ("pages",),
    ("explore", "learn", "sweep", "evaluate", "atlas", "lab", "compare", "figures", "data"),
    ("sections",),
    ("ui",),
    ("components",),
    ("server", "session"),
    ("layout", "preload", "messages", "public_mode"),
)


def test_the_core_never_imports_the_app():
    assert offenders("fpc_core", ("streamlit", "plotly", "app")) == []


def test_model_and_matching_do_not_import_each_other():
    assert offenders("fpc_core/model", ("fpc_core.matching", "fpc_core.gallery", "fpc_core.retrieval")) == []
    assert offenders("fpc_core/matching", ("fpc_core.model", "fpc_core.gallery", "fpc_core.retrieval")) == []


def test_every_layer_of_the_app_imports_only_layers_below_it():
    for level, names in enumerate(APP_LAYERS[:-1]):
        above = tuple(f"app.{name}" for higher in APP_LAYERS[:level] for name in higher)
        beside = {name: tuple(f"app.{other}" for other in names if other != name) for name in names}
        for name in names:
            # The Figures page shows score tables. Sessions and the state of the server depend on each other.
            allowed = {"figures": ("app.evaluate",), "server": ("app.session",), "session": ("app.server",)}.get(
                name, ()
            )
            forbidden = tuple(each for each in (*above, *beside[name]) if each not in allowed)
            assert offenders(f"app/{name}", forbidden) == []
    folders = {path.parent.name for path in (ROOT / "app").glob("*/__init__.py")}
    assert folders == {name for names in APP_LAYERS[:-1] for name in names}


def test_no_modules_import_each_other_in_a_circle():
    """Only imports at the top of a module count, because those inside functions run later."""
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for room in ("fpc_core", "app")
        for path in (ROOT / room).rglob("*.py")
    }
    graph = {}
    for name, path in modules.items():
        names = set()
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ImportFrom) and node.module:
                names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        graph[name] = {each for each in names if each in modules and not name.startswith(f"{each}.")} - {name}
    TopologicalSorter(graph).prepare()  # It raises CycleError if there is a cycle.


def test_no_folder_of_the_product_has_more_than_15_files():
    for room in ("fpc_core", "app", "tests/core", "tests/app"):
        for folder in (path for path in (ROOT / room).rglob("*") if path.is_dir() and path.name != "__pycache__"):
            files = [path.name for path in folder.iterdir() if path.is_file() and path.name != "__init__.py"]
            assert len(files) <= 15, f"{folder.relative_to(ROOT)} holds {len(files)} files"


def test_only_resources_and_search_use_caches():
    text = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "app").rglob("*.py")}
    assert {name for name in text if "@cached(" in text[name]} == {"resources.py", "search.py"}
    assert {name for name in text if "Cache(" in text[name]} == {"cache.py"}
    # These caches do not limit bytes.
    assert [name for name in text if "st.cache_" in text[name] or "lru_cache" in text[name]] == []
    # functools.cache is allowed where the number of values is small: four workers, a few textures, one setting.
    found = {
        path.relative_to(ROOT / "app").as_posix()
        for path in (ROOT / "app").rglob("*.py")
        if "@cache\n" in path.read_text(encoding="utf-8")
    }
    assert found == {"server/resources.py", "components/occluder/__init__.py", "public_mode.py"}


def test_slider_values_are_written_to_the_url_by_one_function():
    writers = r"query_params(\[|\.pop\()[\"'](gamma|alpha|k)[\"']|params\[name\] = str\(value\)"
    found = {
        path.relative_to(ROOT).as_posix(): len(re.findall(writers, path.read_text(encoding="utf-8")))
        for path in (ROOT / "app").rglob("*.py")
    }
    assert {path: count for path, count in found.items() if count} == {"app/session/view.py": 1}


def test_importing_the_core_loads_no_front_end():
    code = "import sys, fpc_core.retrieval; print({'streamlit', 'plotly'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_no_module_is_longer_than_400_lines():
    long = [
        str(path.relative_to(ROOT))
        for room in ("fpc_core", "app")
        for path in (ROOT / room).rglob("*.*")
        if path.suffix in (".py", ".js", ".css") and len(path.read_text(encoding="utf-8").splitlines()) > 400
    ]
    assert long == []


def test_the_architecture_page_names_every_folder_and_module():
    named = set()
    for cell in re.findall(
        r"^\| (`[^|]+`) \|", (ROOT / "docs/architecture.md").read_text(encoding="utf-8"), re.MULTILINE
    ):
        first, *others = (Path(each) for each in re.findall("`([^`]+)`", cell))
        named |= {first, *(each if len(each.parts) > 1 else first.parent / each for each in others)}
    there = [path for room in ("app", "fpc_core") for path in (ROOT / room).iterdir() if path.name[0] not in "._"]
    assert {each for each in named if each.parts[0] in ("app", "fpc_core")} == {
        path.relative_to(ROOT) for path in there
    }


def test_every_library_that_is_imported_is_pinned():
    ours = {"fpc_core", "app", "tests", "benchmarks", "docs"}
    for rooms, files in (({"fpc_core", "app"}, ("", "-scale")), (ours, ("", "-scale", "-dev"))):
        text = "".join((ROOT / f"requirements{each}.txt").read_text(encoding="utf-8") for each in files)
        pinned = {name.lower() for name in re.findall(r"^([\w.-]+)==", text, re.MULTILINE)}
        paths = [path for room in rooms for path in (ROOT / room).rglob("*.py")]
        libraries = {name.split(".")[0] for path in paths for name in imports(path)} - ours - sys.stdlib_module_names
        from_where = packages_distributions()
        names = {each: {name.lower().replace("_", "-") for name in from_where[each]} for each in libraries}
        assert {each for each in libraries if pinned.isdisjoint(names[each])} == set()

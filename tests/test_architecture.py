"""Holds the map of docs/architecture.md: who may import whom."""

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


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
    assert offenders("fpc_core/model", ("fpc_core.matching", "fpc_core.memory", "fpc_core.retrieval")) == []
    assert offenders("fpc_core/matching", ("fpc_core.model", "fpc_core.memory", "fpc_core.retrieval")) == []


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

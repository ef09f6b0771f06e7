"""What a new server imports and when: the title is shown before the engine's libraries are loaded."""

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "timm", "numba", "fpc_core")


def after(code):
    """Return what a new interpreter prints after running this code."""
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return found.stdout.split()


def test_the_title_of_a_page_does_not_import_the_engine():
    parsed = ast.parse((ROOT / "streamlit_app.py").read_text(encoding="utf-8"))
    used = {ast.unparse(each) for each in ast.walk(parsed) if isinstance(each, ast.ImportFrom)}
    assert "from app.layout import ICON, inject_page_css" in used
    loads = "; ".join(["import sys", *used, "from app.layout import heading, inject_presenter_css"])
    assert after(f"{loads}; print(*[name for name in {HEAVY} if name in sys.modules])") == []


def test_the_engine_is_imported_once_and_collection_is_re_enabled():
    code = (
        "import gc, sys; from app.preload import load_engine; load_engine(); once = gc.get_freeze_count()\n"
        "load_engine(); print(gc.isenabled(), once > 100_000, gc.get_freeze_count() <= once, 'timm' in sys.modules)"
    )
    assert after(code) == ["True", "True", "True", "True"]


def test_a_failed_import_of_the_engine_re_enables_collection():
    code = (
        "import gc, sys; sys.modules['timm'] = None; from app.preload import load_engine\n"
        "try: load_engine()\n"
        "except ImportError: print(gc.isenabled())"
    )
    assert after(code) == ["True"]

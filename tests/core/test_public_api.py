"""`fpc_core` exports its public names only, and importing it loads no large library."""

import subprocess
import sys
from pathlib import Path

import fpc_core

ROOT = Path(__file__).resolve().parents[2]
NAMES = {
    "GLOSSARY",
    "DropStrategy",
    "ModelConfig",
    "Places",
    "PruneSettings",
    "QuerySettings",
    "QueryTrace",
    "Ranking",
    "Retriever",
    "SearchResult",
    "Solver",
    "TransportPlan",
    "TransportSettings",
    "Variant",
    "Workspace",
    "__version__",
    "decode_image",
    "open_workspace",
    "resize_image",
    "to_tensor",
}


def test_the_package_exports_exactly_these_names():
    assert set(fpc_core.__all__) == NAMES
    for name in NAMES:
        assert getattr(fpc_core, name) is not None
    assert set(dir(fpc_core)) >= NAMES


def test_importing_the_package_loads_neither_torch_nor_timm():
    code = "import sys, fpc_core; print({'torch', 'timm', 'numba'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"

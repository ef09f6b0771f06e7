"""FPC (feature pruning and consolidation for occluded person re-identification) as a library without a user interface.

The names that a notebook needs can be imported from here. Each is loaded on first use, which keeps `import fpc_core`
fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fpc_core.runtime.threads import set_passive_omp_wait

if TYPE_CHECKING:
    from fpc_core.config import (
        DropStrategy,
        ModelConfig,
        PruneSettings,
        QuerySettings,
        Solver,
        TransportSettings,
        Variant,
    )
    from fpc_core.data.images import decode_image, resize_image, to_tensor
    from fpc_core.glossary import GLOSSARY
    from fpc_core.results import QueryTrace, Ranking, TransportPlan
    from fpc_core.retrieval import Retriever
    from fpc_core.search import SearchResult
    from fpc_core.workspace import Places, Workspace, open_workspace

set_passive_omp_wait()  # OpenMP reads this setting when torch is loaded.

__version__ = "0.2.0"

_EXPORTS = {
    "fpc_core.config": (
        "DropStrategy",
        "ModelConfig",
        "PruneSettings",
        "QuerySettings",
        "Solver",
        "TransportSettings",
        "Variant",
    ),
    "fpc_core.data.images": ("decode_image", "resize_image", "to_tensor"),
    "fpc_core.glossary": ("GLOSSARY",),
    "fpc_core.results": ("QueryTrace", "Ranking", "TransportPlan"),
    "fpc_core.retrieval": ("Retriever",),
    "fpc_core.search": ("SearchResult",),
    "fpc_core.workspace": ("Places", "Workspace", "open_workspace"),
}
_MODULE_OF = {name: module for module, names in _EXPORTS.items() for name in names}
__all__ = [
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
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'fpc_core' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_MODULE_OF[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULE_OF})

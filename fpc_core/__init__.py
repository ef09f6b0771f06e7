"""FPC: feature pruning and consolidation for occluded person re-identification. The engine; no user interface."""

from fpc_core.runtime.threads import set_passive_omp_wait

set_passive_omp_wait()  # before torch is loaded

from fpc_core.runtime.torchvision_ops import ensure_torchvision_imports  # noqa: E402

ensure_torchvision_imports()  # before anything here imports timm or grad-cam

__version__ = "0.1.0"

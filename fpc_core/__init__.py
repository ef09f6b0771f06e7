"""FPC: feature pruning and consolidation for occluded person re-identification. The engine; no user interface."""

from fpc_core._torchvision import ensure_torchvision_imports

ensure_torchvision_imports()  # before anything here imports timm or grad-cam

__version__ = "0.1.0"

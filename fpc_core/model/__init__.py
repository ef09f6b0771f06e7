"""The FPC network: sparse encoder (Sec. 3.1), consolidation decoder (Sec. 3.3) and checkpoints."""

from fpc_core.runtime.torchvision_ops import ensure_torchvision_imports

ensure_torchvision_imports()  # This must run before any module of this package imports timm.

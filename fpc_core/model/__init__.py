"""The FPC network: sparse encoder (Sec. 3.1), consolidation decoder (Sec. 3.3) and checkpoints of every format."""

from fpc_core.runtime.torchvision_ops import ensure_torchvision_imports

ensure_torchvision_imports()  # before a module of this package imports timm

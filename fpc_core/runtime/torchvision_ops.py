"""Allow timm and grad-cam to import torchvision with a CPU-only torch.

The package index has only a torchvision built for CUDA. A CPU-only torch cannot load its compiled operators, and
`import torchvision` fails with "operator torchvision::nms does not exist". This project never calls these operators, so
declaring their schemas is enough. Nothing is declared if the compiled operators can be loaded, as with a CUDA torch.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch

_declared: list[torch.library.Library] = []  # A garbage-collected Library would remove its schemas.


def ensure_torchvision_imports() -> bool:
    """Declare `nms` and `qnms` if torchvision's own operators cannot be loaded, and return whether they are declared.

    Raises:
        ImportError: torchvision is not installed.
    """
    if _declared:
        return True
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        raise ImportError("torchvision is not installed; run: pip install -r requirements.txt")
    for binary in sorted(Path(spec.origin).parent.glob("_C*")):
        try:
            torch.ops.load_library(str(binary))
        except OSError:
            continue
        return False
    library = torch.library.Library("torchvision", "DEF")
    _declared.append(library)
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return True

"""Let timm and grad-cam import torchvision beside a CPU-only torch.

The package index serves one torchvision, built for CUDA. Its compiled operators cannot load into a CPU-only torch, and
`import torchvision` then fails with "operator torchvision::nms does not exist". Nothing here calls these operators, so
declaring their schemas is enough. Where the compiled operators load (a CUDA torch), nothing is declared.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch

_declared: list[torch.library.Library] = []  # kept alive: a collected Library takes its schemas back


def ensure_torchvision_imports() -> bool:
    """Declare `nms` and `qnms` if torchvision's own operators cannot load; True if they were declared."""
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

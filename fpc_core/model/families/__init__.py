"""Registry of the families of checkpoints, one adapter per family."""

from __future__ import annotations

from collections.abc import Mapping

from fpc_core.model.families.clip_reid import CLIP_REID
from fpc_core.model.families.family import Converted, Family, Settings, Source, Tensors
from fpc_core.model.families.hugging_face import HUGGING_FACE
from fpc_core.model.families.plain import DEIT, DEIT3, DINO, DINOV2, MAE, TIMM
from fpc_core.model.families.reid import OWN, RELEASED, TRANSREID
from fpc_core.model.families.transreid_ssl import PASS, TRANSREID_SSL
from fpc_core.model.families.unsupported import UNSUPPORTED, find_unsupported

__all__ = ["FAMILIES", "UNSUPPORTED", "Converted", "Family", "Settings", "Source", "find_unsupported", "recognise"]

# The first family that detects a file is used, so special families precede general ones.
FAMILIES: Mapping[Source, Family] = {
    Source.OWN: OWN,
    Source.RELEASED: RELEASED,
    Source.PASS: PASS,
    Source.TRANSREID_SSL: TRANSREID_SSL,
    Source.TRANSREID: TRANSREID,
    Source.CLIP_REID: CLIP_REID,
    Source.DEIT: DEIT,
    Source.DINOV2: DINOV2,
    Source.DEIT3: DEIT3,
    Source.DINO: DINO,
    Source.MAE: MAE,
    Source.TIMM: TIMM,
    Source.HUGGING_FACE: HUGGING_FACE,
}


def recognise(tensors: Tensors) -> Source | None:
    """Recognise the family of a checkpoint without metadata; return None if it is unknown.

    Args:
        tensors: Tensors by name, without prefixes of wrappers.
    """
    return next((source for source, family in FAMILIES.items() if family.detect(tensors)), None)

"""Adapters of the code of FPC and TransReID.

In a released FPC checkpoint, `base` is the Vision Transformer of TransReID, whose last block and norm were copied to
`b1` (global head) and `rec_b` (decoder) before training; only the copies are used. A TransReID checkpoint has the same
`base`, either with `b1` and the parts of its jigsaw branch or without them.
"""

from __future__ import annotations

from fpc_core.model.families.family import Family, starts_with

HEADS = ("bottleneck.", "classifier.")
ALL_HEADS = (*HEADS, "rec_bottleneck.", "rec_classifier.")

OWN = Family(
    "FPC Explorer",
    "safetensors with a config in the metadata",
    detect=lambda _: False,  # These files are recognised by the format in their metadata.
    heads=ALL_HEADS,
    size="stored in the file",
    copied="none",
    untrained="none",
)
RELEASED = Family(
    "released FPC",
    "`rec_b.*`",
    detect=lambda tensors: starts_with(tensors, "rec_b."),
    base="base.",
    heads=ALL_HEADS,
    copied="none",
    untrained="none",
)
TRANSREID = Family(
    "TransReID",
    "`base.blocks.*` without `rec_b.*`, with or without the jigsaw branch",
    detect=lambda tensors: starts_with(tensors, "base.blocks."),
    base="base.",
    heads=HEADS,
    ignored=r"b2\..*|classifier_\d\..*|bottleneck_\d\..*",
)

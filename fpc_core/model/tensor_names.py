"""Find the model among the tensors of a file: remove the prefixes of wrappers, and exclude tensors of losses."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

# Names of wrappers (torch.compile, DataParallel, FSDP, activation checkpointing), which may occur anywhere in a name.
_WRAPPERS = frozenset({"_orig_mod", "module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})
# Names of the [cls] token, of which group 1 is the prefix of the whole model, and the names of its blocks.
_ANCHORS = (
    (re.compile(r"((?:[^.]+\.)*?)(?:base\.)?cls_token"), ("blocks.", "base.blocks.")),
    (re.compile(r"((?:[^.]+\.)*?)image_encoder\.class_embedding"), ("image_encoder.transformer.resblocks.",)),
    (re.compile(r"((?:[^.]+\.)*?)embeddings\.cls_token"), ("encoder.layer.",)),
)
_LOSSES = re.compile(r"(\w+_)?(loss|losses|criterion|criteria|cent(er|re)s?|triplet|metric)(_\w+)?(\..*)?")


@dataclass(frozen=True)
class ModelNames:
    """Names of a model's tensors.

    Attributes:
        keys: Name in the file for each name without prefixes.
        aside: Names in the file of tensors that do not belong to the model, such as the centres of a centre loss.
    """

    keys: dict[str, str]
    aside: tuple[str, ...]


def find_model(names: Collection[str]) -> ModelNames:
    """Find the tensors that belong to the model, and remove the prefixes of their names.

    Args:
        names: Tensor names in the file.

    Raises:
        ValueError: The file contains several models, or two names are the same without their prefixes.
    """
    short = {name: ".".join(part for part in name.split(".") if part not in _WRAPPERS) for name in names}
    prefixes = sorted(
        {
            match[1]
            for each in short.values()
            for anchor, blocks in _ANCHORS
            if (match := anchor.fullmatch(each)) and _has_block(match[1], blocks, short)
        }
    )
    if len(prefixes) > 1:
        shown = ", ".join(repr(each[:40]) for each in prefixes[:4])
        raise ValueError(f"contains {len(prefixes)} models, whose names begin with {shown}; save one of them")
    prefix = prefixes[0] if prefixes else _common_prefix(short.values())
    keys: dict[str, str] = {}
    aside: list[str] = []
    for name, each in short.items():
        inner = each.removeprefix(prefix)
        if not each.startswith(prefix) or _LOSSES.fullmatch(inner):
            aside.append(name)
        elif inner in keys:
            raise ValueError(f"contains both {keys[inner][:80]} and {name[:80]}; save the model without wrappers")
        else:
            keys[inner] = name
    return ModelNames(keys, tuple(aside))


def _has_block(prefix: str, blocks: tuple[str, ...], short: dict[str, str]) -> bool:
    starts = tuple(prefix + each for each in blocks)
    return any(name.startswith(starts) for name in short.values())


def _common_prefix(names: Iterable[str]) -> str:
    """Return the known prefixes (`model.`, `state_dict.`, `net.`) that all names have in common."""
    prefix, rest = "", list(names)
    while step := next((p for p in ("model.", "state_dict.", "net.") if all(each.startswith(p) for each in rest)), ""):
        prefix, rest = prefix + step, [each.removeprefix(step) for each in rest]
    return prefix

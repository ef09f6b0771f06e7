"""Replace tensors that this model does not have, such as those of layer scale, by equivalent changes to other tensors.

No conversion changes a result beyond rounding: the factors of layer scale are multiplied into the layer before them,
and an absent bias of queries, keys and values is 0.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

_SCALES = {"ls1.gamma": "attn.proj", "gamma_1": "attn.proj", "ls2.gamma": "mlp.fc2", "gamma_2": "mlp.fc2"}
_SCALE = re.compile(rf"(.*\.)({'|'.join(re.escape(name) for name in _SCALES)})")
_BIAS = ".attn.qkv.bias"
COUNTER = ".num_batches_tracked"


def adapt(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Fold layer scale into the weights, and add absent biases of queries, keys and values.

    Args:
        tensors: Tensors of a TransReID, released or timm checkpoint.

    Returns:
        The converted tensors, and sentences on what was converted.

    Raises:
        ValueError: A factor of layer scale does not match its layer; the message names it.
    """
    converted, notes = dict(tensors), []
    scales = [name for name in tensors if _SCALE.fullmatch(name)]
    for name in scales:
        match = _SCALE.fullmatch(name)
        layer = match[1] + _SCALES[match[2]] if match else name
        weight, bias, factor = (converted.get(f"{layer}.weight"), converted.get(f"{layer}.bias"), tensors[name])
        if weight is None or weight.ndim != 2 or factor.shape != weight.shape[:1]:
            raise ValueError(f"the layer scale {name} of shape {tuple(factor.shape)} does not match {layer}.weight")
        if bias is not None and bias.shape != factor.shape:
            raise ValueError(f"{layer}.bias of shape {tuple(bias.shape)} does not match {layer}.weight")
        converted[f"{layer}.weight"] = weight.float() * factor.float().unsqueeze(1)
        if bias is not None:
            converted[f"{layer}.bias"] = bias.float() * factor.float()
        del converted[name]
    if scales:
        notes.append(f"layer scale: {len(scales)} tensors multiplied into the layers before them")
    weights = [name for name in tensors if name.endswith(".attn.qkv.weight") and tensors[name].ndim == 2]
    if weights and not any(name.endswith(_BIAS) for name in tensors):
        for name in weights:
            converted[name.removesuffix(".weight") + ".bias"] = torch.zeros(tensors[name].shape[0])
        notes.append("the biases of queries, keys and values are absent and set to 0")
    return converted, tuple(notes)


def convert_counters(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], bool]:
    """Return a state with the counters of batch normalisation as integers, and whether this changed anything.

    Counters are not used in a search. Some code converts them to half precision, or does not store them.

    Args:
        state: Tensors of the model that the file has.
        expected: All tensors of the model.
    """
    converted = dict(state)
    for name in (name for name in expected if name.endswith(COUNTER)):
        counter = state.get(name)
        if counter is None and name.removesuffix(COUNTER) + ".running_var" in state:
            converted[name] = torch.zeros((), dtype=torch.int64)
        elif counter is not None and counter.dtype != torch.int64 and not counter.is_complex():
            converted[name] = torch.nan_to_num(counter.float(), 0.0, 0.0, 0.0).long()
    changed = any(converted[name] is not state.get(name) for name in converted)
    return converted, changed

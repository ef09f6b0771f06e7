"""Hostile checkpoint files: safetensors, torch's zip and its older pickle, damaged at random or built to do harm.

The files that are built to do harm contain headers with tensors that overlap, are outside the file or claim exabytes;
configs of our own format with any value in any field; tensors whose strides repeat one number; pickles that call
functions, are nested deeper than the stack, or build objects that double in size at every step.
"""

from __future__ import annotations

import io
import json
import pickle
import struct
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from random import Random
from types import SimpleNamespace
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from fpc_core.config import ModelConfig
from fpc_core.model.checkpoint import FORMAT
from fpc_core.model.families import Source
from fpc_core.model.fpc import FPC
from fpc_core.model.tensor_mapping import mapping_of
from tests.fuzz.damage import BLIND, ODD_NUMBERS
from tests.fuzz.hostile_text import odd_value

INFERABLE = ModelConfig(stride=16, width=192, heads=3, mlp_ratio=0.1, cameras=2, identities=3)
"""A configuration that the reader can infer from the shapes alone."""
SMALL = ModelConfig(stride=16, width=8, depth=2, heads=2, token_blocks=1, cameras=2, identities=3)
_INFERRED_FROM = ("cls_token", "pos_embed", "sie_embed", "embed.proj.weight", "ier.weight", "0.mlp.fc1.weight")
_KINDS = ("F64", "F32", "F16", "BF16", "F8_E4M3", "I64", "I32", "U8", "BOOL", "C64", "F4", "X")
_CALLS = (
    "os.system",
    "builtins.eval",
    "builtins.exec",
    "subprocess.Popen",
    "posix.system",
    "builtins.getattr",
    "torch.load",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_sparse_tensor",
    "pathlib.Path.touch",
    "collections.OrderedDict",
    "numpy.core.multiarray._reconstruct",
    "fpc_core.model.fpc.FPC",
)


File = tuple[str, bytes, ModelConfig | None]
"""Suffix of a file, its bytes, and the config that the caller passes."""


def checkpoint_file(chance: Random) -> File:
    """Return a random checkpoint file."""
    ways = (_damaged, _damaged, _odd_header, _odd_config, _odd_tensors, _odd_tensors, _odd_pickle, _odd_zip)
    return chance.choice(ways)(chance)


@cache
def whole_files() -> dict[str, File]:
    """Return small valid checkpoints of every source and container, by name."""
    timm, released = named_as(Source.TIMM, SMALL), named_as(Source.RELEASED, SMALL)
    older = _saved({"state_dict": released, "epoch": 3}, older=True)
    return {
        "own": (".safetensors", _own(json.dumps(asdict(SMALL))), None),
        "timm": (".safetensors", save(timm), SMALL),
        "released zip": (".pth", _saved(released), SMALL),
        "released pickle": (".pth", older, SMALL),
        "inferable": (".pth", _saved(named_as(Source.RELEASED, INFERABLE)), None),
    }


@cache
def named_as(source: Source, config: ModelConfig) -> dict[str, Tensor]:
    """Return the tensors of an FPC model under the names that another source uses.

    Args:
        source: Source of the names.
        config: Architecture of the model.
    """
    state = _state(config)
    mapping = mapping_of(source, config, state, ["base.sie_embed", "b1."])
    return {stored: state[name].clone() for name, stored in mapping.names.items()}


@cache
def _state(config: ModelConfig) -> dict[str, Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return {name: tensor.contiguous() for name, tensor in FPC(config).state_dict().items()}


def _own(config: str) -> bytes:
    """Return a file of our safetensors format with this config. Sorted metadata give the same bytes every time."""
    data = save(_state(SMALL), {"format": FORMAT, "config": config})
    header, body = _parted(data)
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + body


def _parted(data: bytes) -> tuple[dict[str, Any], bytes]:
    """Return the header and the data of a safetensors file."""
    length = struct.unpack_from("<Q", data)[0]
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def _saved(content: object, older: bool = False) -> bytes:
    """Return the bytes that `torch.save` writes.

    The older format, from before torch's zip, names storages by their address. Here they are named by their order, so
    that equal content gives equal bytes.

    Args:
        content: Object to save.
        older: Whether to use the older format.
    """
    buffer = io.BytesIO()
    if not older:
        torch.save(content, buffer)
        return buffer.getvalue()
    names: dict[str, str] = {}

    class Pickler(pickle._Pickler):
        def save_pers(self, pid: tuple[Any, ...]) -> None:
            super().save_pers((*pid[:2], names.setdefault(pid[2], str(len(names))), *pid[3:]))  # type: ignore[misc]

    def dump(value: Any, file: io.BytesIO, protocol: int) -> None:
        if isinstance(value, list):  # List of the names. After it, torch writes the storages in the same order.
            value.sort(key=list(names).index)
            value = [names[each] for each in value]
        pickle.dump(value, file, protocol)

    pickles = SimpleNamespace(__name__="pickle", Pickler=Pickler, dump=dump)
    torch.save(content, buffer, pickle_module=pickles, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


def _damaged(chance: Random) -> File:
    kind = chance.choice((*whole_files(), *[each for each in whole_files() if each != "inferable"] * 5))
    suffix, data, config = whole_files()[kind]
    for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
        data = chance.choice(BLIND)(chance, data)
    return chance.choice((suffix, suffix, ".safetensors", ".pth")), data, config


def _odd_header(chance: Random) -> File:
    """Return safetensors whose header does not match its tensors."""
    header, body = _parted(whole_files()[chance.choice(("own", "timm"))][1])
    for _ in range(chance.randint(1, 3)):
        name = chance.choice([each for each in header if each != "__metadata__"])
        entry = header[name] if isinstance(header[name], dict) else {}
        field, value = chance.choice(
            (
                ("dtype", chance.choice(_KINDS)),
                ("shape", [chance.choice((*ODD_NUMBERS, 1 << 62, -1)) for _ in range(chance.randint(0, 5))]),
                ("data_offsets", sorted(chance.choice((*ODD_NUMBERS, len(body), 1 << 62)) for _ in range(2))),
                (chance.choice(("dtype", "shape", "data_offsets", "more")), odd_value(chance)),
            )
        )
        header[name] = {**entry, field: value}
        if chance.random() < 0.2:
            header[chance.choice(("__metadata__", name, "x" * 5000, ""))] = odd_value(chance)
    text = json.dumps(header).encode(errors="replace")
    claimed = len(text) if chance.random() < 0.9 else chance.choice((*ODD_NUMBERS, 1 << 62))
    return ".safetensors", struct.pack("<Q", claimed) + text + body, chance.choice((None, SMALL))


def _odd_config(chance: Random) -> File:
    """Return our safetensors format with changed values in the config."""
    config: Any = asdict(SMALL)
    for _ in range(chance.randint(1, 3)):
        name = chance.choice((*config, "more"))
        old = config.get(name)
        if isinstance(old, tuple) and chance.random() < 0.7:
            config[name] = [odd_value(chance) if chance.random() < 0.5 else each for each in old]
        else:
            config[name] = odd_value(chance)
    if chance.random() < 0.05:
        config = odd_value(chance)
    text = json.dumps(config) if chance.random() < 0.95 else "[" * chance.choice((5, 100_000))
    return ".safetensors", _own(text.encode(errors="replace").decode()), None


def _odd_tensors(chance: Random) -> File:
    """Return a checkpoint whose tensors partly have another shape, type or layout, or are missing."""
    config = INFERABLE if chance.random() < 0.1 else SMALL
    tensors: dict[Any, Any] = dict(named_as(chance.choice((Source.TIMM, Source.RELEASED, Source.TRANSREID)), config))
    inferred_from = [name for name in tensors if name.endswith(_INFERRED_FROM)]
    for _ in range(chance.randint(1, 3)):
        name = chance.choice(chance.choice((inferred_from, list(tensors))) or ["x"])
        tensor = tensors.get(name)
        if torch.is_tensor(tensor) and _changes(tensor):
            tensors[name] = chance.choice(_TENSORS)(chance, tensor)
        if chance.random() < 0.2:
            tensors.pop(name, None)
        if chance.random() < 0.2:
            more = chance.choice(("dist_token", "base.fc.weight", "b2.0.x", 7, None, "", "state_dict", "model", "x.y"))
            tensors[more] = chance.choice((torch.zeros(1, 1, 192), {}, tensors, 3, "text", [torch.zeros(2)]))
    data = _saved(tensors, older=chance.random() >= 0.7)
    return ".pth", data, SMALL if config is SMALL and chance.random() < 0.9 else None


def _reshaped(chance: Random, tensor: Tensor) -> Tensor:
    return torch.zeros([chance.choice((0, 1, 2, 3, 5, 192)) for _ in range(chance.randint(0, 5))], dtype=tensor.dtype)


def _repeated(chance: Random, tensor: Tensor) -> Tensor:
    """Return a tensor that stores one number but has many elements."""
    return torch.zeros(1).expand([chance.choice((1, 3, 1 << 10, 1 << 20)) for _ in range(chance.randint(1, 3))])


def _changes(tensor: Tensor) -> bool:
    """Return whether the tensor is small enough to be changed further."""
    return (
        tensor.numel() < 1 << 24
        and tensor.layout is torch.strided
        and tensor.device.type == "cpu"
        and not tensor.is_quantized
    )


def _quantized(chance: Random, tensor: Tensor) -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # The type is deprecated, but old files contain it.
        return torch.quantize_per_tensor(tensor.float(), 0.1, 0, torch.quint8)


_TYPES = (torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.bool, torch.complex64)
_TENSORS: tuple[Callable[[Random, Tensor], Any], ...] = (
    _reshaped,
    _reshaped,
    _repeated,
    lambda _, tensor: tensor[..., :1] if tensor.ndim else tensor,
    lambda _, tensor: tensor.T if tensor.ndim == 2 else tensor.unsqueeze(0),
    lambda chance, tensor: tensor.to(chance.choice(_TYPES)),
    lambda _, tensor: tensor.to_sparse(),
    lambda _, tensor: tensor.to("meta"),
    _quantized,
    lambda chance, tensor: tensor.float() * chance.choice((float("nan"), float("inf"), 1e38)),
    lambda _, tensor: torch.nn.Parameter(tensor.clone().float()),
    lambda chance, _: odd_value(chance),
)


def _odd_pickle(chance: Random) -> File:
    """Return a pickle made of random operations, alone or in torch's zip."""
    data = b"\x80\x02" + b"".join(_operation(chance) for _ in range(chance.choice((1, 3, 10, 30)))) + b"."
    if chance.random() < 0.5:
        data = _repacked({"archive/data.pkl": data, "archive/version": b"3\n", "archive/data/0": bytes(16)})
    return ".pth", data, SMALL


def _operation(chance: Random) -> bytes:
    call = chance.choice(_CALLS).rpartition(".")
    return chance.choice(
        (
            f"c{call[0]}\n{call[2]}\n".encode(),
            b"(",
            b")",
            b"}",
            b"]",
            b"t",
            b"l",
            b"d",
            b"R",
            b"b",
            b"\x81",
            b"Q",
            b"0",
            b"2",
            b"s",
            b"u",
            b"a",
            b"e",
            b"N",
            b"\x88",
            b"\x85",
            b"\x86",
            b"\x87",
            b"K\x07",
            b"q\x00",
            b"h\x00",
            b"h\x63",
            b"X" + struct.pack("<I", chance.choice((3, 1 << 31))) + b"abc",
            b"\x8a\xff" + bytes(20),
            b"\x8b" + struct.pack("<i", chance.choice((4, -1, (1 << 31) - 1))) + b"abcd",
            b"B\xff\xff\xff\x7f",
            b"(" * 50_000,
            b"]q\x01" + b"(h\x01h\x01tq\x01" * 40,
            b"]" * 20_000 + b"a" * 20_000,
            pickle.dumps(odd_value(chance), 2)[2:-1],
            b"cos\nsystem\nX\x04\x00\x00\x00true\x85R",
            chance.randbytes(3),
        )
    )


def _odd_zip(chance: Random) -> File:
    """Return torch's zip with one part that is damaged, swapped, removed, renamed, or expands to a far larger size."""
    with zipfile.ZipFile(io.BytesIO(whole_files()["released zip"][1])) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    name = chance.choice(list(parts))
    match chance.choice(("cut", "damage", "swap", "leave out", "bomb", "rename", "script")):
        case "cut":
            parts[name] = parts[name][: chance.randint(0, len(parts[name]))]
        case "damage":
            parts[name] = chance.choice(BLIND)(chance, parts[name])
        case "swap":
            other = chance.choice(list(parts))
            parts[name], parts[other] = parts[other], parts[name]
        case "leave out":
            del parts[name]
        case "bomb":
            parts[chance.choice((name, "archive/more"))] = bytes(chance.choice((1 << 20, 30 << 20)))
            return ".pth", _repacked(parts, zipfile.ZIP_DEFLATED), SMALL
        case "rename":
            parts[chance.choice(("../../evil", "/etc/x", "archive/" + "x" * 3000, "\u202e"))] = parts.pop(name)
        case "script":  # This file marks TorchScript.
            parts[name.split("/")[0] + "/constants.pkl"] = pickle.dumps(())
    return ".pth", _repacked(parts, chance.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))), SMALL


def _repacked(parts: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in parts.items():
            # With a plain name, zipfile would store the current time.
            archive.writestr(zipfile.ZipInfo(name), content, compression)
    return buffer.getvalue()

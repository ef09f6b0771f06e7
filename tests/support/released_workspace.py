"""A part of the demo in the layout and format of the data and weights that docs/tutorial.md uses."""

import shutil
from pathlib import Path

import torch
from torch import Tensor

from fpc_core.data.datasets import open_dataset
from fpc_core.model.checkpoint import load_checkpoint
from fpc_core.model.fpc import FPC
from fpc_core.workspace import DEMO_ROOT

QUERY = min(path.name for path in (DEMO_ROOT / "query").iterdir())
_RELEASED_PREFIXES = {  # Prefixes of tensor names in the released checkpoint, by our prefixes.
    "encoder.patch_embed": "base.patch_embed.proj",
    "encoder.position": "base.pos_embed",
    "encoder.camera": "base.sie_embed",
    "encoder.": "base.",
    "head.blocks.0": "b1.0",
    "head.norm": "b1.1",
    "decoder.block": "rec_b.0",
    "decoder.norm": "rec_b.1",
}


def released_names(model: FPC) -> dict[str, Tensor]:
    """Return a 12-block model's tensors under the names of the authors' released checkpoint."""
    weights = {}
    for name, tensor in model.state_dict().items():
        prefix = next((prefix for prefix in _RELEASED_PREFIXES if name.startswith(prefix)), "")
        weights[_RELEASED_PREFIXES.get(prefix, "") + name.removeprefix(prefix)] = tensor
    return weights


def build_released_world(data: Path, identities: int = 4) -> None:
    """Write dataset and weights to the paths of docs/tutorial.md.

    `data/Occluded_Duke` contains the demo's first people in three splits, and
    `data/weights/FPC_Occ_Duke_reconstruction.pth` the demo's weights.

    Args:
        data: Folder `data` of the tutorial.
        identities: Number of people.
    """
    demo = open_dataset(DEMO_ROOT)
    chosen = sorted({record.identity for record in demo.query})[:identities]
    home = data / "Occluded_Duke"
    splits = {"query": demo.query, "bounding_box_test": demo.gallery, "bounding_box_train": demo.gallery}
    for folder, records in splits.items():
        (home / folder).mkdir(parents=True)
        for record in records:
            if record.identity in chosen:
                shutil.copy(demo.root / record.path, home / folder)
    model, _ = load_checkpoint(DEMO_ROOT / "model.safetensors")
    (data / "weights").mkdir()
    torch.save(released_names(model), data / "weights" / "FPC_Occ_Duke_reconstruction.pth")

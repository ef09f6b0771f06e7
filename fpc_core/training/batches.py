"""What a training step sees: P identities x K images, decoded once, augmented on the fly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from fpc_core.config import ModelConfig
from fpc_core.data.datasets import Dataset, DatasetError
from fpc_core.data.ground_truth import PERSON, true_masks
from fpc_core.data.images import normalise, resize_image

_PAD = 10  # pixels, as in the paper


@dataclass(frozen=True, eq=False)
class TrainingImages:
    """The training split in memory. pixels: (n, 3, H, W) uint8; labels: (n,) 0-based classes; cameras: (n,)."""

    pixels: Tensor
    labels: Tensor
    cameras: Tensor

    @property
    def classes(self) -> int:
        """How many identities there are."""
        return int(self.labels.max()) + 1


def training_config(dataset: Dataset, config: ModelConfig) -> ModelConfig:
    """`config` with the identities and cameras of the training split."""
    cameras = 1 + max((record.camera for record in dataset.train), default=0)
    return replace(config, identities=len({record.identity for record in dataset.train}) or 1, cameras=cameras)


def load_training_images(dataset: Dataset, config: ModelConfig) -> TrainingImages:
    """Decode and resize the training split. Raises DatasetError where it cannot be trained on.

    All of it is held as bytes, by every process: 98 kB an image, 1.3 GB for the 12,936 of Market-1501. Decoding them
    again and again would cost the CPU more than a small model's step.
    """
    identities = sorted({record.identity for record in dataset.train})
    if len(identities) < 2:
        raise DatasetError(f"{dataset.root} has {len(identities)} training identities; training needs at least 2")
    label = {identity: place for place, identity in enumerate(identities)}
    height, width = config.image_size
    pixels = np.empty((len(dataset.train), height, width, 3), np.uint8)
    for place, record in enumerate(dataset.train):
        pixels[place] = resize_image(dataset.read(record), config.image_size)
    return TrainingImages(
        torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(),
        torch.tensor([label[record.identity] for record in dataset.train]),
        torch.tensor([record.camera for record in dataset.train]),
    )


def load_person_masks(dataset: Dataset, config: ModelConfig) -> Tensor:
    """Where the person of every training image is seen: (n, 1, H, W) uint8, 1 on the person, in the records' order.

    Raises DatasetError for a dataset without true masks (`fpc_core.data.ground_truth`).
    """
    masks = true_masks(dataset)
    missing = next((record.path for record in dataset.train if record.path not in masks), None)
    if missing is not None:
        raise DatasetError(f"{dataset.root} has no true mask of {missing}; train without guide, or on rendered data")
    seen = np.stack([masks[record.path] == PERSON for record in dataset.train])
    return functional.interpolate(torch.from_numpy(seen[:, None].astype(np.uint8)), config.image_size, mode="nearest")


def sample_identities(labels: Tensor, identities: int, images: int, generator: torch.Generator) -> Tensor:
    """Rows of one batch: `identities` classes drawn without repetition, `images` rows of each; (P * K,) int64.

    A class with fewer images repeats some.
    """
    classes = torch.unique(labels)
    drawn = classes[torch.randperm(len(classes), generator=generator)[:identities]]
    rows: list[Tensor] = []
    for each in drawn:
        own = torch.nonzero(labels == each).flatten()
        order = torch.randperm(len(own), generator=generator)
        rows.append(own[order.repeat(-(-images // len(own)))[:images]])
    return torch.cat(rows)


def augment(pixels: Tensor, config: ModelConfig, erase: float, seeds: Tensor) -> Tensor:
    """Flip, pad and crop, mild exposure, random erasing: (B, 3, H, W) uint8 -> float32, normalised.

    erase: probability of a random rectangle (2 to 40 % of the area) becoming noise (Zhong et al. 2020).
    seeds: (B,) int64; what happens to an image depends on its seed alone, whichever images or processes are beside it.
    """
    out = torch.empty(pixels.shape, dtype=torch.float32)
    for place, seed in enumerate(seeds.tolist()):
        change = _Change.drawn(seed, erase, *pixels.shape[2:])
        image = normalise(change.moved(pixels[place]), config) * change.gain
        image[:, *change.erased] = change.noise.clamp(-1, 1)
        out[place] = image
    return out


def augment_masks(masks: Tensor, erase: float, seeds: Tensor) -> Tensor:
    """What `augment` with the same arguments leaves to be seen of (B, 1, H, W) uint8 masks; of the same shape."""
    out = torch.empty_like(masks)
    for place, seed in enumerate(seeds.tolist()):
        change = _Change.drawn(seed, erase, *masks.shape[2:])
        out[place] = change.moved(masks[place])
        out[place, :, *change.erased] = 0
    return out


@dataclass(frozen=True, eq=False)
class _Change:
    """What happens to one image. y, x: corner of the crop in the padded image; erased: rows and columns, empty slices
    for none; noise: (3, h, w) of the erased rectangle."""

    y: int
    x: int
    flip: bool
    gain: float
    erased: tuple[slice, slice]
    noise: Tensor

    @classmethod
    def drawn(cls, seed: int, erase: float, height: int, width: int) -> _Change:
        generator = torch.Generator().manual_seed(seed)
        y, x = torch.randint(0, 2 * _PAD + 1, (2,), generator=generator).tolist()
        flip, hit, area, aspect, top, left, gain = torch.rand(7, generator=generator).tolist()
        h = w = 0
        if hit < erase:
            size, ratio = (0.02 + 0.38 * area) * height * width, 0.3 * (1 / 0.09) ** aspect
            h, w = min(int((size * ratio) ** 0.5), height - 1), min(int((size / ratio) ** 0.5), width - 1)
        first_row, first_column = int(top * (height - h)), int(left * (width - w))
        erased = slice(first_row, first_row + h), slice(first_column, first_column + w)
        return cls(y, x, flip < 0.5, 0.85 + 0.3 * gain, erased, torch.randn(3, h, w, generator=generator))

    def moved(self, image: Tensor) -> Tensor:
        """(..., H, W) -> the same shape, cropped from the image with a margin of zeros, and flipped."""
        height, width = image.shape[-2:]
        padded = functional.pad(image, (_PAD, _PAD, _PAD, _PAD))
        cropped = padded[..., self.y : self.y + height, self.x : self.x + width]
        return cropped.flip(-1) if self.flip else cropped


def choose_neighbors(
    cls: Tensor, labels: Tensor, cameras: Tensor, rows: Sequence[int] | Tensor, count: int, own_cls: Tensor
) -> Tensor:
    """The `count` nearest of the training memory by cosine (Eq. 4): (B, count) rows.

    cls: (n, C) memory; own_cls: (B, C) of the images at memory rows `rows`. The image itself and the same person under
    the same camera stay out, for at test time neither is in the gallery as a match.
    """
    rows = torch.as_tensor(rows)
    unit = functional.normalize
    similarity = unit(own_cls.float(), dim=1) @ unit(cls.float(), dim=1).T
    copies = (labels[rows][:, None] == labels[None]) & (cameras[rows][:, None] == cameras[None])
    copies[torch.arange(len(rows)), rows] = True
    available = int((~copies).sum(dim=1).min())
    if available < count:
        raise ValueError(f"only {available} neighbours are available for some image; lower K = {count}")
    return similarity.masked_fill(copies, -torch.inf).topk(count, dim=1).indices

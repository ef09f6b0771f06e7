"""Batches of training images: P identities with K images each, which are decoded once and augmented at every step."""

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

_PAD = 10  # Padding in pixels, as in the paper.


@dataclass(frozen=True, eq=False)
class TrainingImages:
    """The images of the training split in RAM.

    Attributes:
        pixels: (n, 3, H, W) uint8 images.
        labels: (n,) 0-based classes (identities) of the images.
        cameras: (n,) 0-based cameras of the images.
    """

    pixels: Tensor
    labels: Tensor
    cameras: Tensor

    @property
    def classes(self) -> int:
        """Number of training identities."""
        return int(self.labels.max()) + 1


def training_config(dataset: Dataset, config: ModelConfig) -> ModelConfig:
    """Return `config` with the numbers of identities and cameras of the training split.

    Args:
        dataset: Dataset to train on.
        config: Architecture of the model.
    """
    cameras = 1 + max((record.camera for record in dataset.train), default=0)
    return replace(config, identities=len({record.identity for record in dataset.train}) or 1, cameras=cameras)


def load_training_images(dataset: Dataset, config: ModelConfig) -> TrainingImages:
    """Decode and resize the training split.

    Every process stores all images uncompressed: 98 kB per image, 1.3 GB for the 12,936 images of Market-1501. Decoding
    images at every step would take longer than a training step of a small model.

    Args:
        dataset: Dataset to train on.
        config: Architecture of the model.

    Raises:
        DatasetError: There are fewer than two training identities.
        ImageError: An image cannot be decoded.
    """
    identities = sorted({record.identity for record in dataset.train})
    if len(identities) < 2:
        raise DatasetError(f"{dataset.root} has {len(identities)} training identities; training needs at least 2")
    label = {identity: index for index, identity in enumerate(identities)}
    height, width = config.image_size
    pixels = np.empty((len(dataset.train), height, width, 3), np.uint8)
    for index, record in enumerate(dataset.train):
        pixels[index] = resize_image(dataset.read(record), config.image_size)
    return TrainingImages(
        torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(),
        torch.tensor([label[record.identity] for record in dataset.train]),
        torch.tensor([record.camera for record in dataset.train]),
    )


def load_person_masks(dataset: Dataset, config: ModelConfig) -> Tensor:
    """Return masks of the visible person in every training image, (n, 1, H, W) uint8, 1 on the person.

    Args:
        dataset: Dataset to train on; the masks are in the order of its training records.
        config: Architecture of the model.

    Raises:
        DatasetError: An image has no ground-truth mask (`fpc_core.data.ground_truth`).
    """
    masks = true_masks(dataset)
    missing = next((record.path for record in dataset.train if record.path not in masks), None)
    if missing is not None:
        raise DatasetError(
            f"{dataset.root} has no ground-truth mask of {missing}; train without --guide, or on rendered data"
        )
    visible = np.stack([masks[record.path] == PERSON for record in dataset.train])
    return functional.interpolate(
        torch.from_numpy(visible[:, None].astype(np.uint8)), config.image_size, mode="nearest"
    )


def sample_identities(
    labels: Tensor, identities: int, images: int, generator: torch.Generator, similar: Tensor | None = None
) -> Tensor:
    """Sample the rows of one batch: P classes without repetition, and K images of each class.

    Args:
        labels: (n,) classes of the images.
        identities: Number of classes (P).
        images: Number of images of each class (K); images are repeated in a class that has fewer.
        generator: Generator of random numbers.
        similar: (classes, S) classes that follow each sampled class into the batch, from `most_similar_classes`; None
            to sample all classes independently.

    Returns:
        (P * K,) int64 rows of images.
    """
    classes = torch.unique(labels)
    order = classes[torch.randperm(len(classes), generator=generator)].tolist()
    if similar is not None:
        order = [each for sampled in order for each in (sampled, *similar[sampled].tolist())]
    rows: list[Tensor] = []
    for each in list(dict.fromkeys(order))[:identities]:
        own_rows = torch.nonzero(labels == each).flatten()
        shuffled = torch.randperm(len(own_rows), generator=generator)
        rows.append(own_rows[shuffled.repeat(-(-images // len(own_rows)))[:images]])
    return torch.cat(rows)


def most_similar_classes(weight: Tensor, count: int) -> Tensor:
    """Return the most similar other classes of each class, by the cosine of their classifier weights.

    Args:
        weight: (classes, C) weights of the classifier.
        count: Number of classes to return (S); at most the number of other classes.

    Returns:
        (classes, min(S, classes - 1)) int64 classes on the CPU, most similar first.
    """
    unit = functional.normalize(weight.detach().float().cpu(), dim=1)
    return (unit @ unit.T).fill_diagonal_(-torch.inf).topk(min(count, len(unit) - 1), dim=1).indices


def augment(pixels: Tensor, config: ModelConfig, erase: float, seeds: Tensor) -> Tensor:
    """Augment images by flipping, padding and cropping, small changes of exposure, and random erasing.

    Args:
        pixels: (B, 3, H, W) uint8 images.
        config: Architecture of the model.
        erase: Probability that a random rectangle (2 to 40 % of the area) becomes noise (Zhong et al. 2020).
        seeds: (B,) int64 seeds; the augmentation of an image depends on its seed only.

    Returns:
        (B, 3, H, W) normalised float32 images.
    """
    out = torch.empty(pixels.shape, dtype=torch.float32)
    for index, seed in enumerate(seeds.tolist()):
        augmentation = _Augmentation.sample(seed, erase, *pixels.shape[2:])
        image = normalise(augmentation.crop_and_flip(pixels[index]), config) * augmentation.gain
        image[:, *augmentation.erased] = augmentation.noise.clamp(-1, 1)
        out[index] = image
    return out


def augment_masks(masks: Tensor, erase: float, seeds: Tensor) -> Tensor:
    """Augment masks like the images that `augment` returns for the same seeds; erased pixels become 0.

    Args:
        masks: (B, 1, H, W) uint8 masks.
        erase: Probability that a random rectangle is erased.
        seeds: (B,) int64 seeds of the images.

    Returns:
        (B, 1, H, W) uint8 masks.
    """
    out = torch.empty_like(masks)
    for index, seed in enumerate(seeds.tolist()):
        augmentation = _Augmentation.sample(seed, erase, *masks.shape[2:])
        out[index] = augmentation.crop_and_flip(masks[index])
        out[index, :, *augmentation.erased] = 0
    return out


@dataclass(frozen=True, eq=False)
class _Augmentation:
    """Parameters of the augmentation of one image.

    Attributes:
        y: Top row of the crop in the padded image.
        x: Left column of the crop in the padded image.
        flip: Whether to mirror the image.
        gain: Factor by which normalised pixels are multiplied.
        erased: Rows and columns to erase; the slices are empty if nothing is erased.
        noise: (3, h, w) noise for the erased rectangle.
    """

    y: int
    x: int
    flip: bool
    gain: float
    erased: tuple[slice, slice]
    noise: Tensor

    @classmethod
    def sample(cls, seed: int, erase: float, height: int, width: int) -> _Augmentation:
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

    def crop_and_flip(self, image: Tensor) -> Tensor:
        """Pad an image (..., H, W) with zeros, crop it to its original size, and flip it."""
        height, width = image.shape[-2:]
        padded = functional.pad(image, (_PAD, _PAD, _PAD, _PAD))
        cropped = padded[..., self.y : self.y + height, self.x : self.x + width]
        return cropped.flip(-1) if self.flip else cropped


def choose_neighbors(
    cls: Tensor, labels: Tensor, cameras: Tensor, rows: Sequence[int] | Tensor, count: int, own_cls: Tensor
) -> Tensor:
    """Return the nearest images in the training memory by cosine (Eq. 4).

    The image itself and images of the same person by the same camera are excluded, because they are not true matches at
    test time.

    Args:
        cls: (n, C) `[cls]` tokens of the training memory.
        labels: (n,) classes of its images.
        cameras: (n,) cameras of its images.
        rows: (B,) rows of the images in the batch.
        count: Number of neighbours (K).
        own_cls: (B, C) `[cls]` tokens of the batch.

    Returns:
        (B, K) rows of the neighbours.

    Raises:
        ValueError: An image has fewer than K possible neighbours.
    """
    rows = torch.as_tensor(rows)
    unit = functional.normalize
    similarity = unit(own_cls.float(), dim=1) @ unit(cls.float(), dim=1).T
    excluded = (labels[rows][:, None] == labels[None]) & (cameras[rows][:, None] == cameras[None])
    excluded[torch.arange(len(rows)), rows] = True
    available = int((~excluded).sum(dim=1).min())
    if available < count:
        raise ValueError(f"an image has only {available} possible neighbours, fewer than K = {count}; lower K")
    return similarity.masked_fill(excluded, -torch.inf).topk(count, dim=1).indices

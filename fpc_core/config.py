"""Frozen settings of the model, a search and its heat maps, with their defaults.

Settings are plain values: equal settings give the same result, so they serve as cache keys and are written to recipes
and fingerprints (`fpc_core.io.dataclass_json.to_plain`, `ModelConfig.as_dict`).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any

from fpc_core.bounds import MAX_PATCHES, OMITTED, Range, bounded, check_bounds, format_value, limited, patch_sets

MAX_ITERATIONS = 50_000  # Maximum number of Sinkhorn iterations, which the solver itself enforces.
MAX_SHORTLIST = 1_000  # Maximum size of a shortlist; the ground costs of so many candidates use 250 MB.
MAX_BLOCKS = 64  # Maximum number of dropping blocks; their indices are smaller than this.
MAX_SEED = 2**63 - 1
MAX_ROW = 2**31 - 1  # Largest row of a gallery memory, and largest training identity.
MAX_SIDE = 4096  # Maximum height and width of a model's input in pixels; no model is trained on larger images.


class DropStrategy(StrEnum):
    """Which patches a dropping block discards: by attention or at random (Table 5 of the paper), or given ones."""

    NON_SALIENT = "non_salient"  # Discards the patches with the least [cls] attention, as the paper proposes.
    RANDOM = "random"
    SALIENT = "salient"  # Discards the patches with the most [cls] attention.
    GIVEN = "given"  # Discards the patches in `PruneSettings.given`, whatever their attention.


MODEL_STRATEGIES = (DropStrategy.NON_SALIENT, DropStrategy.RANDOM, DropStrategy.SALIENT)
"""Strategies of Table 5, which choose the dropped patches by attention or at random."""


class Variant(StrEnum):
    """Which implementation of matching and consolidation to follow where the paper and the released code differ."""

    PAPER = "paper"
    RELEASED = "released"


class Solver(StrEnum):
    """How the transport problem of Eq. 5 is solved."""

    SINKHORN = "sinkhorn"  # Stabilised Sinkhorn, which stops for each candidate on the L1 error of its marginals.
    EXACT = "exact"  # Exact solution of the linear programme, computed by POT.
    RELEASED = "released"  # The released code's own loop, for comparison with its results.


class Precision(StrEnum):
    """Precision of the encoder's matrix products; block outputs, decoder, transport and features are always float32.

    The two half precisions are meant for the tensor cores of CUDA devices. `fpc_core.evaluation.device_parity.BOUNDS`
    limits how far each may differ from float32 on the CPU, and `python -m fpc_core doctor` checks a device against it.
    """

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"  # Has the range of float32 and 8 bits of precision.
    FLOAT16 = "float16"  # Has 11 bits of precision; the encoder raises an error if tokens exceed its range.


class MapMethod(StrEnum):
    """How a heat map attributes a target to the patch tokens; see `fpc_core.explain.heatmap_methods`."""

    GRAD_CAM = "grad_cam"
    GRAD_CAM_PLUS_PLUS = "grad_cam_plus_plus"
    HIRES_CAM = "hires_cam"
    LAYER_CAM = "layer_cam"
    EIGEN_CAM = "eigen_cam"
    ATTENTION = "attention"
    VALUE_NORM = "value_norm"
    LEFT_OUT = "left_out"


class MapTarget(StrEnum):
    """What a heat map of the decoder explains."""

    SIMILARITY = "similarity"  # Cosine between the consolidated feature and the feature of a gallery image.
    IDENTITY = "identity"  # Logit of a training identity in `rec_classifier`.


class Activation(StrEnum):
    """Activation between the two layers of an MLP."""

    GELU = "gelu"  # The exact GELU of ViT.
    QUICK_GELU = "quick_gelu"  # x * sigmoid(1.702 x), as in CLIP.


STEM_CHANNELS = 64  # Channels of the convolutions in a stem.


class Stem(StrEnum):
    """Layers between the image and the convolution that embeds patches."""

    NONE = "none"
    ICS = "ics"  # Three convolutions with instance and batch normalisation, as in TransReID-SSL.


@dataclass(frozen=True)
class VitOptions:
    """How the Vision Transformer of another family differs from that of TransReID, whose options are the defaults.

    Attributes:
        extra_tokens: Number of tokens between `[cls]` and the patches (registers, a distillation token, part tokens).
            They are never dropped.
        activation: Activation of the MLPs.
        norm_eps: Epsilon of the layer norms.
        norm_before_blocks: Whether the tokens are normalised before the first block.
        stem: Layers before the patch embedding. A stem halves the image, so that patch size and stride must be even.
        camera_on_cls: Whether the camera embedding is added to `[cls]` alone instead of to every token.
    """

    extra_tokens: int = 0
    activation: Activation = Activation.GELU
    norm_eps: float = 1e-6
    norm_before_blocks: bool = False
    stem: Stem = Stem.NONE
    camera_on_cls: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.extra_tokens <= 64:
            raise ValueError(f"extra_tokens must be in 0..64, got {self.extra_tokens}")
        if not 0 < self.norm_eps <= 1e-2:
            raise ValueError(f"norm_eps must be in (0, 0.01], got {self.norm_eps}")


@dataclass(frozen=True)
class ModelConfig:
    """Architecture of one FPC model; a checkpoint must match it.

    The encoder output used for matching and the gallery memory is taken after `token_blocks` blocks (11 of 12 in the
    released code). The remaining blocks and the final norm form the global head.
    """

    image_size: tuple[int, int] = (256, 128)  # Height and width in pixels.
    patch_size: int = 16
    stride: int = 11
    width: int = 768
    depth: int = 12
    heads: int = 12
    mlp_ratio: float = 4.0  # Width of the hidden layer of an MLP, as a multiple of `width`.
    token_blocks: int = 11
    cameras: int = 8  # Number of camera embeddings (SIE); 0 for a model without them.
    camera_factor: float = 3.0  # Factor of the camera embedding that is added to the tokens.
    identities: int = 702  # Number of training identities, which the classifiers distinguish.
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)  # Normalisation of RGB pixels in [0, 1], as `std`.
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    vit: VitOptions = VitOptions()

    def __post_init__(self) -> None:
        for name in ("patch_size", "stride", "width", "depth", "heads", "identities"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.cameras < 0:
            raise ValueError(f"cameras must not be negative, got {self.cameras}")
        if not all(map(math.isfinite, (self.mlp_ratio, self.camera_factor, *self.mean, *self.std))):
            raise ValueError(
                "mlp_ratio, camera_factor, mean and std must be finite, got "
                f"{self.mlp_ratio}, {self.camera_factor}, {self.mean} and {self.std}"
            )
        if self.mlp_ratio <= 0 or min(self.std) <= 0:
            raise ValueError(f"mlp_ratio and std must be positive, got {self.mlp_ratio} and {self.std}")
        height, width = self.image_size
        if max(height, width) > MAX_SIDE:
            raise ValueError(f"image_size {self.image_size} has more than {MAX_SIDE} pixels on a side")
        if min(height, width) < self.patch_size:
            raise ValueError(f"image_size {self.image_size} is smaller than one patch of {self.patch_size} pixels")
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        if not 1 <= self.token_blocks <= self.depth:
            raise ValueError(f"token_blocks must be in 1..{self.depth}, got {self.token_blocks}")
        if self.vit.stem is not Stem.NONE and (self.patch_size % 2 or self.stride % 2):
            raise ValueError(
                f"patch_size and stride must be even for a convolutional stem, got {self.patch_size} and {self.stride}"
            )

    def as_dict(self) -> dict[str, Any]:
        """Return the fields by name, without `vit` if it has the defaults.

        Files of earlier versions have no `vit`, and fingerprints of their gallery memories must stay valid.
        """
        content = asdict(self)
        if self.vit == VitOptions():
            del content["vit"]
        return content

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the patch grid; 22 x 11 for images of 256 x 128 at stride 11."""
        height, width = self.image_size
        return (height - self.patch_size) // self.stride + 1, (width - self.patch_size) // self.stride + 1

    @property
    def patches(self) -> int:
        """Number of patches in the full grid (N)."""
        rows, columns = self.grid
        return rows * columns


@dataclass(frozen=True)
class PruneSettings:
    """Settings of token sparsification (Sec. 3.1): which patches are dropped, how many and in which blocks.

    Attributes:
        keep_rate: Share of the patches that a dropping block keeps, gamma in the paper. GIVEN ignores it.
        strategy: Which patches a dropping block discards.
        blocks: 0-based indices of the dropping blocks, which drop patches after their attention and before their MLP.
        seed: Seed of RANDOM.
        given: For GIVEN, the grid positions of the patches that each dropping block discards, ascending. No patch is
            listed twice, because a dropped patch stays dropped.
        base: For GIVEN, the strategy that GIVEN replaced. It sets the order of the kept tokens, so that giving exactly
            the patches that `base` would discard yields the same result, bit for bit.
    """

    keep_rate: float = bounded(0.8, 0.0, 1.0, above=True, label="keep rate")
    strategy: DropStrategy = DropStrategy.NON_SALIENT
    blocks: tuple[int, ...] = limited(MAX_BLOCKS, default=(3, 6, 9))
    seed: int = bounded(0, 0, MAX_SEED)
    given: tuple[tuple[int, ...], ...] = patch_sets(MAX_BLOCKS)
    base: DropStrategy = field(default=DropStrategy.NON_SALIENT, metadata=OMITTED)

    def __post_init__(self) -> None:
        check_bounds(self)
        indices = Range(0, MAX_BLOCKS - 1, whole=True)
        if not isinstance(self.blocks, tuple) or not all(block in indices for block in self.blocks[: MAX_BLOCKS + 1]):
            raise ValueError(f"dropping blocks must be increasing block indices in {indices}")
        if not self.blocks or len(self.blocks) > MAX_BLOCKS or list(self.blocks) != sorted(set(self.blocks)):
            raise ValueError(f"dropping blocks must be increasing block indices, got {self.blocks[:MAX_BLOCKS]}")
        if self.base is DropStrategy.GIVEN:
            raise ValueError(f"base must be one of {', '.join(MODEL_STRATEGIES)}, got {self.base}")
        if self.strategy is DropStrategy.GIVEN:
            self._check_given()
        elif self.given:
            raise ValueError(f"given lists patches, but the strategy is {self.strategy}; set the strategy to given")

    def _check_given(self) -> None:
        """Check the given patches as far as that is possible without the size of the grid."""
        if not isinstance(self.given, tuple) or len(self.given) != len(self.blocks):
            raise ValueError(
                f"given must list the patches to drop in each of the {len(self.blocks)} dropping blocks "
                f"{self.blocks}; use () for a block that drops none"
            )
        positions, blocks_of = Range(0, MAX_PATCHES - 1, whole=True), dict[int, int]()
        for block, patches in zip(self.blocks, self.given, strict=True):
            if not isinstance(patches, tuple):
                raise ValueError(f"the patches given for block {block} must be a tuple of positions")
            for patch in patches[: MAX_PATCHES + 1]:
                if patch not in positions:
                    got = format_value(patch)
                    raise ValueError(f"patches given for block {block} must be positions in {positions}, got {got}")
                if patch in blocks_of:
                    raise ValueError(f"patch {patch} is dropped twice, in blocks {blocks_of[patch]} and {block}")
                blocks_of[patch] = block
            if list(patches) != sorted(patches):
                raise ValueError(f"the patches given for block {block} must be in ascending order")

    def check_grid(self, patches: int) -> None:
        """Check that all given patches are in a grid of `patches` patches, and that at least one patch is left.

        Raises:
            ValueError: A given patch is outside the grid, or no patch would be left.
        """
        dropped = [patch for block in self.given for patch in block]
        if dropped and max(dropped) >= patches:
            raise ValueError(f"patch {max(dropped)} is not in the grid, whose patches are 0..{patches - 1}")
        if len(dropped) >= patches:
            raise ValueError(f"all {patches} patches are dropped; keep at least one")

    def with_given(self, given: tuple[tuple[int, ...], ...]) -> PruneSettings:
        """Return settings that drop the patches in `given` instead of those that the model would choose."""
        base = self.base if self.strategy is DropStrategy.GIVEN else self.strategy
        return replace(self, strategy=DropStrategy.GIVEN, given=given, base=base)

    @property
    def of_model(self) -> PruneSettings:
        """The same settings with `base` as the strategy if it is GIVEN, so that the model chooses the patches."""
        if self.strategy is not DropStrategy.GIVEN:
            return self
        return replace(self, strategy=self.base, given=(), base=DropStrategy.NON_SALIENT)

    @property
    def drops_nothing(self) -> bool:
        """Whether no block drops a patch or changes the order of the tokens."""
        return not any(self.given) if self.strategy is DropStrategy.GIVEN else self.keep_rate == 1.0

    def kept(self, patches: int) -> int:
        """Return how many of `patches` patches remain after a dropping block, if the strategy is not GIVEN.

        This is ceil(gamma n), computed in floating point as in the released code.
        """
        return math.ceil(self.keep_rate * patches)

    def remaining(self, patches: int) -> tuple[int, ...]:
        """Return how many of `patches` patches remain after each dropping block."""
        counts = []
        for index in range(len(self.blocks)):
            is_given = self.strategy is DropStrategy.GIVEN
            patches = patches - len(self.given[index]) if is_given else self.kept(patches)
            counts.append(patches)
        return tuple(counts)


@dataclass(frozen=True)
class TransportSettings:
    """Settings of the solver of the transport problem (Eq. 5).

    Attributes:
        solver: The algorithm to use.
        epsilon: Weight of the entropy term.
        tolerance: The solver stops when the L1 error of the marginals, which sum to 1, is at most this value.
        max_iterations: Maximum number of iterations, even if the tolerance is not reached.
    """

    solver: Solver = Solver.SINKHORN
    epsilon: float = bounded(0.05, 1e-4, 100.0)
    tolerance: float = bounded(1e-3, 1e-12, 2.0)
    max_iterations: int = bounded(1000, 1, MAX_ITERATIONS)

    def __post_init__(self) -> None:
        check_bounds(self)


@dataclass(frozen=True)
class QuerySettings:
    """Everything a search depends on besides the query image, the weights and the gallery memory.

    Attributes:
        prune: Which patches the encoder drops.
        transport: How the transport problem is solved.
        variant: Implementation to follow where the paper and the released code differ.
        alpha: Weight of D_EMD in D (Eq. 10).
        neighbors: Number of nearest gallery images that the decoder reads, K in the paper.
        shortlist: Number of gallery images, nearest by D_cos, that are ranked by D.
    """

    prune: PruneSettings = field(default_factory=PruneSettings)
    transport: TransportSettings = field(default_factory=TransportSettings)
    variant: Variant = Variant.RELEASED
    alpha: float = bounded(0.4, 0.0, 1.0)
    neighbors: int = bounded(10, 1, MAX_SHORTLIST, label="K")
    shortlist: int = bounded(100, 1, MAX_SHORTLIST)

    def __post_init__(self) -> None:
        check_bounds(self)
        if self.neighbors > self.shortlist:
            raise ValueError(f"K must be in 1..{self.shortlist} (the shortlist), got {self.neighbors}")

    def with_keep_rate(self, keep_rate: float) -> QuerySettings:
        """Return the same settings at another keep rate."""
        return replace(self, prune=replace(self.prune, keep_rate=keep_rate))


@dataclass(frozen=True)
class MapSettings:
    """Settings of a heat map over patch tokens.

    Attributes:
        method: How the target is attributed to the patches.
        target: What the map explains.
        index: For SIMILARITY a row of the gallery memory, or None for the image that the consolidated feature ranks
            first. For IDENTITY a training identity, or None for the one with the largest logit.
        relative: Whether values are relative to the mean patch. The attention that mixes the tokens sums to 1, so a
            value common to all patches carries no information, but would otherwise tint the whole map.
    """

    method: MapMethod = MapMethod.GRAD_CAM
    target: MapTarget = MapTarget.SIMILARITY
    index: int | None = None
    relative: bool = False

    def __post_init__(self) -> None:
        rows = Range(0, MAX_ROW, whole=True)
        if self.index is not None and self.index not in rows:
            raise ValueError(f"index must be a whole number in {rows} or none, got {format_value(self.index)}")

    def of_encoder(self, row: int) -> MapSettings:
        """Return settings with the same method for the encoder's map of the similarity to a gallery row."""
        return MapSettings(self.method, index=row, relative=self.relative)

    @property
    def explains_gallery_image(self) -> bool:
        """Whether the map explains the similarity to one given gallery image."""
        return self.target is MapTarget.SIMILARITY and self.index is not None


VIT_BASE_STRIDE_11 = ModelConfig()
VIT_BASE_STRIDE_16 = ModelConfig(stride=16)
VIT_SMALL = ModelConfig(stride=16, width=384, heads=6)
VIT_TINY = ModelConfig(stride=16, width=192, heads=3)

KEEP_RATES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)  # The keep rates of Table 3.
ALPHAS = tuple(round(0.1 * step, 1) for step in range(11))  # The values of alpha in Fig. 4a.

"""CLIP-ReID, TransReID-SSL and PASS compute what their public code computes at keep rate 1.

Expected values in tests/golden/families were computed once by the public code in eval mode, in float32 on a CPU, with
the weights and images of `family_weights`, loaded with `load_state_dict(strict=True)`:

- clip_reid.npz: github.com/Syliz517/CLIP-ReID, commit eb1898b72c882875f478bebfc6d41644eece0a5d,
  `VisionTransformer(4, 2, 16, 16, 32, 12, 4, 24)` of model/clip/model.py, called with `images` and
  `1.0 * cv_embed[[2, 0]]`; "tokens" is its first output, and "cls" is row 0 of its second output.
- transreid_ssl.npz: github.com/damo-cv/TransReID-SSL, commit fc39e88240aa7cb7b28dd2097e7f161ae2be3ad8,
  `TransReID(img_size=(64, 32), embed_dim=32, depth=4, num_heads=4, mlp_ratio=2, qkv_bias=True, num_classes=0, camera=3,
  sie_xishu=3.0, stem_conv=True)` of transreid_pytorch/model/backbones/vit_pytorch.py, called with `images` and cameras
  [2, 0]; "tokens" is its output with `local_feature=True`, and "cls" is its output without.
- pass.npz and pass_ics.npz: github.com/CASIA-IVA-Lab/PASS-reID, commit 5b84b4225594e0aac64c334fd322e798ff1ffabe, the
  same class of PASS_transreid/model/backbones/vit_pytorch.py without cameras, called in the same way; pass.npz without
  the stem.
"""

from copy import deepcopy

import fpc_core  # noqa: F401  isort: skip  before timm
import pytest
import torch
from torch import Tensor

from fpc_core.config import Activation, PruneSettings, Stem, VitOptions
from fpc_core.model.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from fpc_core.model.families import Source
from fpc_core.model.stem import IcsStem
from tests.support.family_checks import SIZE, assert_parity, expected_values, load, with_prefix
from tests.support.family_weights import (
    HEADS,
    WIDTH,
    clip_reid_shapes,
    neck_shapes,
    random_images,
    random_tensors,
    transreid_shapes,
)

CAMERAS = torch.tensor([2, 0])


def clip_reid() -> dict[str, Tensor]:
    return random_tensors(clip_reid_shapes())


@pytest.mark.parametrize("prefix", ["", "module.", "model."])
def test_clip_reid_computes_the_same_as_its_code(tmp_path, prefix):
    text = {"prompt_learner.cls_ctx": torch.zeros(7, 4, 8), "text_encoder.ln_final.weight": torch.ones(8)}
    model, report = load(with_prefix(prefix, clip_reid() | text), tmp_path)
    assert report.source is Source.CLIP_REID
    assert_parity(model, random_images(SIZE), *expected_values("clip_reid"), cameras=CAMERAS)
    assert report.config.vit == VitOptions(
        activation=Activation.QUICK_GELU, norm_eps=1e-5, norm_before_blocks=True, camera_on_cls=True
    )
    assert (report.config.cameras, report.config.camera_factor, report.config.identities) == (3, 1.0, 7)


def test_the_report_states_what_clip_reid_has_and_fpc_lacks(tmp_path):
    model, report = load(clip_reid(), tmp_path)
    assert torch.equal(model.bottleneck.weight, clip_reid()["bottleneck.weight"])
    assert "bottleneck_proj: 5 keys" in report.ignored
    assert "image_encoder: 1 key" in report.ignored  # The projection is not used.
    assert any(text.startswith("quick GELU and an epsilon of 1e-05") for text in report.assumed)
    assert any("projection to the space of texts is not used" in text for text in report.assumed)
    assert any("multiplied by 1 (SIE_COE)" in text for text in report.assumed)
    assert "the decoder is a copy of the last block" in report.notes[0]
    assert report.loaded == len(clip_reid()) - 7


def test_clip_reid_without_cameras_and_heads_is_read(tmp_path):
    weights = {name: each for name, each in clip_reid().items() if name.startswith("image_encoder.")}
    model, report = load(weights, tmp_path)
    assert report.config.cameras == 0
    assert "bottleneck" in report.fresh
    assert not any("SIE_COE" in text for text in report.assumed)
    with torch.inference_mode():
        assert model.encode(random_images(SIZE), None, PruneSettings(0.5)).tokens.shape == (2, 2, WIDTH)


def test_the_mean_camera_of_clip_reid_is_added_only_to_cls(tmp_path):
    model, report = load(clip_reid(), tmp_path)
    mean, _ = load_checkpoint(report.path, image_size=SIZE, stride=16, heads=HEADS, mean_camera=True)
    images, prune = random_images(SIZE), PruneSettings(1.0)
    with torch.inference_mode():
        expected = model.encode(images, None, prune).tokens
        torch.testing.assert_close(mean.encode(images, None, prune).tokens, expected, atol=1e-4, rtol=0)


def test_clip_reid_survives_saving(tmp_path):
    model, _ = load(clip_reid(), tmp_path)
    save_checkpoint(model, tmp_path / "own.safetensors")
    own, _ = load_checkpoint(tmp_path / "own.safetensors")
    assert own.config == model.config
    assert_parity(own, random_images(SIZE), *expected_values("clip_reid"), cameras=CAMERAS)


@pytest.mark.parametrize("name", ["cv_embed", "image_encoder.class_embedding", "image_encoder.positional_embedding"])
def test_embeddings_of_clip_reid_with_other_dimensions_are_named(tmp_path, name):
    with pytest.raises(CheckpointError, match=rf"{name} must have \d dimensions, got"):
        load(clip_reid() | {name: torch.zeros(2, 3, 4)}, tmp_path)


def fine_tuned(encoder: dict[str, Tensor], neck: int = WIDTH, classifier: int = WIDTH) -> dict[str, Tensor]:
    """Add the heads that ReID training code adds to an encoder.

    Args:
        encoder: Tensors of the encoder.
        neck: The number of channels of the BNNeck.
        classifier: The number of input channels of the classifier.
    """
    heads = random_tensors({**neck_shapes(neck), "classifier.weight": (7, classifier)})
    return with_prefix("base.", encoder) | heads


def ssl(cameras: int = 3) -> dict[str, Tensor]:
    return random_tensors(transreid_shapes(stem=True, cameras=cameras))


def parts(*, stem: bool = False) -> dict[str, Tensor]:
    return random_tensors(transreid_shapes(stem=stem, parts=3))


def test_transreid_ssl_computes_the_same_as_its_code(tmp_path):
    model, report = load(fine_tuned(ssl()), tmp_path)
    assert report.source is Source.TRANSREID_SSL
    assert_parity(model, random_images(SIZE), *expected_values("transreid_ssl"), cameras=CAMERAS)
    assert (report.config.vit, report.config.patch_size) == (VitOptions(stem=Stem.ICS), 16)
    assert report.loaded == len(ssl()) + 6
    assert report.config.mean == (0.5, 0.5, 0.5)
    assert any("GEM_POOLING off" in text for text in report.assumed)


def test_pretrained_transreid_ssl_has_no_heads(tmp_path):
    teacher = with_prefix("backbone.", ssl(0)) | {"head.mlp.0.weight": torch.zeros(8, WIDTH)}
    _, report = load({"student": {}, "teacher": teacher}, tmp_path)
    assert report.source is Source.TRANSREID_SSL
    assert report.config.mean == (0.485, 0.456, 0.406)
    assert report.fresh == "bottleneck: 5 keys, rec_bottleneck: 5 keys, classifier: 1 key, rec_classifier: 1 key"


def test_the_stem_survives_saving(tmp_path):
    model, _ = load(fine_tuned(ssl()), tmp_path)
    save_checkpoint(model, tmp_path / "own.safetensors")
    own, _ = load_checkpoint(tmp_path / "own.safetensors")
    assert own.config == model.config
    assert_parity(own, random_images(SIZE), *expected_values("transreid_ssl"), cameras=CAMERAS)


def test_the_stem_of_other_devices_is_the_convolution():
    """Devices other than the CPU compute the stem as a matrix product; the meta device checks its shape only."""
    stem, images = IcsStem().eval(), random_images((64, 48))
    with torch.no_grad():
        assert deepcopy(stem).to("meta")(images.to("meta")).shape == stem(images).shape == (2, 64, 32, 24)
        for conv, pixels in ((stem[0], images), (stem[3], stem[0](images))):
            unfolded = torch.nn.functional.unfold(pixels, conv.kernel_size, padding=conv.padding, stride=conv.stride)
            product = (conv.weight.flatten(1) @ unfolded).unflatten(2, (32, 24))
            torch.testing.assert_close(product, conv(pixels), atol=1e-4, rtol=0)


def test_a_stem_refuses_an_odd_stride(tmp_path):
    torch.save(ssl(0), tmp_path / "weights.pth")
    with pytest.raises(CheckpointError, match="patch_size and stride must be even for a convolutional stem, got 16"):
        load_checkpoint(tmp_path / "weights.pth", image_size=(64, 32), stride=15, heads=HEADS)


@pytest.mark.parametrize("stem", [False, True], ids=["pass", "pass_ics"])
@pytest.mark.parametrize("tuned", [False, True], ids=["pre-trained", "fine-tuned"])
def test_pass_computes_the_same_as_its_code(tmp_path, stem, tuned):
    weights = fine_tuned(parts(stem=stem)) if tuned else parts(stem=stem)
    model, report = load(weights, tmp_path)
    assert (report.source, report.config.vit.extra_tokens) == (Source.PASS, 3)
    assert_parity(model, random_images(SIZE), *expected_values("pass_ics" if stem else "pass"))
    assert any("3 part tokens beside [cls] that are never dropped" in text for text in report.adapted)
    assert report.loaded == len(weights)


def test_the_half_of_the_pass_bnneck_that_belongs_to_cls_is_used(tmp_path):
    weights = fine_tuned(parts(), neck=2 * WIDTH, classifier=2 * WIDTH)
    model, report = load(weights, tmp_path)
    tokens, cls = expected_values("pass")
    neck = torch.nn.BatchNorm1d(2 * WIDTH).eval()
    neck.load_state_dict({name: weights[f"bottleneck.{name}"] for name in neck.state_dict()})
    with torch.no_grad():
        expected = neck(torch.cat((cls, torch.zeros_like(cls)), dim=1))[:, :WIDTH]
        torch.testing.assert_close(model.global_feature(tokens), expected, atol=1e-4, rtol=0)
    assert "of the BNNeck of [cls] and the mean part token, the half of [cls] is used" in report.adapted
    assert "classifier: 1 key" in report.fresh
    assert "the classifier also reads the part tokens, so it is not used" in report.adapted


def test_a_bnneck_per_part_token_is_not_used(tmp_path):
    necks = random_tensors(
        {name: each for number in (1, 2, 3) for name, each in neck_shapes(name=f"bottleneck_{number}").items()}
    )
    _, report = load(fine_tuned(parts()) | necks, tmp_path)
    assert "bottleneck_1: 5 keys" in report.ignored
    assert not any("mean of [cls]" in text for text in report.adapted)


@pytest.mark.parametrize(
    ("name", "shape"),
    [("cls_pos", None), ("part2_pos", None), ("part_token3", (1, 2, WIDTH)), ("pos_embed", (8, WIDTH))],
)
def test_part_tokens_that_do_not_fit_are_named(tmp_path, name, shape):
    weights = parts()
    del weights[name]
    if shape is not None:
        weights[name] = torch.zeros(shape)
    with pytest.raises(CheckpointError, match=rf"base\.{name} (is missing|must (be|have))"):
        load(weights, tmp_path)


def test_part_tokens_are_never_dropped(tmp_path):
    model, _ = load(fine_tuned(parts()), tmp_path)
    with torch.inference_mode():
        encoding = model.encode(random_images(SIZE), None, PruneSettings(0.5, blocks=(1, 2)))
    assert encoding.tokens.shape == (2, 1 + 3 + 2, WIDTH)
    assert encoding.patches.shape == (2, 2, WIDTH)

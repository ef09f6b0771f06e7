"""CLIP-ReID computes what its public code computes at keep rate 1.

Expected values in tests/golden/families were computed once by the public code in eval mode, in float32 on a CPU, with
the weights and images of `family_weights`, loaded with `load_state_dict(strict=True)`:

- clip_reid.npz: github.com/Syliz517/CLIP-ReID, commit eb1898b72c882875f478bebfc6d41644eece0a5d,
  `VisionTransformer(4, 2, 16, 16, 32, 12, 4, 24)` of model/clip/model.py, called with `images` and
  `1.0 * cv_embed[[2, 0]]`; "tokens" is its first output, and "cls" is row 0 of its second output.
"""

import fpc_core  # noqa: F401  isort: skip  before timm
import pytest
import torch
from torch import Tensor

from fpc_core.config import Activation, PruneSettings, VitOptions
from fpc_core.model.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from fpc_core.model.families import Source
from tests.support.family_checks import SIZE, assert_parity, expected_values, load, with_prefix
from tests.support.family_weights import HEADS, WIDTH, clip_reid_shapes, random_images, random_tensors

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
    assert "image_encoder: 1 key" in report.ignored  # The projection.
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


def test_the_mean_camera_of_clip_reid_is_added_to_cls_alone(tmp_path):
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

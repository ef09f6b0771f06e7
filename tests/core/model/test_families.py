"""Every family of checkpoints computes what its public code computes at keep rate 1.

Reference values come from timm where it contains the forward code of the family. Those of Hugging Face were computed
once by transformers 4.57.1 (github.com/huggingface/transformers, tag v4.57.1) and are stored in tests/golden/families:
the weights of `family_weights` were loaded with `load_state_dict(strict=True)` into ViTModel, DeiTModel and
Dinov2WithRegistersModel in eval mode; "tokens" is `hidden_states[3]`, and "cls" is `last_hidden_state[:, 0]`.
"""

import re
from pathlib import Path

import fpc_core  # noqa: F401  isort: skip  before timm
import numpy as np
import pytest
import torch
from timm.models.deit import VisionTransformerDistilled
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from fpc_core.config import ModelConfig, PruneSettings, VitOptions
from fpc_core.gallery.encoder import GalleryEncoder
from fpc_core.model.checkpoint import CheckpointError, load_checkpoint, save_checkpoint, weights_fingerprint
from fpc_core.model.families import FAMILIES, Source
from fpc_core.model.fpc import FPC
from tests.support.family_checks import SIZE, assert_parity, expected_values, load, with_prefix
from tests.support.family_weights import (
    DEPTH,
    HEADS,
    WIDTH,
    hugging_face_shapes,
    random_images,
    random_tensors,
    transreid_shapes,
)

SHAPE = {"embed_dim": WIDTH, "depth": DEPTH, "num_heads": HEADS, "mlp_ratio": 2, "num_classes": 7}


def random_vit(kind: type[VisionTransformer] = VisionTransformer, **options) -> VisionTransformer:
    """Return a Vision Transformer of timm, with `options` of its constructor and random weights in every layer."""
    vit = kind(**{"img_size": SIZE, **SHAPE, **options}).eval()
    vit.load_state_dict(random_tensors({name: tuple(each.shape) for name, each in vit.state_dict().items()}))
    return vit


def by_timm(vit: VisionTransformer, images: Tensor) -> tuple[Tensor, Tensor]:
    """Return all tokens after the second-to-last block and the final `[cls]` token, computed by timm."""
    with torch.inference_mode():
        patches, extra = vit.forward_intermediates(
            images, indices=[DEPTH - 2], return_prefix_tokens=True, output_fmt="NLC", intermediates_only=True
        )[0]
        return torch.cat((extra, patches), dim=1), vit.forward_features(images)[:, 0]


def test_every_family_has_its_own_title_and_description():
    assert set(FAMILIES) == set(Source)
    assert len({each.title for each in FAMILIES.values()}) == len(FAMILIES)
    assert len({each.recognised_by for each in FAMILIES.values()}) == len(FAMILIES)


def test_a_plain_vit_computes_the_same_as_timm(tmp_path):
    vit, images = random_vit(), random_images(SIZE)
    model, report = load(vit.state_dict(), tmp_path)
    assert report.source is Source.TIMM
    assert_parity(model, images, *by_timm(vit, images))
    assert any("mean 0.5 and standard deviation 0.5" in text for text in report.assumed)


def test_deit_with_a_distillation_token_computes_the_same_as_timm(tmp_path):
    vit, images = random_vit(VisionTransformerDistilled), random_images(SIZE)
    model, report = load(vit.state_dict(), tmp_path)
    assert (report.source, report.config.vit.extra_tokens) == (Source.DEIT, 1)
    assert_parity(model, images, *by_timm(vit, images))
    assert report.config.mean == (0.485, 0.456, 0.406)
    assert "dist_token: 1 token beside [cls] that is never dropped" in report.adapted
    assert report.ignored == "head: 2 keys, head_dist: 2 keys"
    assert report.loaded == len(vit.state_dict()) - 4


def test_an_mae_encoder_computes_the_same_as_timm(tmp_path):
    vit, images = random_vit(num_classes=0), random_images(SIZE)
    decoder = {"mask_token": torch.zeros(1, 1, 8), "decoder_pos_embed": torch.zeros(1, 9, 8)}
    decoder |= {"decoder_embed.weight": torch.zeros(8, WIDTH), "decoder_blocks.0.norm1.weight": torch.ones(8)}
    model, report = load({"model": vit.state_dict() | decoder}, tmp_path)
    assert report.source is Source.MAE
    assert_parity(model, images, *by_timm(vit, images))
    assert "decoder_embed: 1 key" in report.ignored
    assert "decoder" in report.copied


def test_the_norm_of_the_mean_patch_is_used_and_stated(tmp_path):
    vit, images = random_vit(global_pool="avg"), random_images(SIZE)
    model, report = load(vit.state_dict(), tmp_path)
    tokens, cls = by_timm(vit, images)
    with torch.no_grad():
        expected = vit.fc_norm(cls.clone())
    assert_parity(model, images, tokens, expected)
    assert any("trained with the mean of the patches" in text for text in report.adapted)


def test_the_teacher_of_a_dino_checkpoint_computes_the_same_as_timm(tmp_path):
    vit, images = random_vit(num_classes=0), random_images(SIZE)
    head = {"head.mlp.0.weight": torch.zeros(8, WIDTH), "head.last_layer.weight_v": torch.zeros(9, 8)}
    teacher = with_prefix("backbone.", vit.state_dict()) | head
    student = {f"module.{name}": torch.zeros_like(each) for name, each in teacher.items()}
    model, report = load({"student": student, "teacher": teacher, "epoch": 3}, tmp_path)
    assert report.source is Source.DINO
    assert_parity(model, images, *by_timm(vit, images))
    assert "student" in report.aside
    assert "head" in report.aside


def deit3_names(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename tensors from timm's names to those of the code of DeiT-III."""
    return {
        name.replace("ls1.gamma", "gamma_1").replace("ls2.gamma", "gamma_2"): each for name, each in tensors.items()
    }


@pytest.mark.parametrize("names", [dict, deit3_names], ids=["timm", "DeiT-III"])
def test_deit3_computes_the_same_as_timm(tmp_path, names):
    size = (112, 112)
    vit, images = random_vit(img_size=size, init_values=1.0, no_embed_class=True), random_images(size)
    model, report = load(names(vit.state_dict()), tmp_path, size)
    assert report.source is Source.DEIT3
    assert_parity(model, images, *by_timm(vit, images))
    assert "[cls] has no position embedding of its own, so it is 0" in report.adapted
    assert "layer scale: 8 tensors multiplied into the layers before them" in report.adapted
    assert report.config.mean == (0.485, 0.456, 0.406)


def dinov2_names(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename tensors to DINOv2's names, and split off the position of `[cls]`, which timm adds to the token."""
    renamed = {name.replace("reg_token", "register_tokens"): each for name, each in tensors.items()}
    own = torch.full((1, 1, WIDTH), 0.25)
    renamed["pos_embed"] = torch.cat((own, tensors["pos_embed"]), dim=1)
    return renamed | {"cls_token": tensors["cls_token"] - own, "mask_token": torch.zeros(1, WIDTH)}


@pytest.mark.parametrize("names", [dict, dinov2_names], ids=["timm", "DINOv2"])
@pytest.mark.parametrize("size", [(98, 98), (252, 126)], ids=["own size", "resized positions"])
def test_dinov2_with_registers_computes_the_same_as_timm(tmp_path, names, size):
    options = {"patch_size": 14, "init_values": 1.0, "reg_tokens": 4, "no_embed_class": True}
    vit, images = random_vit(img_size=98, dynamic_img_size=True, **options), random_images(size)
    model, report = load(names(vit.state_dict()), tmp_path, size, stride=14)
    assert (report.source, report.config.vit.extra_tokens) == (Source.DINOV2, 4)
    assert_parity(model, images, *by_timm(vit, images))
    assert report.resized == (None if size == (98, 98) else ((7, 7), (18, 9)))
    assert any("4 tokens beside [cls] that are never dropped" in text for text in report.adapted)


def test_dinov2_without_registers_computes_the_same_as_timm(tmp_path):
    vit = random_vit(img_size=98, patch_size=14, init_values=1.0)
    images = random_images((98, 98))
    model, report = load(vit.state_dict(), tmp_path, (98, 98), stride=14)
    assert (report.source, report.config.vit.extra_tokens) == (Source.DINOV2, 0)
    assert_parity(model, images, *by_timm(vit, images))


def test_registers_may_have_positions_as_well(tmp_path):
    size = (112, 112)
    vit, images = random_vit(img_size=size, reg_tokens=3), random_images(size)
    model, report = load(vit.state_dict(), tmp_path, size)
    assert (report.source, report.config.vit.extra_tokens) == (Source.TIMM, 3)
    assert_parity(model, images, *by_timm(vit, images))


def test_patches_of_14_pixels_use_whole_patches_by_default(tmp_path):
    vit = random_vit(img_size=98, patch_size=14, init_values=1.0)
    torch.save(vit.state_dict(), tmp_path / "weights.pth")
    config = load_checkpoint(tmp_path / "weights.pth", heads=HEADS)[1].config
    assert (config.image_size, config.patch_size, config.stride, config.grid) == ((252, 126), 14, 14, (18, 9))


@pytest.mark.parametrize(
    ("kind", "prefix", "size", "stride"),
    [("vit", "", SIZE, 16), ("vit", "vit.", SIZE, 16), ("deit", "deit.", SIZE, 16), ("dinov2", "", (98, 98), 14)],
)
def test_hugging_face_names_compute_the_same_as_transformers(tmp_path, kind, prefix, size, stride):
    weights = with_prefix(prefix, random_tensors(hugging_face_shapes(kind)))
    if prefix:
        weights["classifier.weight"] = torch.zeros(7, WIDTH)
    model, report = load(weights, tmp_path, size, stride)
    assert_parity(model, random_images(size), *expected_values(f"hugging_face_{kind}"))
    assert report.source is Source.HUGGING_FACE
    assert report.config.vit.extra_tokens == {"vit": 0, "deit": 1, "dinov2": 4}[kind]
    assert report.loaded == len(hugging_face_shapes(kind)) - (kind == "dinov2")  # Its mask token is not used.
    assert any("preprocessor_config.json" in text for text in report.assumed)


def test_incomplete_queries_keys_and_values_are_refused(tmp_path):
    weights = random_tensors(hugging_face_shapes("vit"))
    del weights["encoder.layer.1.attention.attention.key.weight"]
    with pytest.raises(CheckpointError, match=r"query, key and value of blocks\.1\.attn\.qkv\.weight are incomplete"):
        load(weights, tmp_path)


def deit(folder: Path, **options) -> FPC:
    return load(random_vit(VisionTransformerDistilled, **options).state_dict(), folder)[0]


def test_extra_tokens_are_never_dropped(tmp_path):
    model, images = deit(tmp_path), random_images(SIZE)
    prune = PruneSettings(0.5, blocks=(1, 2))
    with torch.inference_mode():
        whole, encoding = model.encode(images, None, PruneSettings(1.0, blocks=(2,))), model.encode(images, None, prune)
        first = model.encoder.finish(model.encoder.prefix(images, None, 1), PruneSettings(0.5, blocks=(1,)), until=2)
    assert encoding.tokens.shape == (2, 1 + 1 + 2, WIDTH)
    assert [stage.kept.shape[1] for stage in encoding.stages] == [4, 2]
    assert encoding.patches.shape == (2, 2, WIDTH)
    assert int(encoding.positions.max()) < model.config.patches
    assert first.tokens.shape == (2, 1 + 1 + 4, WIDTH)
    assert whole.tokens.shape == (2, 1 + 1 + 8, WIDTH)


def test_patches_are_ranked_by_the_attention_to_patches_only(tmp_path):
    model, images = deit(tmp_path), random_images(SIZE)
    with torch.inference_mode():
        tokens = model.encoder.blocks[0](model.encoder.embed(images, None))
        attn = model.encoder.blocks[1].attn
        query, key, _ = attn.qkv(model.encoder.blocks[1].norm1(tokens)).unflatten(-1, (3, HEADS, 8)).unbind(2)
        logits = torch.einsum("bqhd,bkhd->bhqk", query, key) / 8**0.5
        expected = logits.softmax(dim=-1).mean(dim=1)[:, 0, 2:]  # [cls] and the distillation token come first.
        (stage,) = model.encode(images, None, PruneSettings(0.5, blocks=(1,))).stages
        traced = model.trace_blocks(images, None, PruneSettings(0.5, blocks=(1,)))[1]
    torch.testing.assert_close(stage.attention, expected, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(traced.attention, expected, atol=1e-6, rtol=1e-5)
    assert torch.equal(stage.kept, expected.argsort(dim=1, descending=True, stable=True)[:, :4])


def test_the_gallery_memory_stores_patches_without_extra_tokens(tmp_path):
    model, images = deit(tmp_path, depth=12), random_images(SIZE)
    features = GalleryEncoder(model)(images, None)
    assert features.patches.shape == (2, model.config.patches, WIDTH)
    with torch.inference_mode():
        patches = model.encode(images, None, PruneSettings(1.0)).patches
    np.testing.assert_allclose(features.patches, patches, rtol=1e-3, atol=1e-4)  # The memory stores float16.


def test_extra_tokens_survive_saving(tmp_path):
    model = deit(tmp_path)
    save_checkpoint(model, tmp_path / "own.safetensors")
    own, report = load_checkpoint(tmp_path / "own.safetensors")
    assert own.config == model.config
    assert own.config.vit == VitOptions(extra_tokens=1)
    assert weights_fingerprint(own) == weights_fingerprint(model)
    assert report.source is Source.OWN


def test_fingerprints_of_plain_models_are_those_of_earlier_versions():
    assert "vit" not in ModelConfig().as_dict()
    assert ModelConfig(vit=VitOptions(extra_tokens=1)).as_dict()["vit"]["extra_tokens"] == 1


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("dist_token", (1, 32), "dist_token must have 3 dimensions"),
        ("dist_token", (1, 1, 31), "dist_token must be"),
        ("pos_embed", (1, 1, 32), "too few for 1 extra tokens"),
        ("pos_embed", (), "pos_embed must have 3 dimensions"),
        ("blocks.1.ls1.gamma", (31,), "does not match blocks.1.attn.proj.weight"),
        ("blocks.1.attn.proj.bias", (31,), "blocks.1.attn.proj.bias of shape"),
    ],
)
def test_tensors_that_do_not_match_each_other_are_named(tmp_path, name, shape, message):
    weights = random_vit(VisionTransformerDistilled, init_values=1.0).state_dict() | {name: torch.zeros(shape)}
    with pytest.raises(CheckpointError, match=re.escape(message)):
        load(weights, tmp_path)


def test_missing_positions_are_named(tmp_path):
    weights = random_tensors(hugging_face_shapes("vit"))
    del weights["embeddings.position_embeddings"]
    with pytest.raises(CheckpointError, match="the position embedding is missing"):
        load(weights, tmp_path)


def test_a_config_that_does_not_fit_the_stem_is_refused(tmp_path):
    torch.save(random_tensors(transreid_shapes(stem=True)), tmp_path / "weights.pth")
    config = ModelConfig(SIZE, 16, 15, WIDTH, DEPTH, HEADS, 2.0, DEPTH - 1, cameras=0)
    with pytest.raises(CheckpointError, match=r"does not fit the config: patch_size and stride must be even"):
        load_checkpoint(tmp_path / "weights.pth", config=config)


@pytest.mark.parametrize(
    ("names", "title"),
    [
        (["layers.0.blocks.0.attn.relative_position_bias_table", "patch_embed.proj.weight"], "a Swin Transformer"),
        (["base.layers.1.blocks.0.attn.cpb_mlp.0.weight"], "a Swin Transformer"),
        (["swin.encoder.layers.0.blocks.1.attention.self.relative_position_index"], "a Swin Transformer"),
        (["base.stages.0.blocks.0.attn.w_msa.relative_position_bias_table"], "a Swin Transformer"),
        (["base.conv1.weight", "base.layer1.0.conv1.weight", "classifier.weight"], "a ResNet (a CNN)"),
        (["image_encoder.layer1.0.conv1.weight", "image_encoder.attnpool.k_proj.weight"], "a ResNet (a CNN)"),
        (["module.base.layer4.2.bn1.IN.weight"], "a ResNet (a CNN)"),
        (["conv1.conv.weight", "conv2.0.conv2a.conv1.weight"], "an OSNet (a CNN)"),
        (["stages.0.0.dwconv.weight"], "a ConvNeXt (a CNN)"),
        (["stages.0.blocks.0.conv_dw.weight"], "a ConvNeXt (a CNN)"),
        (["conv_stem.weight", "blocks.1.0.conv_pw.weight"], "an EfficientNet or MobileNet (a CNN)"),
        (["features.0.weight", "classifier.0.weight"], "a VGG, DenseNet, EfficientNet or MobileNet of torchvision"),
        (["block1.0.attn.sr.weight"], "a Pyramid Vision Transformer"),
        (["cls_token", "blocks.0.attn.qkv.weight", "rel_pos_bias.relative_position_bias_table"], "a BEiT"),
    ],
)
def test_other_networks_are_refused_by_name(tmp_path, names, title):
    with pytest.raises(CheckpointError, match=re.escape(f"weights.pth contains {title}")) as caught:
        load({name: torch.zeros(2, 2) for name in names}, tmp_path)
    assert "which is not supported" in str(caught.value)
    assert "use weights of a plain ViT" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("blocks.0.mlp.w12.weight", "a ViT with SwiGLU MLPs"),
        ("blocks.0.attn.relative_position_bias_table", "a BEiT"),
        ("storage_tokens", "a DINOv3"),
    ],
)
def test_a_vit_with_other_blocks_is_refused_by_name(tmp_path, name, title):
    with pytest.raises(CheckpointError, match=re.escape(f"contains {title}")):
        load(random_vit().state_dict() | {name: torch.zeros(2, 2)}, tmp_path)

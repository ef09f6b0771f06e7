"""Checkpoints of every format are loaded, FPC checkpoints are saved, and unsuitable ones are refused with a reason."""

import json
import os
import pickle
import zipfile
from collections import OrderedDict
from dataclasses import asdict, replace
from pathlib import Path

import fpc_core  # noqa: F401  isort: skip  before timm
import pytest
import torch
from safetensors.torch import save_file
from timm.layers import resample_abs_pos_embed
from timm.models.vision_transformer import VisionTransformer

from fpc_core.config import ModelConfig, PruneSettings
from fpc_core.model import weight_files
from fpc_core.model.checkpoint import CheckpointError, load_checkpoint, save_checkpoint, weights_fingerprint
from fpc_core.model.families import Source
from fpc_core.model.fpc import FPC
from fpc_core.model.tensor_mapping import count_by_group
from tests.support.golden_data import load_golden
from tests.support.hostile_files import TouchOnLoad
from tests.support.released_workspace import released_names

CONFIG = ModelConfig(width=32, depth=4, heads=4, token_blocks=3, stride=16, identities=5, cameras=3)


@pytest.fixture(scope="module")
def model() -> FPC:
    torch.manual_seed(0)
    return FPC(CONFIG).eval()


def released_weights() -> dict[str, torch.Tensor]:
    return torch.load(load_golden(16).checkpoint_path, weights_only=True)


def transreid_weights(jigsaw: bool) -> dict[str, torch.Tensor]:
    """Return the released weights reduced to the tensors that TransReID saves, with or without its jigsaw branch."""
    weights = {name: value for name, value in released_weights().items() if not name.startswith("rec_")}
    if not jigsaw:
        return {name: value for name, value in weights.items() if not name.startswith("b1.")}
    extra = {name.replace("b1.", "b2."): value for name, value in weights.items() if name.startswith("b1.")}
    for number in range(1, 5):
        extra[f"classifier_{number}.weight"] = weights["classifier.weight"]
        extra[f"bottleneck_{number}.weight"] = weights["bottleneck.weight"]
    return {**weights, **extra}


def timm_weights(**options) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return VisionTransformer(embed_dim=32, depth=4, num_heads=4, num_classes=7, **options).state_dict()


def saved(weights: object, folder: Path, name: str = "weights.pth") -> Path:
    torch.save(weights, folder / name)
    return folder / name


def test_own_checkpoint_survives_a_round_trip(model, tmp_path):
    save_checkpoint(model, tmp_path / "model.safetensors")
    loaded, report = load_checkpoint(tmp_path / "model.safetensors")
    assert loaded.config == CONFIG
    assert not loaded.training
    assert weights_fingerprint(loaded) == weights_fingerprint(model)
    assert (report.source, report.loaded) == (Source.OWN, len(model.state_dict()))
    assert report.resized is None
    assert report.fresh == report.copied == report.ignored == ""
    assert not loaded.bottleneck.bias.requires_grad
    assert loaded.classifier.weight.requires_grad


def test_own_half_precision_checkpoint_is_loaded_in_float32(model, tmp_path):
    save_checkpoint(model, tmp_path / "half.safetensors", torch.float16)
    save_checkpoint(model, tmp_path / "full.safetensors")
    assert (tmp_path / "half.safetensors").stat().st_size < 0.6 * (tmp_path / "full.safetensors").stat().st_size
    loaded, _ = load_checkpoint(tmp_path / "half.safetensors")
    for name, tensor in loaded.state_dict().items():
        wanted = model.state_dict()[name]
        assert tensor.dtype == wanted.dtype
        torch.testing.assert_close(tensor, wanted, atol=1e-3, rtol=1e-3)


def test_the_fingerprint_changes_with_one_number(model):
    other = FPC(CONFIG)
    other.load_state_dict(model.state_dict())
    assert weights_fingerprint(other) == weights_fingerprint(model)
    with torch.no_grad():
        other.decoder.block.mlp.fc2.bias[3] += 1e-6
    assert weights_fingerprint(other) != weights_fingerprint(model)


def test_a_failed_save_leaves_the_old_file(model, tmp_path):
    path = tmp_path / "model.safetensors"
    save_checkpoint(model, path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="floating point"):
        save_checkpoint(model, path, torch.int8)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_every_tensor_of_a_released_checkpoint_is_assigned():
    golden, weights = load_golden(16), released_weights()
    model, report = load_checkpoint(golden.checkpoint_path, config=golden.config)
    ours = model.state_dict()
    places = {
        "encoder.blocks.10.attn.qkv.weight": "base.blocks.10.attn.qkv.weight",
        "head.blocks.0.mlp.fc1.bias": "b1.0.mlp.fc1.bias",
        "head.norm.weight": "b1.1.weight",
        "decoder.block.norm2.bias": "rec_b.0.norm2.bias",
        "decoder.norm.bias": "rec_b.1.bias",
        "encoder.camera": "base.sie_embed",
        "encoder.position": "base.pos_embed",
        "rec_bottleneck.running_var": "rec_bottleneck.running_var",
        "rec_classifier.weight": "rec_classifier.weight",
    }
    for name, there in places.items():
        assert torch.equal(ours[name], weights[there])
    assert report.source is Source.RELEASED
    assert report.loaded == len(ours)
    assert report.ignored == "base.fc: 2 keys, base.norm: 2 keys, base.blocks.11: 12 keys"
    assert report.resized is None
    assert report.fresh == report.copied == ""


@pytest.mark.parametrize(
    "wrap",
    [
        lambda weights: {"state_dict": weights, "epoch": 120},
        lambda weights: {"model": {"module." + name: value for name, value in weights.items()}},
        lambda weights: {"state_dict": {"model": {"module.model." + n: v for n, v in weights.items()}}},
        lambda weights: OrderedDict(("module.state_dict." + name, value) for name, value in weights.items()),
    ],
)
def test_wrappers_and_prefixes_are_removed(tmp_path, wrap):
    golden = load_golden(16)
    plain, _ = load_checkpoint(golden.checkpoint_path, config=golden.config)
    wrapped, _ = load_checkpoint(saved(wrap(released_weights()), tmp_path), config=golden.config)
    assert weights_fingerprint(wrapped) == weights_fingerprint(plain)


def test_the_decoder_of_transreid_is_a_copy_of_the_last_block(tmp_path):
    golden = load_golden(16)
    model, report = load_checkpoint(saved(transreid_weights(jigsaw=True), tmp_path), config=golden.config)
    assert report.source is Source.TRANSREID
    assert report.copied == "decoder.block: 12 keys, decoder.norm: 2 keys"
    assert report.fresh == "rec_bottleneck: 5 keys, rec_classifier: 1 key"
    assert "b2.0: 12 keys" in report.ignored
    assert torch.equal(model.decoder.block.mlp.fc1.weight, released_weights()["b1.0.mlp.fc1.weight"])
    with torch.no_grad():
        model.decoder.block.mlp.fc1.weight.zero_()
    assert model.head.blocks[0].mlp.fc1.weight.any()  # The two blocks share no tensor.


def test_transreid_without_jigsaw_uses_its_last_block_as_head(tmp_path):
    golden, weights = load_golden(16), transreid_weights(jigsaw=False)
    model, report = load_checkpoint(saved(weights, tmp_path), config=golden.config)
    assert torch.equal(model.head.blocks[0].attn.proj.weight, weights["base.blocks.11.attn.proj.weight"])
    assert torch.equal(model.head.norm.weight, weights["base.norm.weight"])
    assert report.ignored == "base.fc: 2 keys"


def test_timm_vision_transformer_gives_encoder_and_head(tmp_path):
    vit = VisionTransformer(img_size=(256, 128), embed_dim=32, depth=4, num_heads=4, num_classes=7).eval()
    vit.load_state_dict(timm_weights(img_size=(256, 128)))
    config = replace(CONFIG, cameras=0)
    model, report = load_checkpoint(saved(vit.state_dict(), tmp_path), config=config)
    images = torch.randn(2, 3, 256, 128)
    with torch.inference_mode():
        token = model.global_token(model.encode(images, None, PruneSettings(1.0, blocks=(1,))).tokens)
        torch.testing.assert_close(token, vit.forward_features(images)[:, 0], atol=1e-5, rtol=1e-5)
    assert report.source is Source.TIMM
    assert report.ignored == "head: 2 keys"
    assert report.fresh == "bottleneck: 5 keys, rec_bottleneck: 5 keys, classifier: 1 key, rec_classifier: 1 key"


def test_missing_camera_embeddings_are_reported_as_fresh(tmp_path):
    _, report = load_checkpoint(saved(timm_weights(img_size=(256, 128)), tmp_path), config=CONFIG)
    assert "encoder.camera: 1 key" in report.fresh


def test_fresh_heads_are_the_same_in_every_load(tmp_path):
    path = saved(timm_weights(img_size=(256, 128)), tmp_path)
    before = torch.random.get_rng_state()
    one, other = (weights_fingerprint(load_checkpoint(path, config=CONFIG)[0]) for _ in range(2))
    assert one == other
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_plain_vision_transformer_leaves_the_stride_open(tmp_path):
    vit = VisionTransformer(img_size=224, embed_dim=192, depth=12, num_heads=3, num_classes=0)
    path = saved(vit.state_dict(), tmp_path)
    assert load_checkpoint(path)[1].config.stride == 16
    model, report = load_checkpoint(path, stride=11)
    assert (report.config.stride, report.resized) == (11, ((14, 14), (22, 11)))
    assert model.encoder.position.shape == (1, 243, 192)


def test_trained_weights_have_their_stride(model, tmp_path):
    save_checkpoint(model, tmp_path / "own.safetensors")
    assert load_checkpoint(tmp_path / "own.safetensors", stride=CONFIG.stride)[1].config == CONFIG
    with pytest.raises(CheckpointError, match="was trained with stride 16; it cannot be used with 11"):
        load_checkpoint(tmp_path / "own.safetensors", stride=11)


def test_timm_safetensors_are_distinguished_from_own(tmp_path):
    save_file(timm_weights(img_size=(256, 128)), tmp_path / "model.safetensors", metadata={"format": "pt"})
    _, report = load_checkpoint(tmp_path / "model.safetensors", config=CONFIG)
    assert report.source is Source.TIMM


def test_square_positions_are_resized_to_the_pedestrian_grid(tmp_path):
    weights = timm_weights(img_size=224)
    model, report = load_checkpoint(saved(weights, tmp_path), config=replace(CONFIG, stride=11))
    assert report.resized == ((14, 14), (22, 11))
    assert torch.equal(model.encoder.position[:, 0], weights["pos_embed"][:, 0])
    assert torch.equal(model.encoder.position, resample_abs_pos_embed(weights["pos_embed"], [22, 11], [14, 14]))
    assert "from 14 x 14 to 22 x 11" in str(report)


def test_resizing_positions_keeps_a_constant(tmp_path):
    golden, weights = load_golden(16), released_weights()
    weights["base.pos_embed"] = torch.full_like(weights["base.pos_embed"], 0.25)
    model, report = load_checkpoint(saved(weights, tmp_path), config=replace(golden.config, stride=11))
    assert report.resized == ((16, 8), (22, 11))
    torch.testing.assert_close(model.encoder.position, torch.full((1, 243, 32), 0.25))


def test_the_distillation_token_of_deit_has_its_own_position(tmp_path):
    weights = timm_weights(img_size=(256, 128))
    position = weights["pos_embed"]
    deit = {**weights, "pos_embed": torch.cat((position[:, :1], torch.full((1, 1, 32), 9.0), position[:, 1:]), dim=1)}
    deit["dist_token"] = torch.ones(1, 1, 32)
    model, report = load_checkpoint(saved(deit, tmp_path), config=CONFIG)
    assert torch.equal(model.encoder.position, position)
    assert torch.equal(model.encoder.extra, torch.full((1, 1, 32), 10.0))
    assert report.config.vit.extra_tokens == 1


@pytest.mark.parametrize(("stride", "size"), [(11, (256, 128)), (12, (256, 128)), (16, (384, 128))])
def test_the_architecture_is_inferred_from_the_weights(tmp_path, stride, size):
    config = ModelConfig(image_size=size, width=192, heads=3, stride=stride, identities=9, cameras=6)
    weights = released_names(FPC(replace(config, mlp_ratio=1.0)))
    stated = None if size == (256, 128) else size  # 192 positions may also be 256 x 192 pixels.
    model, report = load_checkpoint(saved(weights, tmp_path), image_size=stated)
    assert model.config == report.config == replace(config, mlp_ratio=1.0)


def test_an_unknown_width_needs_a_config():
    with pytest.raises(
        CheckpointError, match=r"the width must be one of \[192, 384, 768, 1024\] .*got 32; pass the config"
    ):
        load_checkpoint(load_golden(16).checkpoint_path)


def test_missing_and_unexpected_keys_are_listed_by_group(tmp_path):
    golden = load_golden(16)
    weights = {
        n: v for n, v in released_weights().items() if not any(n.startswith(f"base.blocks.{i}.") for i in range(3, 11))
    }
    del weights["rec_b.1.weight"]
    weights["pose.conv.weight"] = torch.zeros(1)
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(saved(weights, tmp_path), config=golden.config)
    assert "Missing: rec_b.1: 1 key, base.blocks.3-10: 96 keys." in str(caught.value)
    assert "Unexpected: pose.conv: 1 key." in str(caught.value)


def test_groups_join_neighbouring_blocks():
    names = [f"blocks.{i}.{part}" for i in (0, 3, 4, 5) for part in ("norm1.weight", "norm1.bias")]
    assert count_by_group([*names, "cls_token", "b1.0.norm1.bias"]) == (
        "cls_token: 1 key, b1.0: 1 key, blocks.0: 2 keys, blocks.3-5: 6 keys"
    )


def test_wrong_shapes_name_the_group_and_both_shapes():
    golden = load_golden(16)
    with pytest.raises(CheckpointError, match=r"encoder.camera: 1 key.*\(8, 1, 32\), not \(6, 1, 32\).*cameras"):
        load_checkpoint(golden.checkpoint_path, config=replace(golden.config, cameras=6))


def test_a_classifier_of_another_dataset_is_left_fresh():
    golden = load_golden(16)
    model, report = load_checkpoint(golden.checkpoint_path, config=replace(golden.config, identities=3))
    assert model.classifier.weight.shape == (3, 32)
    assert report.fresh == "classifier: 1 key, rec_classifier: 1 key"


def test_metadata_that_contradicts_the_tensors_allocates_nothing(model, tmp_path):
    config = json.dumps({**asdict(CONFIG), "identities": 10**12})
    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(state, tmp_path / "odd.safetensors", metadata={"format": "fpc 1", "config": config})
    with pytest.raises(CheckpointError, match=r"classifier: 1 key.*\(5, 32\), not \(1000000000000, 32\)"):
        load_checkpoint(tmp_path / "odd.safetensors")


def test_nan_and_inf_are_refused(tmp_path):
    weights = released_weights()
    weights["base.blocks.4.mlp.fc1.bias"][0] = float("nan")
    with pytest.raises(CheckpointError, match=r"NaN or Inf in encoder.blocks.4: 1 key"):
        load_checkpoint(saved(weights, tmp_path), config=load_golden(16).config)


@pytest.mark.parametrize("write", [torch.save, lambda content, path: path.write_bytes(pickle.dumps(content))])
def test_a_pickle_with_code_is_refused_and_not_run(tmp_path, write):
    write({"cls_token": torch.zeros(1), "payload": TouchOnLoad(tmp_path / "ran")}, tmp_path / "evil.pth")
    with pytest.raises(CheckpointError, match=r"evil\.pth .*Python objects besides tensors"):
        load_checkpoint(tmp_path / "evil.pth")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
@pytest.mark.parametrize(
    "content", [b"", b"\x00", b"not a checkpoint at all", b"PK\x03\x04 cut", bytes(range(256)) * 40]
)
def test_a_file_that_is_not_a_checkpoint_is_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"{name} is not a checkpoint.*Download it again"):
        load_checkpoint(tmp_path / name)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_truncated_checkpoint_is_refused(model, tmp_path, share):
    save_checkpoint(model, tmp_path / "own.safetensors")
    for path in (tmp_path / "own.safetensors", saved(released_weights(), tmp_path)):
        content = path.read_bytes()
        path.write_bytes(content[: int(share * len(content))])
        with pytest.raises(CheckpointError, match=rf"{path.name} is not a checkpoint, is truncated"):
            load_checkpoint(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([torch.zeros(2)], "contains a list, not a dictionary of tensors"),
        ({}, "it is empty"),
        ({"epoch": 3, "cls_token": torch.zeros(2)}, r"not contain a dictionary of tensors \(epoch\)"),
        ({"layer1.conv.weight": torch.zeros(2)}, "is not an FPC, TransReID or timm .* it contains layer1.conv: 1 key"),
        ({"blocks.0.x": torch.zeros(1), "pos_embed": torch.zeros(1)}, "architecture cannot be inferred from"),
        ({"cls_token": torch.zeros(1, 1, 1).expand(1 << 20, 1 << 20, 1)}, "larger than their storage"),
    ],
)
def test_tensors_that_fit_no_model_are_refused(tmp_path, content, message):
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(saved(content, tmp_path))


def test_a_config_with_more_blocks_than_tensors_builds_nothing(tmp_path):
    metadata = {"format": "fpc 1", "config": '{"depth": 1000000000, "token_blocks": 1}'}
    save_file({"encoder.cls_token": torch.zeros(1, 1, 768)}, tmp_path / "deep.safetensors", metadata=metadata)
    with pytest.raises(CheckpointError, match="contains 1 tensors, too few for 1000000000 blocks"):
        load_checkpoint(tmp_path / "deep.safetensors")


@pytest.mark.parametrize(
    "config", ["[]", "{", '{"depth": 2.5}', '{"colour": 3}', '{"width": 10, "heads": 3}', '{"width": "wide"}']
)
def test_an_invalid_config_is_named(tmp_path, config):
    metadata = {"format": "fpc 1", "config": config}
    save_file({"encoder.cls_token": torch.zeros(1)}, tmp_path / "odd.safetensors", metadata=metadata)
    with pytest.raises(CheckpointError, match=r"config in .*odd\.safetensors is invalid"):
        load_checkpoint(tmp_path / "odd.safetensors")


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    for path in (tmp_path / "none.pth", tmp_path):
        with pytest.raises(CheckpointError, match="there is no checkpoint at"):
            load_checkpoint(path)


def test_the_size_limit_is_checked_before_the_file_is_opened(model, tmp_path, monkeypatch):
    save_checkpoint(model, tmp_path / "own.safetensors")
    monkeypatch.setenv("FPC_MAX_WEIGHTS_GB", "0.0001")
    monkeypatch.setattr(weight_files, "_is_safetensors", lambda path: pytest.fail("the file was opened"))
    with pytest.raises(CheckpointError, match=r"own\.safetensors has more than 0\.0001 GB.*raise FPC_MAX_WEIGHTS_GB"):
        load_checkpoint(tmp_path / "own.safetensors")


@pytest.mark.parametrize("text", ["0", "-1", "eight", "nan", "1e99"])
def test_an_invalid_size_limit_is_named(model, tmp_path, monkeypatch, text):
    save_checkpoint(model, tmp_path / "own.safetensors")
    monkeypatch.setenv("FPC_MAX_WEIGHTS_GB", text)
    with pytest.raises(CheckpointError, match="must be a number of gigabytes"):
        load_checkpoint(tmp_path / "own.safetensors")


def test_a_long_header_is_refused_unread(tmp_path, monkeypatch):
    save_file(
        {"x": torch.zeros(1)}, tmp_path / "long.safetensors", metadata={"note": "n" * (weight_files.MAX_HEADER + 1)}
    )
    monkeypatch.setattr(weight_files, "safe_open", lambda *args, **kwargs: pytest.fail("the header was read"))
    with pytest.raises(CheckpointError, match=r"has a header of [\d,]+ bytes, the limit is 4,194,304"):
        load_checkpoint(tmp_path / "long.safetensors")


@pytest.mark.parametrize("name", ["many.safetensors", "many.pth"])
def test_too_many_tensors_are_refused(tmp_path, monkeypatch, name):
    monkeypatch.setattr(weight_files, "MAX_TENSORS", 20)
    weights = {f"blocks.{number}.x": torch.zeros(1) for number in range(30)}
    path = tmp_path / name
    save_file(weights, path) if name.endswith("s") else torch.save(weights, path)
    with pytest.raises(CheckpointError, match=r"contains \d\d tensors, the limit is 20"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    "tensor",
    [torch.zeros(3, 3).to_sparse(), torch.zeros(3, dtype=torch.complex64), torch.zeros(3, device="meta")],
    ids=["sparse", "complex", "meta"],
)
@pytest.mark.filterwarnings("ignore")  # torch warns about deprecated kinds of tensors.
def test_tensors_that_are_not_plain_are_refused(tmp_path, tensor):
    with pytest.raises(
        CheckpointError, match=r"sparse, quantized, complex, nested, without data or .*, such as cls_token"
    ):
        load_checkpoint(saved({"cls_token": tensor}, tmp_path))


def test_an_archive_that_unpacks_to_too_much_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setenv("FPC_MAX_WEIGHTS_GB", "0.01")
    with zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/0", bytes(20_000_000))
    assert (tmp_path / "bomb.pth").stat().st_size < 100_000
    monkeypatch.setattr(torch, "load", lambda *args, **kwargs: pytest.fail("it was unpacked"))
    with pytest.raises(CheckpointError, match=r"unpacks to more than 0\.01 GB"):
        load_checkpoint(tmp_path / "bomb.pth")


def test_an_archive_with_a_long_pickle_is_refused_unread(tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "load", lambda *args, **kwargs: pytest.fail("the program was read"))
    with zipfile.ZipFile(tmp_path / "long.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(weight_files.MAX_PROGRAM + 1))
    with pytest.raises(CheckpointError, match="contains a pickle of more than 16 MiB"):
        load_checkpoint(tmp_path / "long.pth")


def test_an_archive_only_for_torch_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "load", lambda *args, **kwargs: pytest.fail("it was read"))
    (tmp_path / "odd.pth").write_bytes(b"PK\x03\x04" + bytes(1000))
    with pytest.raises(CheckpointError, match=r"odd\.pth is not a checkpoint"):
        load_checkpoint(tmp_path / "odd.pth")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with a name")
def test_pipes_and_devices_are_not_checkpoints(tmp_path):
    os.mkfifo(tmp_path / "pipe.pth")
    (tmp_path / "zero.pth").symlink_to("/dev/zero")
    for name in ("pipe.pth", "zero.pth"):
        with pytest.raises(CheckpointError, match="there is no checkpoint at"):
            load_checkpoint(tmp_path / name)

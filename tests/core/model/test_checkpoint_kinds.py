"""Checkpoints with other objects, prefixes, sizes and layers are read, reported, or refused by name."""

import argparse
import operator
import pathlib
import pickle
import sys
import types
import zipfile
from collections import defaultdict, deque
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from uuid import uuid4

import fpc_core  # noqa: F401  isort: skip  before timm
import numpy as np
import pytest
import torch
from timm.models.vision_transformer import VisionTransformer

from fpc_core.config import PruneSettings
from fpc_core.model.checkpoint import (
    CheckpointError,
    assumed_functions,
    load_checkpoint,
    save_checkpoint,
    weights_fingerprint,
)
from fpc_core.model.families import Source
from fpc_core.model.load_report import LoadReport
from tests.support.hostile_files import TouchOnLoad
from tests.support.transreid import BLOCKS, WIDTH, conv_stem_weights, plain_weights, transreid_weights

PLAIN = transreid_weights()


def load(content: object, folder: Path, **options) -> tuple[torch.nn.Module, LoadReport]:
    torch.save(content, folder / "weights.pth")
    return load_checkpoint(folder / "weights.pth", **options)


def refusal(content: object, folder: Path, **options) -> str:
    with pytest.raises(CheckpointError) as caught:
        load(content, folder, **options)
    assert len(str(caught.value)) < 400
    return str(caught.value)


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> str:
    return weights_fingerprint(load(PLAIN, tmp_path_factory.mktemp("weights"))[0])


def foreign_class(monkeypatch, module: str, name: str, base: type) -> type:
    """Define a class that can be pickled under the name of a module that is not installed.

    Args:
        monkeypatch: The fixture that removes the module again.
        module: The dotted name of the module.
        name: The name of the class.
        base: Its base class.
    """
    made = type(name, (base,), {"__module__": module})
    parts = module.split(".")
    for end in range(1, len(parts) + 1):
        monkeypatch.setitem(sys.modules, ".".join(parts[:end]), types.ModuleType(".".join(parts[:end])))
    setattr(sys.modules[module], name, made)
    return made


@pytest.mark.parametrize(
    "beside",
    [
        np.float64(0.77),
        np.float32(0.77),
        np.arange(6, dtype=np.int16).reshape(2, 3),
        np.array(["a", "b"]),
        np.dtype("float32"),
        argparse.Namespace(lr=1e-3, model="vit_tiny", nested=argparse.Namespace(a=[1, 2])),
        pathlib.PurePosixPath("/data/weights"),
        pathlib.PureWindowsPath("C:/data"),
        {"log": [np.float64(1.0), {"deep": np.int64(3)}]},
        [deque([1, 2], maxlen=5), slice(1, 2), range(3), int, 2**80, b"bytes", datetime.now(), Decimal("1.5"), uuid4()],
        defaultdict(list, {"a": [1]}),
        {1: {"a": complex(1, 2), "b": {3, 4}, "c": frozenset({5})}},
    ],
    ids=lambda value: type(value).__name__,
)
def test_numpy_namespaces_and_paths_beside_the_tensors_are_passed_over(tmp_path, reference, beside):
    model, report = load({"state_dict": PLAIN, "epoch": 60, "beside": beside}, tmp_path)
    assert weights_fingerprint(model) == reference
    assert "epoch, beside" in report.aside


@pytest.mark.parametrize("older", [False, True], ids=["archive", "format before archives"])
def test_objects_that_are_passed_over_are_named(tmp_path, reference, older):
    content = {"model": PLAIN, "args": argparse.Namespace(lr=1e-3), "best": np.float64(0.5)}
    torch.save(content, tmp_path / "weights.pth", _use_new_zipfile_serialization=not older)
    model, report = load_checkpoint(tmp_path / "weights.pth")
    assert weights_fingerprint(model) == reference
    assert "args, best; objects of argparse.Namespace, numpy." in report.aside


@pytest.mark.parametrize(
    ("module", "name", "base"),
    [
        ("yacs.config", "CfgNode", dict),
        ("fastreid.config.config", "CfgNode", dict),
        ("omegaconf.dictconfig", "DictConfig", object),
        ("omegaconf.listconfig", "ListConfig", object),
        ("easydict", "EasyDict", dict),
        ("addict.addict", "Dict", dict),
        ("mmengine.config.config", "ConfigDict", dict),
        ("mmengine.logging.history_buffer", "HistoryBuffer", object),
        ("pytorch_lightning.utilities.parsing", "AttributeDict", dict),
    ],
)
def test_config_nodes_beside_the_tensors_are_passed_over(tmp_path, monkeypatch, reference, module, name, base):
    with monkeypatch.context() as patch:
        node = foreign_class(patch, module, name, base)()
        if base is dict:
            node["MODEL"] = {"NAME": "vit"}
        node.frozen = True
        torch.save({"state_dict": PLAIN, "cfg": node}, tmp_path / "weights.pth")
    model, report = load_checkpoint(tmp_path / "weights.pth")  # The module no longer exists.
    assert weights_fingerprint(model) == reference
    assert f"{module}.{name}" in report.aside


def test_settings_beside_the_tensors_run_no_code(tmp_path):
    hidden = argparse.Namespace(path=TouchOnLoad(tmp_path / "ran"))
    message = refusal({"model": PLAIN, "args": hidden}, tmp_path)
    assert "Python objects besides tensors (never executed): builtins.getattr" in message
    assert not (tmp_path / "ran").exists()


def test_a_function_named_like_a_setting_is_not_called(tmp_path, reference):
    """A placeholder replaces a function that a pickle calls under an allowed name."""
    assert weights_fingerprint(load({"model": PLAIN, "args": FailingCall()}, tmp_path)[0]) == reference


class FailingCall:
    """An object whose pickle calls operator.getitem, which would raise an error."""

    def __reduce__(self):
        return operator.getitem, ({}, "missing")


def test_a_refused_object_is_named(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        torch.save(
            {"model": PLAIN, "x": foreign_class(patch, "project.engine", "Runner", object)()}, tmp_path / "a.pth"
        )
    with pytest.raises(
        CheckpointError, match=r"a\.pth contains Python objects .*: project\.engine\.Runner\. Save the weights"
    ):
        load_checkpoint(tmp_path / "a.pth")


def test_a_whole_model_is_refused_as_such(tmp_path):
    assert "contains a whole model instead of its tensors" in refusal(torch.nn.Linear(2, 2), tmp_path)


def test_a_torchscript_archive_is_refused_as_such(tmp_path):
    with zipfile.ZipFile(tmp_path / "script.pt", "w") as archive:
        for name in ("data.pkl", "constants.pkl"):
            archive.writestr(f"script/{name}", pickle.dumps((), 2))
    with pytest.raises(CheckpointError, match=r"script\.pt is a TorchScript archive"):
        load_checkpoint(tmp_path / "script.pt")


@pytest.mark.parametrize(
    "prefix",
    ["_orig_mod.", "model.", "net.", "module.", "model.module.", "module._orig_mod.", "_orig_mod.model.net.", "reid."],
)
def test_prefixes_in_any_order_are_removed(tmp_path, reference, prefix):
    model, report = load({prefix + name: each for name, each in PLAIN.items()}, tmp_path)
    assert weights_fingerprint(model) == reference
    assert (report.source, report.loaded) == (Source.TRANSREID, len(PLAIN))


def test_a_prefix_inside_the_names_is_removed(tmp_path, reference):
    weights = {name.replace("base.", "base._orig_mod."): each for name, each in PLAIN.items()}
    assert weights_fingerprint(load(weights, tmp_path)[0]) == reference


@pytest.mark.parametrize("prefix", ["model.", ""])
@pytest.mark.parametrize("name", ["center_loss.centers", "criterion.weight", "loss_fn.log_vars", "triplet.margin"])
def test_losses_and_centres_are_excluded_and_listed(tmp_path, reference, prefix, name):
    weights = {prefix + key: each for key, each in PLAIN.items()} | {name: torch.zeros(20, WIDTH)}
    model, report = load({"state_dict": weights, "hyper_parameters": {}}, tmp_path)
    assert weights_fingerprint(model) == reference
    assert report.aside == f"{name.rpartition('.')[0]}: 1 key; hyper_parameters"


@pytest.mark.parametrize(
    "container", ["state_dict", "model", "model_state_dict", "net", "my_weights", "state_dict_ema"]
)
def test_usual_containers_are_opened(tmp_path, reference, container):
    optimizer = {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 0.1}]}
    content = {"epoch": 3, container: PLAIN} | ({"optimizer": optimizer} if container != "my_weights" else {})
    model, report = load(content, tmp_path)
    assert weights_fingerprint(model) == reference
    assert report.aside.startswith("epoch")


def test_numbers_among_the_tensors_are_passed_over(tmp_path, reference):
    model, report = load({**PLAIN, "epoch": 3}, tmp_path)
    assert weights_fingerprint(model) == reference
    assert report.aside == "epoch"


def test_two_models_in_one_file_are_refused_by_name(tmp_path):
    both = {f"{who}.{name}": each for who in ("student", "teacher") for name, each in PLAIN.items()}
    assert "contains 2 models, whose names begin with 'student.', 'teacher.'" in refusal(both, tmp_path)


def test_half_precision_with_half_counters_is_read(tmp_path):
    model, report = load({name: each.half() for name, each in PLAIN.items()}, tmp_path)
    assert model.bottleneck.num_batches_tracked.dtype == torch.int64
    assert {each.dtype for each in model.parameters()} == {torch.float32}
    assert any("counters of batch normalisation" in text for text in report.adapted)


def test_absent_counters_are_set_to_0(tmp_path, reference):
    weights = {name: each for name, each in PLAIN.items() if "num_batches_tracked" not in name}
    model, report = load(weights, tmp_path)
    assert weights_fingerprint(model) == reference
    assert any("counters of batch normalisation" in text for text in report.adapted)


def test_a_classifier_that_is_cut_off_is_reported_as_untrained(tmp_path):
    model, report = load({name: each for name, each in PLAIN.items() if "classifier" not in name}, tmp_path)
    assert report.fresh == "rec_bottleneck: 5 keys, classifier: 1 key, rec_classifier: 1 key"
    assert torch.equal(model.bottleneck.weight, PLAIN["bottleneck.weight"])
    assert report.architecture["identities"] == "unknown (no classifier)"


def test_a_missing_bnneck_is_refused(tmp_path):
    weights = {name: each for name, each in PLAIN.items() if not name.startswith("bottleneck")}
    assert "bottleneck.weight is missing" in refusal(weights, tmp_path)


@pytest.mark.parametrize(
    ("positions", "size", "stride"),
    [(24 * 12, (384, 192), 16), (18 * 9, (288, 144), 16), (18 * 9, (256, 128), 14), (16 * 12, (256, 192), 16)],
)
def test_a_stated_size_and_stride_are_used(tmp_path, positions, size, stride):
    model, report = load(transreid_weights(positions), tmp_path, image_size=size, stride=stride)
    assert (report.config.image_size, report.config.stride, report.resized) == (size, stride, None)
    assert model.encoder.position.shape == (1, positions + 1, WIDTH)
    assert not any("image size" in text for text in report.assumed)


def test_a_stated_size_determines_the_stride(tmp_path):
    _, report = load(transreid_weights(18 * 9), tmp_path, image_size=(288, 144))
    assert report.config.stride == 16
    assert any("image size 288x144 and stride 16" in text for text in report.assumed)


@pytest.mark.parametrize(
    ("positions", "answers"),
    [(18 * 9, "288x144 at stride 16, 256x128 at stride 14"), (24 * 8, "384x128 at stride 16, 256x192 at stride 16")],
)
def test_several_fitting_sizes_are_listed_in_the_error(tmp_path, positions, answers):
    message = refusal(transreid_weights(positions), tmp_path)
    assert message.startswith(f"the {positions} position embeddings fit {answers}")
    assert "--image-size" in message
    assert "--stride" in message


def test_positions_that_fit_no_usual_size_are_refused(tmp_path):
    message = refusal(transreid_weights(7 * 13), tmp_path)
    assert message.startswith("the 91 position embeddings fit no usual image size and stride; state those")


def test_a_stated_size_that_does_not_fit_is_refused(tmp_path):
    message = refusal(PLAIN, tmp_path, image_size=(384, 128), stride=16)
    assert message.startswith("384x128 pixels at stride 16 make 24 x 8 = 192 positions, but the file has 128")


def test_assumptions_are_always_printed(tmp_path):
    _, report = load(PLAIN, tmp_path)
    text = str(report)
    for part in ("image size 256 x 128", "patch size 16", "stride 16", "width 192", "heads 3", "cameras 6"):
        assert part in text
    assert "assumed: image size 256x128 and stride 16" in text
    assert "assumed: 3 heads (the usual number for width 192); --heads sets another number" in text
    assert "assumed: exact GELU and an epsilon of 1e-06 in the norms" in text


def test_assumed_functions_are_those_of_the_model_and_are_stated(tmp_path):
    model, report = load(PLAIN, tmp_path)
    assert assumed_functions(report.config.vit) in report.assumed
    block = model.encoder.blocks[0]
    assert isinstance(block.mlp.act, torch.nn.GELU)
    assert block.mlp.act.approximate == "none"
    assert {each.eps for each in model.encoder.modules() if isinstance(each, torch.nn.LayerNorm)} == {1e-6}
    save_checkpoint(model, tmp_path / "own.safetensors")
    own = load_checkpoint(tmp_path / "own.safetensors")[1]
    assert own.assumed == ()
    with_config = load_checkpoint(report.path, config=report.config)[1]
    assert with_config.assumed == (assumed_functions(report.config.vit),)


def test_heads_can_be_stated(tmp_path):
    _, report = load(PLAIN, tmp_path, heads=6)
    assert report.config.heads == 6
    assert not any("heads" in text for text in report.assumed)
    assert "width 192 is not a multiple of heads 5" in refusal(PLAIN, tmp_path, heads=5)


def test_an_unusual_width_is_read_with_stated_heads(tmp_path):
    vit = VisionTransformer(img_size=(256, 128), embed_dim=40, depth=5, num_heads=4, num_classes=0)
    assert "--heads" in refusal(vit.state_dict(), tmp_path)
    _, report = load(vit.state_dict(), tmp_path, heads=4)
    assert (report.config.width, report.config.depth, report.config.heads) == (40, 5, 4)


@pytest.mark.parametrize("option", [{"init_values": 1e-5}, {"qkv_bias": False}], ids=["layer scale", "no qkv bias"])
def test_layer_scale_and_absent_biases_compute_the_same_as_timm(tmp_path, option):
    torch.manual_seed(3)
    vit = VisionTransformer(img_size=(256, 128), embed_dim=WIDTH, depth=12, num_heads=3, num_classes=0, **option).eval()
    with torch.no_grad():
        for name, each in vit.named_parameters():
            if name.endswith("gamma"):
                each.uniform_(0.1, 1.0)
    model, report = load(vit.state_dict(), tmp_path)
    images = torch.randn(2, 3, 256, 128)
    with torch.inference_mode():
        token = model.global_token(model.encode(images, None, PruneSettings(1.0)).tokens)
        torch.testing.assert_close(token, vit.forward_features(images)[:, 0], atol=1e-5, rtol=1e-5)
    assert any(("layer scale" in text) or ("biases of queries" in text) for text in report.adapted)


def test_layer_scale_of_transreid_is_read(tmp_path):
    scales = {f"base.blocks.{i}.ls{n}.gamma": torch.full((WIDTH,), 0.5) for i in range(BLOCKS) for n in (1, 2)}
    model, _ = load(PLAIN | scales, tmp_path)
    assert torch.equal(model.encoder.blocks[0].mlp.fc2.weight, 0.5 * PLAIN["base.blocks.0.mlp.fc2.weight"])
    assert torch.equal(model.decoder.block.attn.proj.bias, 0.5 * PLAIN["base.blocks.11.attn.proj.bias"])


def test_a_layer_that_the_model_does_not_have_is_named_first(tmp_path):
    norms = {f"blocks.{i}.attn.q_norm.weight": torch.ones(64) for i in range(BLOCKS)}
    message = refusal(plain_weights() | norms, tmp_path)
    assert "blocks.0.attn.q_norm.weight is not part of this model" in message


def test_a_convolutional_stem_is_named(tmp_path):
    message = refusal(conv_stem_weights(), tmp_path)
    assert message.startswith("base.patch_embed.conv.0.weight")
    assert "convolutional stem" in message


def test_the_mean_camera_replaces_the_camera_embeddings(tmp_path):
    (model, _), (mean, report) = load(PLAIN, tmp_path), load(PLAIN, tmp_path, mean_camera=True)
    images, prune = torch.randn(2, 3, 256, 128), PruneSettings(1.0)
    with torch.inference_mode():
        expected = model.encode(images, None, prune).tokens
        torch.testing.assert_close(mean.encode(images, None, prune).tokens, expected, atol=1e-5, rtol=1e-5)
    assert mean.config.cameras == 0
    assert "every image gets the mean of the 6 camera embeddings" in report.adapted
    save_checkpoint(model, tmp_path / "own.safetensors")
    own, _ = load_checkpoint(tmp_path / "own.safetensors", mean_camera=True)
    assert torch.equal(own.encoder.position, mean.encoder.position)


def test_notes_name_the_parts_on_which_rankings_depend(tmp_path):
    (note,) = load(PLAIN, tmp_path)[1].notes
    assert "rec_bottleneck is untrained and the decoder is a copy of the last block" in note
    (note,) = load(plain_weights(), tmp_path)[1].notes
    assert "bottleneck and rec_bottleneck are untrained and the decoder is a copy" in note
    save_checkpoint(load(PLAIN, tmp_path)[0], tmp_path / "own.safetensors")
    assert load_checkpoint(tmp_path / "own.safetensors")[1].notes == ()


def test_a_file_without_permission_is_reported_as_such(tmp_path, monkeypatch):
    torch.save(PLAIN, tmp_path / "weights.pth")

    def deny(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("fpc_core.model.weight_files.open_regular", deny)
    with pytest.raises(CheckpointError, match=r"no permission to read .*weights\.pth; change the permissions"):
        load_checkpoint(tmp_path / "weights.pth")


def test_mappings_that_contain_each_other_are_searched_once(tmp_path):
    rings = [{} for _ in range(300)]
    for ring in rings:
        ring.update(enumerate(rings))
    (tmp_path / "ring.pth").write_bytes(pickle.dumps({"a": rings[0], "b": rings[1]}, 2))
    torch.save({"a": rings[0], "b": rings[1]}, tmp_path / "ring.pth")
    with pytest.raises(CheckpointError):
        load_checkpoint(tmp_path / "ring.pth")

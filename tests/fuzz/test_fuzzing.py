"""A short run of `tests.fuzz.fuzzing`, and one test for each error that the long run has found.

The long run: python -m tests.fuzz.fuzzing
"""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections import OrderedDict
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from app.session.view import read_view
from fpc_core.config import QuerySettings, TransportSettings
from fpc_core.data.datasets import DatasetError, open_dataset
from fpc_core.data.images import decode_image
from fpc_core.evaluation.paper_tables.score_recipe import ScoreRecipe
from fpc_core.io.dataclass_json import RecipeError
from fpc_core.model.checkpoint import FORMAT, CheckpointError, load_checkpoint, save_checkpoint
from fpc_core.model.families import Source
from fpc_core.model.fpc import FPC
from fpc_core.model.pickle_scan import MAX_NAME, HarmfulPickleError, check_pickles
from fpc_core.model.weight_files import _BoundedReader
from tests.fuzz import fuzzing, hostile_weights
from tests.fuzz.hostile_images import encoded
from tests.fuzz.hostile_weights import INFERABLE, SMALL, named_as
from tests.support import fuzz_canary

QUICK = {"images": 700, "checkpoints": 250, "recipes": 1000, "links": 1500, "labels": 300, "names": 300}


@pytest.mark.parametrize("target", QUICK)
def test_hostile_input_is_refused_with_a_message_or_valid(target, tmp_path):
    accepted = 0
    for number in range(QUICK[target]):
        value = fuzzing.make_input(target, 2, number)
        try:
            accepted += fuzzing.feed(target, value, tmp_path)
        except Exception as error:
            raise AssertionError(f"python -m tests.fuzz.fuzzing --targets {target} --seed 2 --only {number}") from error
    assert 0 < accepted < QUICK[target]  # If the target refused all inputs or none, the test would prove little.


def test_the_same_seed_makes_the_same_input():
    for target in QUICK:
        first = [fuzzing.make_input(target, 0, number) for number in range(40)]
        for files in (hostile_weights.whole_files, hostile_weights.named_as, hostile_weights._state):
            files.cache_clear()  # As in another process, in which time, addresses and hash seed differ.
        assert [fuzzing.make_input(target, 0, number) for number in range(40)] == first
        assert first[7] != first[8]


def test_any_failure_is_found_and_the_run_continues():
    """The target in tests/support/fuzz_canary.py fails, hangs, aborts or allocates much memory at certain inputs."""
    result = fuzzing.fuzz("planted", 12, seconds=1.0, memory=fuzz_canary.MEMORY, module="tests.support.fuzz_canary")
    found = {each.number: each.cause for each in result.findings}
    assert set(found) == {2, 4, 6, 8}
    assert found[2].startswith("KeyError in fuzz_canary.py")
    assert found[4] == "longer than 1 s"
    assert found[6] == "killed by SIGABRT"
    assert found[8] == "more than 64 MB"
    assert result.peak[0] > fuzz_canary.MEMORY
    assert result.accepted == 12 - 3 - 1  # Three inputs fail and one is refused.


def test_a_model_without_cameras_is_loaded_from_its_own_file(tmp_path):
    """The camera embedding has no elements, and safetensors does not list empty tensors."""
    config = replace(SMALL, cameras=0)
    save_checkpoint(FPC(config).eval(), tmp_path / "model.safetensors")
    model, report = load_checkpoint(tmp_path / "model.safetensors")
    assert (model.config, report.fresh) == (config, "")
    assert model.to("cpu").encoder.camera.shape == (0, 1, SMALL.width)


def test_released_weights_without_cameras_are_complete(tmp_path):
    """The empty camera embedding used to stay on the meta device, so the model could not be moved."""
    config = replace(SMALL, cameras=0)
    tensors = named_as(Source.RELEASED, config)
    torch.save(tensors, tmp_path / "released.pth")
    model, _ = load_checkpoint(tmp_path / "released.pth", config=config)
    assert not any(tensor.is_meta for tensor in model.state_dict().values())


def test_a_container_that_contains_itself_is_refused(tmp_path):
    content: OrderedDict[str, object] = OrderedDict()
    content["model"] = content
    torch.save(content, tmp_path / "ring.pth")
    with pytest.raises(CheckpointError, match=r"not contain a dictionary of tensors \(model\)"):
        load_checkpoint(tmp_path / "ring.pth")


def test_nested_tuple_references_are_refused_before_they_are_printed(tmp_path):
    """The reader of torch formats a refused function for its message: here 2^40 tuples from a few hundred bytes."""
    twice = b"(h\x01h\x01tq\x01"
    data = b"\x80\x02]q\x01" + 40 * twice + b"h\x01)R."
    (tmp_path / "nested.pth").write_bytes(data)
    with pytest.raises(CheckpointError, match="nested objects"):
        load_checkpoint(tmp_path / "nested.pth")
    with zipfile.ZipFile(tmp_path / "nested.zip", "w") as archive:
        archive.writestr("archive/data.pkl", data)
        archive.writestr("archive/version", "3")
    with pytest.raises(CheckpointError, match="nested objects"):
        load_checkpoint(tmp_path / "nested.zip")


def test_a_long_number_repeated_in_tuples_is_refused_before_printing(tmp_path):
    """Input 7924 of the long run: 2^18 numbers of 600 digits in 400 bytes took three minutes to print."""
    data = b"\x80\x02\x8a\xff" + bytes(254) + b"\x01q\x01" + 18 * b"(h\x01h\x01tq\x01" + b"."
    (tmp_path / "long.pth").write_bytes(data)
    with pytest.raises(
        CheckpointError, match=r"long\.pth contains nested objects that would expand to more than 10,000,000 characters"
    ):
        load_checkpoint(tmp_path / "long.pth")


@pytest.mark.parametrize(
    ("program", "result"),
    [
        (
            b"X" + (3_000_000).to_bytes(4, "little") + 3_000_000 * b"a" + b")R.",
            "is not a checkpoint, is truncated, or contains Python objects",
        ),
        (
            b"X" + (3_000_000).to_bytes(4, "little") + 3_000_000 * b"a" + b")\x81.",
            "is not a checkpoint, is truncated, or contains Python objects",
        ),
        (
            b"c" + 3_000_000 * b"a" + b"\nb\n.",
            r"imports a name of 3,000,002 characters \(the limit is 200\); use an FPC checkpoint",
        ),
    ],
    ids=["called", "created", "imported"],
)
def test_a_long_text_that_torch_would_print_is_refused(tmp_path, program, result):
    """The time in which torch searches its own message grows with the square of the longest word."""
    (tmp_path / "word.pth").write_bytes(b"\x80\x02" + program)
    with pytest.raises(CheckpointError, match=rf"word\.pth {result}"):
        load_checkpoint(tmp_path / "word.pth")


def test_repeated_parts_of_a_pickle_count_each_time_by_their_length():
    shared = ("a", "b")
    for value, size in ((shared, 5), ([shared, shared], 11), ({"k": [1, 2]}, 6), ("text", 5), (2**300, 101)):
        for protocol in (0, 2, 4):
            data = pickle.dumps(value, protocol)
            check_pickles(io.BytesIO(data), max_size=size)
            with pytest.raises(HarmfulPickleError, match="nested objects"):
                check_pickles(io.BytesIO(data), max_size=size - 1)
    with pytest.raises(IndexError):
        check_pickles(io.BytesIO(b"\x80\x02tt."))


def test_imports_may_have_names_of_normal_length():
    check_pickles(io.BytesIO(b"\x80\x02ccollections\nOrderedDict\nq\x01)R0h\x01)R."))
    check_pickles(io.BytesIO(b"\x80\x02ca\n" + (MAX_NAME - 2) * b"b" + b"\n)R."))


def test_a_number_in_place_of_a_classifier_is_refused(tmp_path):
    tensors = dict(named_as(Source.RELEASED, SMALL))
    tensors["classifier.weight" if "classifier.weight" in tensors else "b2.1.weight"] = torch.tensor(1.0)
    torch.save(tensors, tmp_path / "odd.pth")
    with pytest.raises(CheckpointError):
        load_checkpoint(tmp_path / "odd.pth", config=SMALL)


def test_a_pickle_that_claims_gigabytes_of_text_takes_no_ram(tmp_path):
    data = b"\x80\x02X\xff\xff\xff\x7fabc."
    (tmp_path / "long.pth").write_bytes(data)
    with _BoundedReader(tmp_path / "long.pth") as file:
        assert file.read(2**62) == data  # A buffer of this size cannot be allocated.
        assert file.read(2**62) == b""
    with pytest.raises(CheckpointError, match="is not a checkpoint"):
        load_checkpoint(tmp_path / "long.pth")


@pytest.mark.parametrize(
    "tensor",
    [torch.zeros(()), torch.zeros(0), torch.zeros(1, 1, 1, 1, 1), torch.zeros(1, 129, 5)],
    ids=["no axis", "nothing", "five axes", "another width"],
)
@pytest.mark.parametrize(
    "names", [("cls_token",), ("pos_embed",), ("patch_embed.proj.weight",), ("pos_embed", "dist_token")]
)
def test_tensors_that_set_the_architecture_need_the_right_shape(tmp_path, names, tensor):
    torch.save({**named_as(Source.TIMM, INFERABLE), **dict.fromkeys(names, tensor)}, tmp_path / "odd.pth")
    with pytest.raises(CheckpointError):
        load_checkpoint(tmp_path / "odd.pth")


@pytest.mark.parametrize("kind", [torch.int64, torch.bool])
def test_whole_numbers_in_place_of_fractions_are_refused(tmp_path, kind):
    tensors = dict(named_as(Source.RELEASED, SMALL))
    tensors["base.cls_token"] = tensors["base.cls_token"].to(kind)
    torch.save(tensors, tmp_path / "odd.pth")
    with pytest.raises(CheckpointError, match=r"dtype mismatch \(integer vs\. floating point\) in encoder.cls_token"):
        load_checkpoint(tmp_path / "odd.pth", config=SMALL)


def test_values_that_float32_cannot_hold_are_refused(tmp_path):
    tensors = dict(named_as(Source.RELEASED, SMALL))
    tensors["base.cls_token"] = torch.full_like(tensors["base.cls_token"], 1e300, dtype=torch.float64)
    torch.save(tensors, tmp_path / "odd.pth")
    with pytest.raises(CheckpointError, match=r"NaN or Inf in encoder.cls_token"):
        load_checkpoint(tmp_path / "odd.pth", config=SMALL)


@pytest.mark.parametrize(
    "change",
    [
        {"heads": 0},
        {"heads": -2},
        {"width": 0},
        {"patch_size": 0},
        {"stride": 0},
        {"cameras": -1},
        {"identities": 0},
        {"mlp_ratio": "wide"},
        {"mlp_ratio": float("nan")},
        {"mlp_ratio": -1.0},
        {"std": [0.5, 0.0, 0.5]},
        {"mean": [0.5]},
        {"camera_factor": float("inf")},
        {"image_size": [1 << 30, 1 << 30], "stride": 1 << 30},
        {"width": 1 << 60, "heads": 1},
        {"cameras": 1 << 80},
        {"depth": True},
        {"image_size": None},
    ],
    ids=str,
)
def test_an_invalid_model_config_is_refused(tmp_path, change):
    state = {name: tensor.contiguous() for name, tensor in FPC(SMALL).state_dict().items()}
    metadata = {"format": FORMAT, "config": json.dumps({**asdict(SMALL), **change})}
    save_file(state, tmp_path / "odd.safetensors", metadata=metadata)
    with pytest.raises(CheckpointError):
        load_checkpoint(tmp_path / "odd.safetensors")


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000], ids=["lists", "objects"])
def test_descriptions_nested_deeper_than_any_stack_are_refused(tmp_path, text):
    metadata = {"format": FORMAT, "config": text}
    save_file({"encoder.cls_token": torch.zeros(1)}, tmp_path / "deep.safetensors", metadata=metadata)
    with pytest.raises(CheckpointError, match=r"config in .* is invalid"):
        load_checkpoint(tmp_path / "deep.safetensors")
    (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(DatasetError, match="is not valid JSON"):
        open_dataset(tmp_path)


def test_safetensors_of_our_format_without_a_config_are_refused(tmp_path):
    save_file({"encoder.cls_token": torch.zeros(1)}, tmp_path / "bare.safetensors", metadata={"format": FORMAT})
    with pytest.raises(CheckpointError, match=r"config in .* is invalid"):
        load_checkpoint(tmp_path / "bare.safetensors")


@pytest.mark.parametrize("number", ["9" * 25, "٣", "9" * 200], ids=["25 digits", "Arabic", "200 digits"])
def test_names_with_numbers_too_large_for_an_array_are_skipped(tmp_path, number):
    for folder in ("query", "bounding_box_test"):
        (tmp_path / folder).mkdir()
        for name in ("0001_c1_f1.png", f"{number}_c1_f2.png", f"0002_c{number}_f3.png"):
            (tmp_path / folder / name).touch()
    dataset = open_dataset(tmp_path)
    assert [record.identity for record in dataset.gallery] == [1]
    assert len(dataset.skipped) == 4


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0, 0.0])
@pytest.mark.parametrize("name", ["epsilon", "tolerance"])
def test_a_solver_refuses_values_that_are_not_numbers(name, value):
    with pytest.raises(ValueError, match=rf"{name} must be in \["):
        TransportSettings(**{name: value})
    content = json.loads(ScoreRecipe().to_json())
    content["settings"]["transport"][name] = value
    with pytest.raises(RecipeError, match=name):
        ScoreRecipe.from_json(json.dumps(content))


def test_a_row_of_thousands_of_digits_in_a_link_is_refused():
    view, problems = read_view({"neighbor": "9" * 5000, "rival": "²"}, 128, 32)
    assert (view.neighbor, view.rival, len(problems)) == (None, None, 2)
    assert view.settings == QuerySettings()


@pytest.mark.parametrize("mode", ["RGBA", "P", "LA", "CMYK", "I;16"])
def test_conversion_in_several_bands_equals_conversion_in_one(monkeypatch, mode):
    rng = np.random.default_rng(1)
    grey = mode == "I;16"
    pixels = rng.integers(0, 1 << 16 if grey else 256, (40, 24) if grey else (40, 24, 3))
    image = Image.fromarray(pixels.astype(np.uint16 if grey else np.uint8))
    data = encoded(image if grey else image.convert(mode), "TIFF" if mode == "CMYK" else "PNG")
    whole = decode_image(data)
    monkeypatch.setattr("fpc_core.data.images._BAND", 24 * 7)
    np.testing.assert_array_equal(decode_image(data), whole)

import math
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fpc_core.config import ModelConfig, PruneSettings, Solver, TransportSettings, Variant
from fpc_core.data.datasets import DatasetError, open_dataset
from fpc_core.data.images import normalise, resize_image, to_tensor
from fpc_core.matching.transport import ground_cost, marginals, solve
from fpc_core.model.checkpoint import load_checkpoint, save_checkpoint
from fpc_core.model.decoder import decoder_input
from fpc_core.model.fpc import FPC
from fpc_core.results import DropStage
from fpc_core.training.batches import (
    augment,
    augment_masks,
    choose_neighbors,
    load_person_masks,
    load_training_images,
    most_similar_classes,
    sample_identities,
    training_config,
)
from fpc_core.training.loop import _schedule, freeze, train
from fpc_core.training.losses import (
    PATCH_SCALE,
    guidance,
    identity_and_triplet,
    patch_triplet,
    relaxed_transport,
    soft_triplet,
)
from fpc_core.training.settings import Progress, TrainSettings
from fpc_core.training.stages import StageLoss, TrainingMemory, encode_memory, start_from_class_means
from fpc_core.training.state import LOG, STATE, WEIGHTS, append_log, cut_log
from tests.support.small_workspace import paint
from tests.support.two_processes import one_run

CONFIG = ModelConfig(stride=32, width=32, heads=4, depth=4, token_blocks=3, cameras=4, identities=1)
QUICK = TrainSettings(
    holistic_steps=6,
    fpc_steps=4,
    identities=3,
    images=2,
    neighbors=3,
    refresh=2,
    drop_path=0.1,
    blocks=(1,),
    checkpoint_minutes=99,
)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    root = tmp_path_factory.mktemp("train")
    for folder in ("query", "bounding_box_test", "bounding_box_train"):
        (root / folder).mkdir()
    for identity in range(1, 5):
        for camera in range(1, 5):
            paint(identity, camera).save(root / "bounding_box_train" / f"{identity:04d}_c{camera}_f0000001.png")
    for folder, camera in (("query", 1), ("bounding_box_test", 2)):
        Image.new("RGB", (128, 256)).save(root / folder / f"0009_c{camera}_f0000001.png")
    return open_dataset(root)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Threads do not speed up a model of width 32, and wait for each other on shared cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_triplet_takes_the_hardest_pairs():
    features = torch.tensor([[0.0], [3.0], [4.0], [9.0]])
    identities = torch.tensor([0, 0, 1, 1])
    # d_ap: 3 3 5 5; d_an: 4 1 1 6
    expected = torch.nn.functional.softplus(torch.tensor([-1.0, 2.0, 4.0, -1.0])).mean()
    assert soft_triplet(features, identities) == pytest.approx(float(expected))
    with pytest.raises(ValueError, match="two identities"):
        soft_triplet(features, torch.zeros(4))


def test_gradients_of_the_losses_are_those_of_finite_differences():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(6, 3, dtype=torch.float64, generator=generator).requires_grad_()
    logits = torch.randn(6, 3, dtype=torch.float64, generator=generator).requires_grad_()
    identities = torch.tensor([0, 0, 1, 1, 2, 2])
    assert torch.autograd.gradcheck(soft_triplet, (features, identities))
    assert torch.autograd.gradcheck(identity_and_triplet, (logits, features, identities))


def test_relaxed_transport_is_below_the_exact_distance_and_zero_to_itself():
    generator = torch.Generator().manual_seed(0)
    cls, patches = torch.randn(4, 8, generator=generator), torch.randn(4, 5, 8, generator=generator)
    cls += 2  # Most patches agree with the [cls] tokens, as in a trained model.
    patches += 2
    relaxed = relaxed_transport(cls, patches)
    for row in range(4):
        sides = marginals(cls[row], patches[row], cls, patches, Variant.RELEASED)
        exact = solve(ground_cost(patches[row], patches), *sides, TransportSettings(Solver.EXACT)).distance
        assert (relaxed[row].numpy() <= exact + 1e-6).all()
        assert float(relaxed[row].max()) > 0.5 * float(exact.max())
    assert relaxed.diagonal().numpy() == pytest.approx(np.zeros(4), abs=1e-6)
    assert torch.equal(relaxed, relaxed.T)


def test_images_without_agreement_are_far_apart():
    cls = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    patches = torch.tensor([[[1.0, 0.1], [1.0, -0.1]], [[-1.0, 0.1], [-1.0, -0.1]]])
    assert relaxed_transport(cls, patches).flatten().tolist() == pytest.approx([0.0, 1.0, 1.0, 0.0], abs=1e-6)


def test_patch_triplet_takes_the_hardest_pairs_of_relaxed_distances():
    generator = torch.Generator().manual_seed(1)
    cls, patches = torch.randn(4, 8, generator=generator), torch.randn(4, 5, 8, generator=generator)
    distance = PATCH_SCALE * relaxed_transport(cls, patches)
    hardest = [distance[row, row ^ 1] - distance[row, [2, 3] if row < 2 else [0, 1]].min() for row in range(4)]
    expected = torch.nn.functional.softplus(torch.stack(hardest)).mean()
    assert float(patch_triplet(cls, patches, torch.tensor([0, 0, 1, 1]))) == pytest.approx(float(expected))


def test_frozen_blocks_keep_the_initial_weights(dataset, tmp_path):
    config = training_config(dataset, CONFIG)
    torch.manual_seed(5)
    init = FPC(config)
    trained = train(dataset, config, replace(QUICK, frozen_blocks=2), tmp_path, init=init)
    before, after = init.encoder.state_dict(), trained.encoder.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(name.startswith("blocks.2.") for name in changed)


def test_frozen_blocks_need_initial_weights(dataset, tmp_path):
    with pytest.raises(ValueError, match="frozen_blocks needs initial weights; pass a checkpoint with --init"):
        train(dataset, CONFIG, replace(QUICK, frozen_blocks=2), tmp_path)


def test_a_run_of_an_earlier_version_is_resumed(dataset, tmp_path):
    config = training_config(dataset, CONFIG)
    whole = train(dataset, config, QUICK, tmp_path / "whole")
    train(dataset, config, QUICK, tmp_path / "old", stop_after=5)
    content = torch.load(tmp_path / "old" / STATE, weights_only=True)
    for name in ("look_alikes", "frozen_blocks", "class_means", "patch_loss"):
        del content["settings"][name]
    torch.save(content, tmp_path / "old" / STATE)
    resumed = train(dataset, config, QUICK, tmp_path / "old")
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True))


def test_more_frozen_blocks_than_the_model_has_are_refused():
    model = FPC(CONFIG)
    freeze(model, 4)
    assert not any(each.requires_grad for part in (model.encoder, model.head.blocks) for each in part.parameters())
    with pytest.raises(ValueError, match="frozen_blocks is 5, but the model has only 4 blocks"):
        freeze(model, 5)


def test_class_means_classify_most_training_images(dataset):
    torch.manual_seed(0)
    images = load_training_images(dataset, CONFIG)
    model = FPC(training_config(dataset, CONFIG)).train()
    memory = encode_memory(model, images, QUICK)
    start_from_class_means(model, memory, images.labels)
    model.eval()
    tokens = torch.cat([memory.cls[:, None], memory.tokens.float()], dim=1)
    with torch.no_grad():
        logits = model.classifier(model.global_feature(tokens))
    own = logits[torch.arange(len(logits)), images.labels]
    assert float(own.mean()) == pytest.approx(15.0, rel=1e-3)
    assert torch.equal(model.classifier.weight, model.rec_classifier.weight)
    norms = model.classifier.weight.detach().norm(dim=1)
    assert float(norms.max()) == pytest.approx(float(norms.min()), rel=1e-5)


def test_guidance_is_the_cross_entropy_of_attention_and_person():
    entered = torch.tensor([[2, 0], [1, 0]])
    stage = DropStage(3, entered, torch.tensor([[0.2, 0.6], [0.1, 0.1]]), entered[:, :1])
    person = torch.tensor([[0.5, 0.0, 0.5], [0.0, 0.0, 1.0]])
    # First image: half and half against 1/4 and 3/4. Second: patch 2 was dropped, so nothing of the person is left.
    assert guidance([stage], person) == pytest.approx(-(math.log(1 / 4) + math.log(3 / 4)) / 2 / 2)
    assert guidance([stage, stage], person) == pytest.approx(float(guidance([stage], person)))


@pytest.mark.parametrize("stage", ["holistic", "fpc released", "fpc paper", "fpc guided", "fpc shared", "fpc patches"])
def test_gradients_of_both_stages_are_those_of_finite_differences(dataset, stage):
    """The derivative of the whole loss along a random direction of all weights, in float64."""
    torch.manual_seed(0)
    images = load_training_images(dataset, CONFIG)
    model = FPC(training_config(dataset, CONFIG)).double().train()
    for parameter in model.parameters():  # Leave the start, where the decoder's classifier is nearly constant.
        parameter.data += 0.05 * torch.randn_like(parameter)
    memory = None
    if stage != "holistic":
        size = (len(images.labels), CONFIG.patches, CONFIG.width)
        memory = TrainingMemory(torch.randn(size[0], size[2]), torch.randn(size))
    rows = torch.tensor([0, 1, 4, 5, 8, 9])
    pixels = normalise(images.pixels[rows], CONFIG).double()
    guided = stage == "fpc guided"
    settings = replace(
        QUICK,
        guide=2.0 if guided else 0.0,
        shared_space=stage == "fpc shared",
        patch_loss=2.0 if stage == "fpc patches" else 0.0,
    )
    loss = StageLoss(model, settings, images)
    person = (torch.rand(len(rows), 1, *CONFIG.image_size) > 0.7).byte() if guided else None

    def at(step: float) -> torch.Tensor:
        for parameter, start, direction in zip(parameters, starts, directions, strict=True):
            parameter.data = start + step * direction
        return loss(pixels, rows, 1 if stage == "fpc paper" else 0, memory, person)

    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    starts = [parameter.detach().clone() for parameter in parameters]
    directions = [torch.randn_like(parameter) for parameter in parameters]
    at(0.0).backward()
    slope = sum(
        float((parameter.grad * direction).sum())
        for parameter, direction in zip(parameters, directions, strict=True)
        if parameter.grad is not None
    )
    step = 1e-6
    change = (at(step) - at(-step)).detach()
    assert abs(slope) > 0.1
    assert float(change) / (2 * step) == pytest.approx(slope, rel=1e-5)


def test_a_batch_has_p_identities_of_k_images():
    labels = torch.tensor([0] * 5 + [1] * 3 + [2] * 4 + [3])
    generator = torch.Generator().manual_seed(0)
    rows = sample_identities(labels, 4, 4, generator)
    assert labels[rows].bincount().tolist() == [4, 4, 4, 4]
    assert len(set(rows[labels[rows] == 0].tolist())) == 4
    assert set(rows[labels[rows] == 3].tolist()) == {12}


def test_a_batch_groups_each_identity_with_those_most_like_it():
    weight = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.9, 0.1], [0.1, 0.9], [0.8, 0.3], [0.3, 0.8]])
    similar = most_similar_classes(weight, 2)
    assert [set(row) for row in similar.tolist()] == [{2, 4}, {3, 5}, {0, 4}, {1, 5}, {0, 2}, {1, 3}]
    labels = torch.arange(6).repeat_interleave(2)
    for seed in range(20):
        rows = sample_identities(labels, 3, 2, torch.Generator().manual_seed(seed), similar)
        assert set(labels[rows].tolist()) in ({0, 2, 4}, {1, 3, 5})
    every = sample_identities(labels, 6, 2, torch.Generator().manual_seed(0), similar)
    assert labels[every].bincount().tolist() == [2] * 6


def test_no_more_similar_classes_than_there_are_others():
    assert most_similar_classes(torch.eye(3), 10).shape == (3, 2)


def test_neighbours_exclude_the_image_and_its_camera():
    labels, cameras = torch.tensor([0, 0, 0, 1, 1, 2]), torch.tensor([0, 0, 1, 0, 1, 1])
    cls = torch.ones(6, 4)
    result = choose_neighbors(cls, labels, cameras, [0, 4], 4, cls[:2])
    assert set(result[0].tolist()) == {2, 3, 4, 5}
    assert 4 not in result[1].tolist()
    with pytest.raises(ValueError, match="fewer than K = 5; lower K"):
        choose_neighbors(cls, labels, cameras, [0], 5, cls[:1])


def test_augmentation_stays_in_range_and_follows_the_seed_of_each_image():
    pixels = torch.randint(0, 256, (5, 3, 64, 32), dtype=torch.uint8)
    seeds = torch.arange(5)
    first = augment(pixels, CONFIG, 1.0, seeds)
    assert first.abs().max() <= 1.151
    assert torch.equal(augment(pixels[3:4], CONFIG, 1.0, seeds[3:4])[0], first[3])
    assert not torch.equal(first, augment(pixels, CONFIG, 1.0, seeds + 1))


def test_images_in_training_are_normalised_as_those_of_a_search(dataset):
    config = replace(CONFIG, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    images = load_training_images(dataset, config)
    searched = to_tensor([resize_image(dataset.read(each), config.image_size) for each in dataset.train], config)
    assert torch.equal(normalise(images.pixels, config), searched)
    centre = (0, slice(None), 32, 16)
    white = torch.full((1, 3, 64, 32), 255, dtype=torch.uint8)
    exposure = augment(white, config, 0.0, torch.arange(1))[centre] / normalise(white, config)[centre]
    assert 0.85 <= exposure[0] <= 1.15
    torch.testing.assert_close(exposure, exposure[:1].expand(3))


def test_masks_are_augmented_like_their_images():
    """A white person on black: bright pixels are those that the mask marks as visible, except for noise."""
    masks = (torch.rand(6, 1, 64, 32, generator=torch.Generator().manual_seed(0)) > 0.5).byte()
    pixels, seeds = 255 * masks.expand(-1, 3, -1, -1), torch.arange(6)
    assert torch.equal(augment(pixels, CONFIG, 0.0, seeds)[:, :1] > 0, augment_masks(masks, 0.0, seeds) == 1)
    left = augment_masks(masks, 1.0, seeds)
    assert (left <= augment_masks(masks, 0.0, seeds)).all()
    seen = left == 1
    assert seen.any()
    assert torch.equal(
        augment(pixels, CONFIG, 1.0, seeds)[:, :1][seen], augment(pixels, CONFIG, 0.0, seeds)[:, :1][seen]
    )


def test_guide_needs_true_masks(dataset):
    with pytest.raises(DatasetError, match=r"no ground-truth mask of bounding_box_train.*without --guide"):
        load_person_masks(dataset, CONFIG)


@pytest.mark.parametrize("shared_space", [False, True])
def test_both_stages_overfit_a_tiny_set(dataset, tmp_path, shared_space):
    losses = {}
    settings = replace(
        QUICK,
        holistic_steps=120,
        fpc_steps=80,
        identities=4,
        images=4,
        learning_rate=3e-3,
        erase=0.0,
        drop_path=0.0,
        shared_space=shared_space,
    )

    def report(reports):
        losses.setdefault(reports.stage, []).append(reports.loss)

    model = train(dataset, CONFIG, settings, tmp_path, report=report)
    by_chance = math.log(4) + math.log(2)  # four identities guessed, positives as far away as negatives
    assert losses["holistic"][-1] < 0.2 * by_chance
    assert losses["fpc"][-1] < 0.2 * 2 * by_chance
    assert torch.equal(model.rec_classifier.weight, model.classifier.weight) == shared_space
    images = load_training_images(dataset, CONFIG)
    memory = encode_memory(model, images, settings)
    model.eval()
    with torch.inference_mode():
        pruned = model.encode(normalise(images.pixels, CONFIG), images.cameras, PruneSettings(0.8, blocks=(1,)))
        result = model.classifier(model.global_feature(pruned.tokens)).argmax(dim=1)
        near = choose_neighbors(memory.cls, images.labels, images.cameras, torch.arange(16), 3, pruned.cls)
        seen = decoder_input(
            pruned.cls, pruned.patches, memory.cls[near], memory.tokens[near].float(), Variant.RELEASED
        )
        consolidated = model.rec_classifier(model.rec_bottleneck(model.decoder(seen))).argmax(dim=1)
    assert torch.equal(result, images.labels)
    assert torch.equal(consolidated, images.labels)


def test_whole_steps_see_all_patches(dataset, tmp_path):
    def weights(folder, **changes):
        return train(dataset, CONFIG, replace(QUICK, **changes), tmp_path / folder).encoder.cls_token

    whole = weights("whole", whole_steps=QUICK.holistic_steps)
    assert torch.equal(whole, weights("all", patch_keep=1.0))
    assert not torch.equal(whole, weights("last", whole_steps=1))
    assert not torch.equal(weights("none"), weights("one", whole_steps=1))


def test_the_log_has_every_tenth_step(dataset, tmp_path):
    reports = []
    train(dataset, CONFIG, replace(QUICK, holistic_steps=20, fpc_steps=15), tmp_path, report=reports.append)
    lines = [line.split(",") for line in (tmp_path / LOG).read_text().splitlines()]
    assert lines[0] == ["step", "stage", "loss", "learning_rate", "seconds"]
    assert [(line[0], line[1]) for line in lines[1:]] == [
        ("10", "holistic"),
        ("20", "holistic"),
        ("30", "fpc"),
        ("35", "fpc"),
    ]
    assert [float(line[2]) for line in lines[1:]] == pytest.approx([each.loss for each in reports], abs=1e-4)
    assert reports[-1].eta == 0
    assert 0 < reports[0].eta < 60


def test_the_learning_rate_warms_up_and_follows_a_cosine():
    assert _schedule(0.04, 0.08) == pytest.approx(0.5)
    assert _schedule(0.08, 0.08) == pytest.approx(1.0)
    assert _schedule(0.54, 0.08) == pytest.approx(0.505)  # half-way down to 1 %
    assert _schedule(1.0, 0.08) == pytest.approx(0.01)


def test_the_same_seed_gives_the_same_weights_even_when_resumed(dataset, tmp_path):
    whole = train(dataset, CONFIG, QUICK, tmp_path / "whole")
    for stop in (4, 7, 9, None):  # before, between and after encodings of the memory, at steps 6 and 8
        resumed = train(dataset, CONFIG, QUICK, tmp_path / "parts", stop_after=stop)
    for name, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name
    logs = [(tmp_path / run / LOG).read_text().splitlines()[-1].rpartition(",")[0] for run in ("whole", "parts")]
    assert logs[0] == logs[1]
    other = train(dataset, CONFIG, replace(QUICK, seed=1), tmp_path / "other")
    assert not torch.equal(other.classifier.weight, whole.classifier.weight)


@pytest.mark.parametrize("damage", ["empty", "cut", "text", "another"])
def test_a_damaged_state_is_refused_with_the_fix(dataset, tmp_path, damage):
    train(dataset, CONFIG, QUICK, tmp_path, stop_after=1)
    path = tmp_path / STATE
    if damage == "another":
        torch.save([1], path)
    else:
        path.write_bytes({"empty": b"", "cut": path.read_bytes()[:5000], "text": b"nothing of the kind"}[damage])
    with pytest.raises(
        ValueError, match=r"state\.pt is damaged or not the state of a training run; choose another output folder"
    ):
        train(dataset, CONFIG, QUICK, tmp_path, stop_after=2)


@pytest.mark.parametrize("left", ["", "step,stage,loss,learning_rate,seconds\n", "step,stage,loss,learning_rate,sec"])
def test_a_truncated_log_is_continued_below_its_header(tmp_path, left):
    (tmp_path / LOG).write_text(left)
    cut_log(tmp_path, 20)
    append_log(tmp_path, Progress(30, "holistic", 2.0, 1e-3, 31.0, 0.0))
    lines = (tmp_path / LOG).read_text().splitlines()
    assert [line.split(",")[:3] for line in lines] == [["step", "stage", "loss"], ["30", "holistic", "2.0000"]]


def test_lost_steps_are_removed_from_the_log(tmp_path):
    for step in (10, 20, 30):
        append_log(tmp_path, Progress(step, "holistic", 1.0, 1e-3, float(step), 0.0))
    cut_log(tmp_path, 20)
    append_log(tmp_path, Progress(30, "holistic", 2.0, 1e-3, 31.0, 0.0))
    lines = (tmp_path / LOG).read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["step", "10", "20", "30"]
    assert lines[-1].split(",")[2] == "2.0000"


def test_a_run_resumes_only_with_the_same_settings(dataset, tmp_path):
    train(dataset, CONFIG, QUICK, tmp_path, stop_after=1)
    with pytest.raises(ValueError, match="other settings; choose another output folder"):
        train(dataset, CONFIG, replace(QUICK, seed=1), tmp_path)
    with pytest.raises(ValueError, match="another model or dataset; choose another output folder"):
        train(dataset, replace(CONFIG, stride=16), QUICK, tmp_path)
    content = torch.load(tmp_path / STATE, weights_only=True)
    torch.save(content | {"processes": 2}, tmp_path / STATE)
    with pytest.raises(ValueError, match="a run of 2 processes, not 1"):
        train(dataset, CONFIG, QUICK, tmp_path)


def test_training_can_start_from_weights_of_another_dataset(dataset, tmp_path):
    torch.manual_seed(3)
    save_checkpoint(FPC(replace(CONFIG, identities=9, cameras=6)), tmp_path / "start.safetensors")
    init, report = load_checkpoint(
        tmp_path / "start.safetensors", config=training_config(dataset, CONFIG), to_train=True
    )
    assert report.fresh == "encoder.camera: 1 key, classifier: 1 key, rec_classifier: 1 key"
    still = replace(QUICK, learning_rate=1e-12, weight_decay=0.0)
    trained = train(dataset, CONFIG, still, tmp_path / "out", init=init, stop_after=1)
    for name in ("encoder.patch_embed.weight", "head.norm.bias", "classifier.weight"):
        torch.testing.assert_close(trained.state_dict()[name], init.state_dict()[name])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"identities": 1}, r"identities must be in 2\.\.10000, got 1"),
        ({"holistic_steps": 0, "fpc_steps": 0}, "must be at least 1, got 0 \\+ 0"),
        ({"refresh": 0}, r"refresh must be in 1\.\.10000000, got 0"),
        ({"max_minutes": 0.0}, r"max_minutes must be in \(0, 1e\+06\], got 0\.0"),
    ],
)
def test_invalid_training_settings_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        replace(QUICK, **change)


def test_a_loss_that_is_not_finite_stops_the_run(dataset, tmp_path):
    init = FPC(training_config(dataset, CONFIG))
    torch.nn.init.constant_(init.encoder.cls_token, torch.nan)
    with pytest.raises(ValueError, match="the loss is nan at step 1; use a lower learning rate"):
        train(dataset, CONFIG, QUICK, tmp_path, init=init, stop_after=1)


def test_a_dataset_without_training_identities_is_named(dataset, tmp_path):
    with pytest.raises(DatasetError, match="0 training identities; training needs at least 2"):
        train(replace(dataset, train=()), CONFIG, QUICK, tmp_path)


def test_two_processes_train_like_one(dataset, tmp_path):
    """Both ranks have equal weights, and gradients, losses and memory of a single process up to rounding."""
    settings = replace(QUICK, holistic_steps=12, fpc_steps=8, identities=4, drop_path=0.0)
    torch.save({"config": CONFIG.as_dict(), "settings": asdict(settings)}, tmp_path / "job.pt")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    run_two = [*command, "-m", "tests.support.two_processes", str(dataset.root), str(tmp_path)]
    done = subprocess.run(
        run_two, capture_output=True, text=True, timeout=300, check=False, cwd=Path(__file__).resolve().parents[3]
    )
    assert done.returncode == 0, done.stderr[-3000:]
    alone = one_run(dataset, CONFIG, settings, tmp_path / "alone")
    first, second = (torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in (0, 1))
    for name, value in first["weights"].items():
        assert torch.equal(value, second["weights"][name]), name
    for name, value in alone["gradients"].items():
        torch.testing.assert_close(first["gradients"][name], value, atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(first["memory"], alone["memory"], atol=1e-5, rtol=1e-5)
    assert torch.equal(first["memory"], second["memory"])
    assert first["losses"] == pytest.approx(alone["losses"], rel=0.01)
    assert (len(first["losses"]), len(second["losses"])) == (2, 0)  # Only rank 0 reports and writes.
    assert sorted(path.name for path in (tmp_path / "pair").iterdir()) == [LOG, WEIGHTS, STATE]

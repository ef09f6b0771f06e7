from dataclasses import replace

import pytest
import torch
from PIL import Image

from fpc_core.config import ModelConfig
from fpc_core.data.datasets import DatasetError, open_dataset
from fpc_core.model.checkpoint import load_checkpoint
from fpc_core.training.batches import augment, choose_neighbors, sample_identities
from fpc_core.training.loop import LOG, STATE, WEIGHTS, TrainSettings, train
from fpc_core.training.losses import soft_triplet
from tests.small_world import paint

CONFIG = ModelConfig(stride=32, width=32, heads=4, depth=4, token_blocks=3, cameras=4, identities=1)
QUICK = TrainSettings(
    holistic_steps=6, fpc_steps=4, identities=3, images=2, neighbors=3, refresh=2, drop_path=0.1, checkpoint_minutes=99
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


@pytest.fixture(autouse=True)
def blocks_that_exist(monkeypatch):
    """The tiny model has three encoder blocks; the usual dropping blocks need ten."""
    from fpc_core.config import PruneSettings
    from fpc_core.training import loop

    monkeypatch.setattr(loop, "PruneSettings", lambda *args, **more: PruneSettings(*args, **({"blocks": (1,)} | more)))


def test_triplet_takes_the_hardest_pairs():
    features = torch.tensor([[0.0], [3.0], [4.0], [9.0]])
    identities = torch.tensor([0, 0, 1, 1])
    # d_ap: 3 3 5 5; d_an: 4 1 1 6
    expected = torch.nn.functional.softplus(torch.tensor([-1.0, 2.0, 4.0, -1.0])).mean()
    assert soft_triplet(features, identities) == pytest.approx(float(expected))
    with pytest.raises(ValueError, match="two identities"):
        soft_triplet(features, torch.zeros(4))


def test_triplet_gradient_is_right():
    features = torch.randn(6, 3, dtype=torch.float32, generator=torch.Generator().manual_seed(0)).requires_grad_()
    identities = torch.tensor([0, 0, 1, 1, 2, 2])
    soft_triplet(features, identities).backward()
    step = 1e-2 * torch.randn(6, 3, generator=torch.Generator().manual_seed(1))
    at = features.detach()
    change = soft_triplet(at + step, identities) - soft_triplet(at - step, identities)
    assert float(change) == pytest.approx(2 * float((features.grad * step).sum()), rel=0.05)


def test_a_batch_holds_p_identities_of_k_images():
    labels = torch.tensor([0] * 5 + [1] * 3 + [2] * 4 + [3])
    generator = torch.Generator().manual_seed(0)
    rows = sample_identities(labels, 4, 4, generator)
    assert labels[rows].bincount().tolist() == [4, 4, 4, 4]
    assert len(set(rows[labels[rows] == 0].tolist())) == 4
    assert set(rows[labels[rows] == 3].tolist()) == {12}


def test_neighbours_are_never_the_image_nor_its_same_camera_copies():
    labels, cameras = torch.tensor([0, 0, 0, 1, 1, 2]), torch.tensor([0, 0, 1, 0, 1, 1])
    cls = torch.ones(6, 4)
    found = choose_neighbors(cls, labels, cameras, [0, 4], 4, cls[:2])
    assert set(found[0].tolist()) == {2, 3, 4, 5}
    assert 4 not in found[1].tolist()
    with pytest.raises(ValueError, match="lower K = 5"):
        choose_neighbors(cls, labels, cameras, [0], 5, cls[:1])


def test_augmentation_stays_in_range_and_follows_its_seed():
    pixels = torch.randint(0, 256, (5, 3, 64, 32), dtype=torch.uint8)
    first, again = (augment(pixels, 1.0, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, again)
    assert first.abs().max() <= 1.151
    assert not torch.equal(first, augment(pixels, 1.0, torch.Generator().manual_seed(4)))


def test_both_stages_overfit_a_tiny_set(dataset, tmp_path):
    losses = {}
    settings = replace(
        QUICK, holistic_steps=120, fpc_steps=60, identities=4, images=4, learning_rate=3e-3, erase=0.0, drop_path=0.0
    )
    train(dataset, CONFIG, settings, tmp_path, report=lambda told: losses.setdefault(told.stage, []).append(told.loss))
    assert losses["holistic"][-1] < 0.4 * losses["holistic"][0]
    assert losses["fpc"][-1] < losses["fpc"][0]
    model, _ = load_checkpoint(tmp_path / WEIGHTS)
    assert model.config.identities == 4
    assert (tmp_path / LOG).read_text().startswith("step,stage,loss")


def test_the_same_seed_gives_the_same_weights_and_resuming_changes_nothing(dataset, tmp_path):
    whole = train(dataset, CONFIG, QUICK, tmp_path / "whole")
    for stop in (4, 8, None):
        resumed = train(dataset, CONFIG, QUICK, tmp_path / "parts", stop_after=stop)
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], value, atol=1e-6, rtol=1e-5)


def test_another_recipe_does_not_continue_a_run(dataset, tmp_path):
    train(dataset, CONFIG, QUICK, tmp_path, stop_after=1)
    assert (tmp_path / STATE).is_file()
    with pytest.raises(ValueError, match="other settings; name another output folder"):
        train(dataset, CONFIG, replace(QUICK, seed=1), tmp_path)


def test_a_dataset_without_training_identities_is_named(dataset, tmp_path):
    with pytest.raises(DatasetError, match="0 training identities; training needs at least 2"):
        train(replace(dataset, train=()), CONFIG, QUICK, tmp_path)

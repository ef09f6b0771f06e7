"""The scale benchmarks generate data, here at a fraction of its size, that can be loaded, encoded and searched."""

import pytest

from benchmarks import half_million
from benchmarks.world import CAMERAS, CONFIG, SPLITS, make_dataset, make_weights
from fpc_core.cli import main
from fpc_core.data.datasets import Layout, open_dataset
from fpc_core.data.inventory import take_inventory
from fpc_core.gallery.builder import build_memory
from fpc_core.model.checkpoint import load_checkpoint, weights_fingerprint
from fpc_core.workspace import Places, open_workspace

SHARE = 0.01


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    root = tmp_path_factory.mktemp("scale")
    return Places(make_dataset(root / "noise", SHARE), make_weights(root / "model.safetensors"), root / "memory")


def test_the_generator_keeps_layout_and_every_query_has_a_match(places):
    dataset = open_dataset(places.data)
    assert dataset.layout is Layout.OCCLUDED_DUKE
    assert dataset.synthetic
    found = take_inventory(dataset)
    counts = {count.split: (count.images, count.identities) for count in found.splits}
    for split, folder in (("query", "query"), ("gallery", "bounding_box_test"), ("train", "bounding_box_train")):
        images, identities = SPLITS[folder]
        assert counts[split] == (round(SHARE * images), round(SHARE * identities))
    assert found.without_match == ()
    assert found.skipped == ()
    assert max(max(count.cameras) for count in found.splits) == CAMERAS


def test_the_same_weights_are_made_every_time(places, tmp_path):
    made = [load_checkpoint(path)[0] for path in (places.weights, make_weights(tmp_path / "again.safetensors"))]
    assert weights_fingerprint(made[0]) == weights_fingerprint(made[1])


def test_a_generated_dataset_is_loaded_built_and_evaluated(places, capsys, monkeypatch):
    for name, path in (("FPC_DATA", places.data), ("FPC_WEIGHTS", places.weights), ("FPC_MEMORY", places.memory)):
        monkeypatch.setenv(name, str(path))
    assert main(["memory", "build", "--device", "cpu"]) == 0
    workspace = open_workspace(places, "cpu")
    assert workspace.retriever.memory.tokens.shape == (177, CONFIG.patches, CONFIG.width)
    assert main(["evaluate", "--device", "cpu"]) == 0
    output = capsys.readouterr().out
    assert "177 images" in output
    assert "22 queries, 177 gallery images" in output


def test_a_built_memory_is_up_to_date(places):
    dataset = open_dataset(places.data)
    model, _ = load_checkpoint(places.weights)
    build_memory(model, dataset.gallery, dataset.root, places.memory)
    before = (places.memory / "manifest.json").stat().st_mtime_ns
    build_memory(model, dataset.gallery, dataset.root, places.memory)
    assert (places.memory / "manifest.json").stat().st_mtime_ns == before


def test_the_half_million_set_is_market_1501_with_distractors(tmp_path):
    places = Places(
        half_million.make_gallery(tmp_path / "noise", 1038, 1), tmp_path / "model.safetensors", tmp_path / "memory"
    )
    make_weights(places.weights, half_million.CONFIG)
    dataset = open_dataset(places.data)
    assert dataset.layout is Layout.MARKET_1501
    assert len(dataset.gallery) == 1038
    assert sum(record.identity == 0 for record in dataset.gallery) == 1000
    few = dataset.gallery[:10] + dataset.gallery[-190:]
    model, _ = load_checkpoint(places.weights)
    memory = build_memory(model, few, dataset.root, places.memory, shard_images=40)
    part = half_million.first_shards(places.memory, memory, 0.4, shard_images=40)
    assert (len(part), len(part.records)) == (80, 80)
    assert part.patches([79, 3]).equal(memory.patches([79, 3]))
    whole = half_million.first_shards(places.memory, memory, 1, shard_images=40)
    assert len(whole) == 200

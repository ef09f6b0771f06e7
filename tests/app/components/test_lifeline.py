"""The data of the lifeline component, for one query of the small workspace."""

import base64
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from app.components import lifeline
from app.components.lifeline import lifeline_data
from fpc_core.config import PruneSettings
from fpc_core.data.images import resize_image, to_tensor
from fpc_core.explain.lifelines import SURVIVED, falls
from fpc_core.workspace import open_workspace

RATES = (0.5, 0.75, 1.0)
PRUNE = PruneSettings(0.75)


@pytest.fixture(scope="module")
def sent(small_places):
    workspace = open_workspace(small_places, "cpu")
    config = workspace.retriever.model.config
    image = to_tensor([resize_image(workspace.dataset.read(workspace.dataset.query[0]), config.image_size)], config)
    state = workspace.retriever.prepare(image, torch.tensor([0]))
    stages = workspace.retriever.trace_blocks(image, torch.tensor([0]), PRUNE)
    fell = falls(lambda prune: workspace.retriever.encode(state, prune), PRUNE, RATES)
    return lifeline_data(workspace.retriever.encode(state, PRUNE), stages, RATES, fell)


def attention(block):
    return np.frombuffer(base64.b64decode(block["attention"]), "<f4")


def test_every_block_has_attention_for_exactly_the_patches_that_reach_it(sent):
    assert [block["block"] for block in sent["blocks"]] == list(range(12))
    fell = np.array(sent["fell"])
    for block in sent["blocks"]:
        reached = (fell == SURVIVED) | (fell >= block["block"])
        assert (np.isfinite(attention(block)) == reached).all()
        assert block["entered"] == reached.sum()
        assert block["kept"] == ((fell == SURVIVED) | (fell > block["block"])).sum()


def test_cutoffs_are_the_least_surviving_attention_of_dropping_blocks(sent):
    fell = np.array(sent["fell"])
    assert [block["block"] for block in sent["blocks"] if block["drops"]] == [3, 6, 9]
    for block in sent["blocks"]:
        if not block["drops"]:
            assert block["cutoff"] is None
            continue
        stays = (fell == SURVIVED) | (fell > block["block"])
        assert block["cutoff"] == pytest.approx(attention(block)[stays].min(), abs=1e-6)
        assert block["cutoff"] >= attention(block)[fell == block["block"]].max() - 1e-6


def test_every_class_of_the_charts_has_a_style():
    folder = Path(lifeline.__file__).parent
    script, styles = ((folder / f"lifeline.{suffix}").read_text(encoding="utf-8") for suffix in ("js", "css"))
    classes = re.findall(r'class: "(\w+)"', script)
    assert "attention" in classes
    assert [name for name in classes if not re.search(rf"\.{name} {{", styles)] == []


def test_drops_at_the_current_keep_rate_match_the_trace(sent):
    assert sent["falls"][1] == sent["fell"]
    assert sent["keepRate"] == RATES[1]


def test_every_patch_has_a_sentence_and_all_is_plain_json(sent):
    assert len(sent["stories"]) == 128
    for story, block in zip(sent["stories"], sent["fell"], strict=True):
        assert story.startswith("Never dropped" if block == SURVIVED else f"Dropped in layer {block}")
    assert json.loads(json.dumps(sent)) == sent

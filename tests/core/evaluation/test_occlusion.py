"""Values in curves and maps of occlusion equal those of searches with the painted images."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fpc_core.config import ModelConfig, QuerySettings
from fpc_core.data.datasets import ImageRecord
from fpc_core.data.ground_truth import OCCLUDER, PERSON
from fpc_core.data.images import resize_image, to_tensor
from fpc_core.data.occluder_rendering import coverage, cut_out, paint
from fpc_core.data.occluders import CutOut, Outline, Rectangle, Scene
from fpc_core.evaluation.metrics.retrieval import evaluate
from fpc_core.evaluation.occlusion.scenarios import (
    Box,
    GrowthDirection,
    box_of,
    breakdown_share,
    covered_shares,
    edge_occluders,
    growing,
    occlusion_table,
    person_pixels,
)
from fpc_core.evaluation.occlusion.sensitivity_map import Effect, Sliding, effects
from fpc_core.evaluation.occlusion.study import (
    COSINE,
    DISTANCE,
    FINAL,
    NOT_RANKED,
    OcclusionResults,
    OcclusionTask,
    Relevance,
    match_ranks,
    run_occlusion,
)
from fpc_core.workspace import open_workspace

SETTINGS = QuerySettings(neighbors=3, shortlist=32)  # The shortlist is the whole gallery.
HALF = Scene((Rectangle(0.5, 0.75, 1.0, 0.5),))


@pytest.fixture(scope="module")
def workspace(small_places):
    return open_workspace(small_places, "cpu")


@pytest.fixture(scope="module")
def task(workspace):
    record = workspace.dataset.query[2]
    image = resize_image(workspace.dataset.read(record), workspace.retriever.model.config.image_size)
    relevance = Relevance.of(record.identity, record.camera, workspace.dataset.gallery)
    return OcclusionTask(workspace.retriever, image, record.camera, relevance, growing(HALF, 4), SETTINGS, (1.0, 0.5))


@pytest.fixture(scope="module")
def results(task):
    return list(run_occlusion(task))


def searched(task, scene, keep_rate, settings=SETTINGS):
    image = to_tensor([paint(task.image, scene, task.pictures)], task.retriever.model.config)
    return task.retriever.search(image, settings.with_keep_rate(keep_rate), torch.tensor([task.camera]))


def test_every_step_adds_one_result_until_complete(task, results):
    assert [each.done for each in results] == list(range(1, task.total + 1))
    assert results[-1].complete


def test_results_equal_single_searches_of_the_painted_images(task, results):
    for rate, keep_rate in enumerate(task.keep_rates):
        for scene in (0, 3):
            trace = searched(task, task.scenes[scene], keep_rate)
            alone = match_ranks(trace, task.relevance)
            np.testing.assert_array_equal(results[-1].rank[rate, scene], alone.rank[0, 0])
            for name in ("distance", "margin", "match_parts", "wrong_parts"):
                together = getattr(results[-1], name)[rate, scene]
                np.testing.assert_allclose(together, getattr(alone, name)[0, 0], atol=2e-5)


def test_the_final_rank_is_that_of_the_evaluation(task, workspace, results):
    trace = searched(task, task.scenes[2], 0.5)
    distance = np.empty((1, len(workspace.dataset.gallery)))
    distance[0, trace.final.indices] = trace.final.distance
    identities, cameras = (
        [getattr(each, name) for each in workspace.dataset.gallery] for name in ("identity", "camera")
    )
    scores = evaluate(distance, [workspace.dataset.query[2].identity], identities, [task.camera], cameras)
    assert results[-1].rank[1, 2, FINAL] == scores.first_match[0] + 1


def test_parts_sum_to_the_distance_and_the_margin(results):
    known, alpha = results[-1], SETTINGS.alpha
    d = known.match_parts @ [1 - alpha, alpha]
    np.testing.assert_allclose(d, known.distance[..., DISTANCE], atol=1e-6)
    wrong = known.wrong_parts @ [1 - alpha, alpha]
    np.testing.assert_allclose(wrong - d, known.margin[..., DISTANCE], atol=1e-6)


def test_a_match_is_first_exactly_where_its_margin_is_positive(results):
    known = results[-1]
    np.testing.assert_array_equal(known.rank == 1, known.margin > 0)


def test_a_stopped_run_resumes_to_the_same_values(task, results):
    stopped = results[3]
    *_, again = run_occlusion(task, stopped)
    for name in ("rank", "distance", "margin", "match_parts", "wrong_parts"):
        np.testing.assert_array_equal(getattr(again, name), getattr(results[-1], name))
    assert list(run_occlusion(task, again)) == []


def test_an_occluder_outside_the_image_changes_nothing(task):
    outside = replace(task, scenes=(Scene(), Scene((Rectangle(-1, 2),))), keep_rates=(0.8,))
    *_, known = run_occlusion(outside)
    for name in ("rank", "distance", "margin", "match_parts", "wrong_parts"):
        np.testing.assert_array_equal(getattr(known, name)[0, 0], getattr(known, name)[0, 1])


def test_tasks_without_a_true_match_or_work_are_refused(task, workspace):
    with pytest.raises(ValueError, match="no true match"):
        Relevance.of(99, 0, workspace.dataset.gallery)
    with pytest.raises(ValueError, match="at least one scene"):
        replace(task, scenes=())
    with pytest.raises(ValueError, match="one entry per gallery image"):
        replace(task, relevance=Relevance(np.array([True]), np.array([False])))


def test_junk_is_what_the_evaluation_removes():
    rows = [(1, 0), (1, 1), (2, 0), (-1, 3)]
    records = [ImageRecord(Path(f"{at}.jpg"), *each, "gallery") for at, each in enumerate(rows)]
    relevance = Relevance.of(1, 0, records)
    assert relevance.right.tolist() == [False, True, False, False]
    assert relevance.junk.tolist() == [True, False, False, True]
    assert Relevance.of(1, None, records).right.tolist() == [True, True, False, False]


def test_a_match_outside_the_shortlist_is_not_ranked_and_lost(task):
    trace = searched(task, Scene(), 0.8, replace(SETTINGS, shortlist=12))
    hidden = np.ones(len(task.relevance.right), bool)
    hidden[trace.match.shortlist.indices] = False
    known = match_ranks(trace, Relevance(hidden, np.zeros_like(hidden)))
    assert known.rank[0, 0, [COSINE, DISTANCE]].tolist() == [NOT_RANKED, NOT_RANKED]
    assert known.margin[0, 0, DISTANCE] == -np.inf
    assert known.rank[0, 0, FINAL] > 0
    assert np.isnan(known.match_parts).all()


def test_an_edge_occluder_covers_the_requested_share():
    box = Box(0.25, 0.25, 0.75, 1.0)
    person = np.zeros((64, 32), bool)
    person[16:64, 8:24] = True
    assert box_of(person) == box
    for side in (GrowthDirection.BELOW, GrowthDirection.ABOVE, GrowthDirection.LEFT, GrowthDirection.RIGHT):
        scenes = edge_occluders(side, box, 4)
        np.testing.assert_allclose(covered_shares(scenes, person), [0, 0.25, 0.5, 0.75, 1])
        assert not coverage(scenes[-1], (64, 32))[:16].any()
    below, left = (
        coverage(edge_occluders(side, box, 4)[1], (64, 32)) for side in (GrowthDirection.BELOW, GrowthDirection.LEFT)
    )
    assert below[52:, 8:24].all()
    assert left[16:, 8:12].all()


def test_a_growing_scene_starts_empty_and_ends_complete():
    scenes = growing(HALF, 5)
    assert scenes[0] == Scene()
    assert scenes[-1] == HALF
    whole = np.ones((100, 50), bool)
    np.testing.assert_allclose(covered_shares(scenes, whole), np.arange(6) / 10, atol=0.02)


def test_person_pixels_come_from_the_mask_or_are_all_pixels():
    mask = np.array([[PERSON, 0], [OCCLUDER, PERSON]], np.uint8)
    assert person_pixels(mask, (4, 4)).tolist() == [
        [True, True, False, False],
        [True, True, False, False],
        [False, False, True, True],
        [False, False, True, True],
    ]
    assert person_pixels(None, (4, 2)).all()
    assert person_pixels(np.zeros((2, 2), np.uint8), (4, 2)).all()


@pytest.mark.parametrize(
    ("margin", "lost"),
    [
        ([3.0, 2.0, 1.0], None),
        ([2.0, 1.0, -1.0], 0.75),
        ([0.0, 1.0, 1.0], 0.0),
        ([1.0, -3.0, 5.0], 0.125),
        ([1.0, 1.0, -np.inf], 1.0),
        ([np.inf, np.inf, np.inf], None),
    ],
)
def test_a_match_is_lost_where_its_margin_crosses_zero(margin, lost):
    assert breakdown_share(np.array([0.0, 0.5, 1.0]), np.array(margin)) == lost


@pytest.mark.parametrize(("size", "step"), [(1, 1), (3, 1), (2, 2)])
def test_a_sliding_occluder_covers_whole_patches(size, step):
    config = ModelConfig(stride=16)
    sliding = Sliding(size, step)
    rows, columns = sliding.grid(config)
    first, *places = sliding.scenes(config, Scene())
    assert first == Scene()
    assert len(places) == rows * columns
    assert (rows, columns) == (16 // step, 8 // step)
    place = coverage(places[columns * (rows // 2) + columns // 2], config.image_size)
    ys, xs = np.nonzero(place)
    assert (np.ptp(ys) + 1, np.ptp(xs) + 1) == (16 * size, 16 * size)
    middle = np.array([rows // 2, columns // 2]) * 16 * step + 8 * step
    np.testing.assert_allclose([ys.mean() + 0.5, xs.mean() + 0.5], middle)


def test_a_map_is_the_change_from_no_occluder_per_position():
    empty = OcclusionResults.empty(1, 5)
    rank, distance = empty.rank.copy(), empty.distance.copy()
    rank[0, :, FINAL], rank[0, :, DISTANCE] = [1, 1, 4, 2, 0], [1, 1, NOT_RANKED, 2, 0]
    distance[0, :, FINAL], distance[0, :, DISTANCE] = [0.5, 0.5, 0.75, 0.25, np.nan], [0.25, 0.5, np.nan, 0.25, np.nan]
    known = replace(empty, rank=rank, distance=distance)
    np.testing.assert_array_equal(effects(known, (2, 2), Effect.RANK), [[0, 3], [1, np.nan]])
    np.testing.assert_array_equal(effects(known, (2, 2), Effect.FINAL_DISTANCE), [[0, 0.25], [-0.25, np.nan]])
    np.testing.assert_array_equal(effects(known, (2, 2), Effect.DISTANCE), [[0.25, np.nan], [0, np.nan]])


def test_the_table_has_rows_for_known_results_only(task, results):
    shares = covered_shares(task.scenes, np.ones(task.image.shape[:2], bool))
    table = occlusion_table(task, results[2], shares)
    assert len(table) == 3
    assert table["keep rate"].tolist() == [1.0] * 3
    np.testing.assert_allclose(table["covered"], shares[:3])
    assert table["rank by consolidated"].tolist() == results[2].rank[0, :3, FINAL].tolist()


def test_a_cut_out_is_pasted_into_the_images_searched(task, workspace):
    record = workspace.dataset.gallery[5]
    picture = cut_out(workspace.dataset.read(record), Outline.ELLIPSE)
    path = record.path.as_posix()
    scene = Scene((CutOut(path=path, outline=Outline.ELLIPSE),))
    pasted = replace(task, scenes=(scene,), pictures={(path, Outline.ELLIPSE): picture}, keep_rates=(0.8,))
    (known,) = run_occlusion(pasted)
    alone = match_ranks(searched(pasted, scene, 0.8), task.relevance)
    np.testing.assert_array_equal(known.rank, alone.rank)
    with pytest.raises(ValueError, match="is missing"):
        next(run_occlusion(replace(pasted, pictures={})))

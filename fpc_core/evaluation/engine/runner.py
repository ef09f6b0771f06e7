"""Compute passes without repeating the work that they share.

All passes share the encoder's state before the first drop, all points of a pass share its transport, and a set of
neighbours that several points have in common is decoded and scored once.

A run is a generator. To cancel it, stop iterating; with a `ResultStore`, the next run resumes where this one stopped.

Under torchrun, the processes take turns computing the batches of a pass, and exchange their results after each pass. No
batch is split, so the results equal those of a single process.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np

from fpc_core.config import ModelConfig
from fpc_core.data.datasets import ImageRecord
from fpc_core.evaluation.engine.passes import (
    ENCODER,
    Known,
    Part,
    Pass,
    PassResult,
    PassTask,
    Point,
    PostProcessing,
    gallery_pass,
)
from fpc_core.evaluation.engine.protocol import BATCH, encoder_state, feature_distance, score_distance
from fpc_core.evaluation.engine.reranking import k_reciprocal
from fpc_core.evaluation.engine.result_store import LoadResult, ResultStore
from fpc_core.evaluation.metrics.retrieval import l2_normalize
from fpc_core.results import EncoderState, Encoding, Match
from fpc_core.runtime import distributed

STATE_BYTES = 256 << 20  # Maximum size of the encoder states in RAM that the passes share.

Save = Callable[[PassTask, Pass, PassResult], None]
Step = tuple[Pass, PassResult]


def run_passes(task: PassTask, known: Known | None = None, save: Save | None = None) -> Generator[Step, None, None]:
    """Compute the results that are missing in `known`, and yield a pass with its result after every step.

    Large query sets are processed in several rounds, each over all passes, so that encoder states stay within
    STATE_BYTES.

    Args:
        task: Passes and queries.
        known: Results that are already computed.
        save: Function that is called after every batch, after every deferred point, and when iteration stops.
    """
    results = task.known(known)
    with _tokens_on_device(task, results):
        yield from _run_all(task, results, save)


def _tokens_on_device(task: PassTask, results: dict[Pass, PassResult]) -> AbstractContextManager[object]:
    """Load all gallery tokens onto the device if the run will read more images' tokens than the gallery has.

    Args:
        task: Passes and queries.
        results: Results computed so far, from which the number of remaining searches follows.
    """
    reads = sum(int((~results[each].known).sum()) * each.settings.shortlist for each in task.passes if each.needs_match)
    return task.retriever.tokens.pinned() if reads > len(task.retriever.memory) else nullcontext()


def _run_all(task: PassTask, results: dict[Pass, PassResult], save: Save | None) -> Generator[Step, None, None]:
    size = _round_size(task.retriever.model.config)
    for gallery in (False, True):
        passes = [each for each in task.passes if each.gallery is gallery]
        images = len(task.records(passes[0])) if passes else 0
        for first in range(0, images, size):
            states: dict[tuple[int, int], EncoderState] = {}
            for eval_pass in passes:
                for start in range(first, min(first + size, images), BATCH):
                    if start // BATCH % distributed.world_size() == distributed.rank():
                        batch = range(start, min(start + BATCH, first + size, images))
                        yield from _run_batch(task, eval_pass, batch, states, results, save)
                yield from _exchange(task, eval_pass, results, save)
                yield from _run_deferred(task, results, save)


def _exchange(
    task: PassTask, eval_pass: Pass, results: dict[Pass, PassResult], save: Save | None
) -> Generator[Step, None, None]:
    """Merge the results of all processes for a pass.

    Args:
        task: Passes and queries.
        eval_pass: Pass that all processes have finished.
        results: Results of this process, which are updated.
        save: Function that stores the merged results.
    """
    if distributed.world_size() == 1:
        return
    for other in distributed.gather_objects(results[eval_pass]):
        results[eval_pass] = results[eval_pass].merge(other)
    if save is not None:
        save(task, eval_pass, results[eval_pass])
    yield eval_pass, results[eval_pass]


def run_with_store(
    task: PassTask, store: ResultStore | None = None, progress: Callable[[int, int], None] | None = None
) -> LoadResult:
    """Run a task, resuming from a store if there is one.

    Args:
        task: Passes and queries.
        store: Store to load results from and save them to; None computes everything. Under torchrun, only the store of
            the first process is used.
        progress: Function that is called with the number of steps done and their total, first at the start.

    Raises:
        OSError: Results cannot be stored.
    """
    if distributed.rank() > 0:
        store = None
    stored = distributed.broadcast_from_rank0(store.load(task) if store else LoadResult({}, ()))
    known = dict(stored.known)
    done = task.done(known)
    for eval_pass, result in run_passes(task, known, store.save if store else None):
        if progress:
            progress(done, task.total)
        known[eval_pass] = result
        done = done + 1 if distributed.world_size() == 1 else task.done(known)
    if progress:
        progress(done, task.total)
    return LoadResult(known, stored.notes)


def _run_batch(
    task: PassTask,
    eval_pass: Pass,
    batch: range,
    states: dict[tuple[int, int], EncoderState],
    results: dict[Pass, PassResult],
    save: Save | None,
) -> Generator[Step, None, None]:
    missing = [row for row in batch if not results[eval_pass].known[row]]
    if not missing:
        return
    records, block = task.records(eval_pass)[batch.start : batch.stop], eval_pass.settings.prune.blocks[0]
    if (batch.start, block) not in states:
        states[batch.start, block] = encoder_state(task.retriever, task.dataset, records, block)
    encodings = _encodings(task, eval_pass, records, states[batch.start, block])
    indices = [eval_pass.points.index(point) for point in eval_pass.immediate_points]
    try:
        for row in missing:
            record, encoding = records[row - batch.start], encodings[row - batch.start]
            retriever = task.retriever.without(task.dataset.own_rows.get(record.path))
            match = retriever.match(encoding, eval_pass.settings) if eval_pass.needs_match else None
            features, feature_of = _features(task, eval_pass, encoding, match)
            if eval_pass.gallery:
                precision, first = np.array([np.nan]), np.array([-1])
            else:
                scored = task.score(features, record)
                precision, first = (
                    values[[feature_of[point] for point in eval_pass.immediate_points]] for values in scored
                )
            parts = _parts(encoding, match) if eval_pass.matched and match is not None else {}
            for each in eval_pass.kept:
                value = parts[each] if isinstance(each, Part) else features[feature_of[each]]
                results[eval_pass].features[each][row] = value
            results[eval_pass] = results[eval_pass].with_row(row, indices, precision, first)
            yield eval_pass, results[eval_pass]
    finally:
        if save is not None:
            save(task, eval_pass, results[eval_pass])


def _encodings(task: PassTask, eval_pass: Pass, records: Sequence[ImageRecord], states: EncoderState) -> list[Encoding]:
    """Return one encoding per image.

    The whole batch is encoded even if some of its images have results, because a smaller batch may round differently.

    Args:
        task: Passes and queries.
        eval_pass: Pass whose prune settings apply.
        records: Records of the images of the batch.
        states: Encoder state of the batch before the first drop.
    """
    prunes = [eval_pass.prune_of(record) for record in records]
    if len(set(prunes)) > 1:
        return [task.retriever.encode(states[row : row + 1], prune) for row, prune in enumerate(prunes)]
    whole = task.retriever.encode(states, prunes[0])
    return [whole[row : row + 1] for row in range(len(records))]


def _parts(encoding: Encoding, match: Match) -> dict[Part, np.ndarray]:
    """Return the values of every `Part` for one image.

    Args:
        encoding: Encoding of the image.
        match: Shortlist and transport of the image.
    """
    survives = np.zeros(encoding.grid[0] * encoding.grid[1], np.float32)
    survives[encoding.positions[0].cpu().numpy()] = 1
    return {
        Part.CLS: encoding.cls[0].float().cpu().numpy(),
        Part.SHORTLIST: match.shortlist.indices,
        Part.D_COS: match.shortlist.d_cos,
        Part.D_EMD: match.transport.distance,
        Part.PATCHES: survives,
    }


def _features(
    task: PassTask, eval_pass: Pass, encoding: Encoding, match: Match | None
) -> tuple[np.ndarray, dict[Point, int]]:
    """Compute the features of all points of a pass for one image, each distinct feature once.

    Args:
        task: Passes and queries.
        eval_pass: Pass whose points are computed.
        encoding: Encoding of the image.
        match: Shortlist and transport of the image; None if the pass does not need them.

    Returns:
        (B, C) float32 distinct features, and the index of the feature of each point.
    """
    points = dict.fromkeys(point.feature for point in eval_pass.points)
    features, feature_of = [], {}
    if ENCODER in points:
        features.append(task.retriever.global_feature(encoding))
        feature_of[ENCODER] = 0
    consolidated = [point for point in points if point != ENCODER]
    if match is not None and consolidated:
        alphas = dict.fromkeys(point.alpha for point in consolidated)
        ranked = {alpha: task.retriever.by_distance(match, alpha).indices for alpha in alphas}
        sets: dict[bytes, np.ndarray] = {}
        for point in consolidated:
            members = np.sort(ranked[point.alpha][: point.neighbors])
            sets.setdefault(members.tobytes(), members)
            feature_of[point] = len(features) + list(sets).index(members.tobytes())
        features += list(task.retriever.consolidate_sets(encoding, list(sets.values()), eval_pass.settings.variant))
    return np.stack(features), feature_of


def _run_deferred(task: PassTask, results: dict[Pass, PassResult], save: Save | None) -> Generator[Step, None, None]:
    """Score the deferred points whose features are complete, and yield their passes.

    Args:
        task: Passes and queries.
        results: Results computed so far, which are updated.
        save: Function that is called after every point.
    """
    for eval_pass in task.passes:
        for point in eval_pass.deferred_points:
            index = eval_pass.points.index(point)
            if results[eval_pass].is_scored(index) or not results[eval_pass].complete:
                continue
            features = results[eval_pass].features[point.feature]
            if point.then is PostProcessing.RE_RANKED:
                distance = k_reciprocal(features, task.retriever.memory.features)
            else:
                gallery = results[gallery_pass(eval_pass.settings.prune)]
                if not gallery.complete:
                    continue
                distance = feature_distance(features, l2_normalize(gallery.features[ENCODER]))
            scores = score_distance(distance, task.queries, task.dataset)
            results[eval_pass] = results[eval_pass].with_point(index, scores)
            if save is not None:
                save(task, eval_pass, results[eval_pass])
            yield eval_pass, results[eval_pass]


def _round_size(config: ModelConfig) -> int:
    """Return the number of images whose states fit into STATE_BYTES, as a multiple of BATCH."""
    state = 4 * (1 + config.vit.extra_tokens + config.patches) * (1 + config.width)
    return max(1, STATE_BYTES // state // BATCH) * BATCH

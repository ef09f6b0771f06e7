"""Computes passes, each shared part once.

The encoder's state before the first drop serves all passes, the transport of a pass serves all its alphas and Ks, and a
neighbour set met at several points is decoded and scored once.

A run is a generator. Whoever stops iterating cancels it, and with a `ResultStore` the next run goes on from there.
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

STATE_BYTES = 256 << 20  # encoder states held while all passes go over them

Save = Callable[[PassTask, Pass, PassResult], None]
Step = tuple[Pass, PassResult]


def run_passes(task: PassTask, known: Known | None = None, save: Save | None = None) -> Generator[Step, None, None]:
    """Compute what `known` lacks. Yields a pass and its result after every step (see `PassTask.total`).

    save: called after every batch, after every point that waited for all, and where the caller stops iterating (see
    `ResultStore.save`). Large query sets pass in several rounds, each over all passes, so that the encoder states held
    stay within STATE_BYTES.
    """
    results = task.known(known)
    with _tokens_on_device(task, results):
        yield from _run_all(task, results, save)


def _tokens_on_device(task: PassTask, results: dict[Pass, PassResult]) -> AbstractContextManager[object]:
    """The memory's tokens on the device, where the run would read more of them than there are."""
    reads = sum(int((~results[each].known).sum()) * each.settings.shortlist for each in task.passes if each.needs_match)
    return task.retriever.tokens.pinned() if reads > len(task.retriever.memory) else nullcontext()


def _run_all(task: PassTask, results: dict[Pass, PassResult], save: Save | None) -> Generator[Step, None, None]:
    size = _round_size(task.retriever.model.config)
    for gallery in (False, True):
        passes = [each for each in task.passes if each.gallery is gallery]
        images = len(task.records(passes[0])) if passes else 0
        for first in range(0, images, size):
            states: dict[tuple[int, int], EncoderState] = {}
            for asked in passes:
                for start in range(first, min(first + size, images), BATCH):
                    batch = range(start, min(start + BATCH, first + size, images))
                    yield from _run_batch(task, asked, batch, states, results, save)
                yield from _run_deferred(task, results, save)


def run_with_store(
    task: PassTask, store: ResultStore | None = None, progress: Callable[[int, int], None] | None = None
) -> LoadResult:
    """All of a task: what the store knows, and the rest computed and kept there; without a store everything computed.

    progress: called with the steps done and their total, first before the first. Raises OSError where results cannot be
    kept.
    """
    kept = store.load(task) if store else LoadResult({}, ())
    known = dict(kept.known)
    done = task.done(known)
    for asked, result in run_passes(task, known, store.save if store else None):
        if progress:
            progress(done, task.total)
        known[asked] = result
        done += 1
    if progress:
        progress(done, task.total)
    return LoadResult(known, kept.notes)


def _run_batch(
    task: PassTask,
    asked: Pass,
    batch: range,
    states: dict[tuple[int, int], EncoderState],
    results: dict[Pass, PassResult],
    save: Save | None,
) -> Generator[Step, None, None]:
    missing = [row for row in batch if not results[asked].known[row]]
    if not missing:
        return
    records, block = task.records(asked)[batch.start : batch.stop], asked.settings.prune.blocks[0]
    if (batch.start, block) not in states:
        states[batch.start, block] = encoder_state(task.retriever, task.dataset, records, block)
    encodings = _encodings(task, asked, records, states[batch.start, block])
    places = [asked.points.index(point) for point in asked.immediate_points]
    try:
        for row in missing:
            record, encoding = records[row - batch.start], encodings[row - batch.start]
            match = task.retriever.match(encoding, asked.settings) if asked.needs_match else None
            features, feature_of = _features(task, asked, encoding, match)
            if asked.gallery:
                precision, first = np.array([np.nan]), np.array([-1])
            else:
                scored = task.score(features, record)
                precision, first = (
                    values[[feature_of[point] for point in asked.immediate_points]] for values in scored
                )
            parts = _parts(encoding, match) if asked.matched and match is not None else {}
            for each in asked.kept:
                kept = parts[each] if isinstance(each, Part) else features[feature_of[each]]
                results[asked].features[each][row] = kept
            results[asked] = results[asked].with_row(row, places, precision, first)
            yield asked, results[asked]
    finally:
        if save is not None:
            save(task, asked, results[asked])


def _encodings(task: PassTask, asked: Pass, records: Sequence[ImageRecord], states: EncoderState) -> list[Encoding]:
    """One encoding per image. The whole batch is encoded even if a stop left half of it: another batch may round
    differently."""
    prunes = [asked.prune_of(record) for record in records]
    if len(set(prunes)) > 1:
        return [task.retriever.encode(states[row : row + 1], prune) for row, prune in enumerate(prunes)]
    whole = task.retriever.encode(states, prunes[0])
    return [whole[row : row + 1] for row in range(len(records))]


def _parts(encoding: Encoding, match: Match) -> dict[Part, np.ndarray]:
    """What is kept of one image besides features."""
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
    task: PassTask, asked: Pass, encoding: Encoding, match: Match | None
) -> tuple[np.ndarray, dict[Point, int]]:
    """The distinct features (B, C) of one image, and which of them each point scores or keeps."""
    wanted = dict.fromkeys(point.feature for point in asked.points)
    features, feature_of = [], {}
    if ENCODER in wanted:
        features.append(task.retriever.global_feature(encoding))
        feature_of[ENCODER] = 0
    consolidated = [point for point in wanted if point != ENCODER]
    if match is not None and consolidated:
        alphas = dict.fromkeys(point.alpha for point in consolidated)
        ranked = {alpha: task.retriever.by_distance(match, alpha).indices for alpha in alphas}
        sets: dict[bytes, np.ndarray] = {}
        for point in consolidated:
            members = np.sort(ranked[point.alpha][: point.neighbors])
            sets.setdefault(members.tobytes(), members)
            feature_of[point] = len(features) + list(sets).index(members.tobytes())
        features += list(task.retriever.consolidate_sets(encoding, list(sets.values()), asked.settings.variant))
    return np.stack(features), feature_of


def _run_deferred(task: PassTask, results: dict[Pass, PassResult], save: Save | None) -> Generator[Step, None, None]:
    """Points that waited for all queries, as soon as what they wait for is there."""
    for asked in task.passes:
        for point in asked.deferred_points:
            place = asked.points.index(point)
            if results[asked].knows(place) or not results[asked].complete:
                continue
            features = results[asked].features[point.feature]
            if point.then is PostProcessing.RE_RANKED:
                distance = k_reciprocal(features, task.retriever.memory.features)
            else:
                gallery = results[gallery_pass(asked.settings.prune)]
                if not gallery.complete:
                    continue
                distance = feature_distance(features, l2_normalize(gallery.features[ENCODER]))
            scores = score_distance(distance, task.queries, task.dataset)
            results[asked] = results[asked].with_point(place, scores)
            if save is not None:
                save(task, asked, results[asked])
            yield asked, results[asked]


def _round_size(config: ModelConfig) -> int:
    """Images whose states fit into STATE_BYTES, in whole batches."""
    state = 4 * (1 + config.patches) * (1 + config.width)
    return max(1, STATE_BYTES // state // BATCH) * BATCH

"""Reference implementation for sweeps and tables: search every query separately and compute the plain metric."""

import numpy as np

from fpc_core.evaluation.engine.protocol import encoder_state, feature_distance, score_distance


def features(retriever, dataset, settings, encoder=False):
    """Return the (Q, C) consolidated features of the queries, or those of the encoder if `encoder` is set."""
    states = encoder_state(retriever, dataset, dataset.query, settings.prune.blocks[0])
    encodings = retriever.encode(states, settings.prune)
    rows = []
    for row in range(len(dataset.query)):
        encoding = encodings[row : row + 1]
        if encoder:
            rows.append(retriever.global_feature(encoding))
        else:
            match = retriever.match(encoding, settings)
            rows.append(retriever.finish(encoding, match, settings).consolidation.feature)
    return np.stack(rows)


def scores(retriever, dataset, settings, encoder=False):
    """Return the scores of these settings, computed one query after another."""
    distance = feature_distance(features(retriever, dataset, settings, encoder), retriever.memory.unit_features)
    return score_distance(distance, dataset.query, dataset)

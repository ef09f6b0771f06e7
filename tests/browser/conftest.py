"""Fixtures of browser tests. `browser`, `url` and `page` are in tests/conftest.py."""

import pytest

from fpc_core.config import QuerySettings
from fpc_core.data.images import resize_image, to_tensor
from fpc_core.workspace import Places, open_workspace


@pytest.fixture(scope="session")
def matched():
    """Return the demo's retriever, and encoding, match and record of its first query with the default settings."""
    import torch

    workspace = open_workspace(Places())
    record = next(each for each in workspace.dataset.query if each.path.as_posix() == workspace.dataset.first_query)
    config = workspace.retriever.model.config
    image = to_tensor([resize_image(workspace.dataset.read(record), config.image_size)], config)
    encoding = workspace.retriever.encode(
        workspace.retriever.prepare(image, torch.tensor([record.camera])), QuerySettings().prune
    )
    return workspace.retriever, encoding, workspace.retriever.match(encoding, QuerySettings()), record

"""What every test module needs."""

import hypothesis
import pytest

import fpc_core  # noqa: F401  declares torchvision's operators before torchmetrics or timm import it
from fpc_core.workspace import Places

hypothesis.settings.register_profile("untimed", deadline=None)  # timings are benchmarks, not tests
hypothesis.settings.load_profile("untimed")


@pytest.fixture(scope="session")
def small_places(tmp_path_factory: pytest.TempPathFactory) -> Places:
    """A complete small workspace, built once; tests must not write into it."""
    from tests.small_world import build_world

    return build_world(tmp_path_factory.mktemp("small_world"))

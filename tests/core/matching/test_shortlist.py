"""All exact indexes of torch, faiss and Qdrant give the same shortlist with the same D_cos."""

import importlib.util
import subprocess
import sys

import numpy as np
import pytest
import torch

from fpc_core.config import QuerySettings
from fpc_core.matching.shortlist import IndexKind, ShortlistError, TorchIndex, nearest, open_index
from fpc_core.workspace import open_workspace
from tests.support.small_workspace import CONFIG

NEEDS = {IndexKind.FAISS: "faiss", IndexKind.FAISS_IVF: "faiss", IndexKind.QDRANT: "qdrant_client"}
KINDS = [
    pytest.param(
        kind,
        marks=pytest.mark.skipif(
            kind in NEEDS and importlib.util.find_spec(NEEDS[kind]) is None,
            reason=f"{NEEDS.get(kind)} is not installed (requirements-scale.txt)",
        ),
    )
    for kind in IndexKind
]
EXACT = [kind for kind in KINDS if kind.values[0] != IndexKind.FAISS_IVF]
OTHERS = [kind for kind in KINDS if kind.values[0] in NEEDS]


@pytest.fixture(autouse=True)
def embedded(monkeypatch):
    monkeypatch.setenv("FPC_QDRANT", ":memory:")


def units(cls):
    return cls / np.linalg.norm(cls, axis=1, keepdims=True)


def index_of(kind, cls, folder, name="gallery"):
    return open_index(kind, cls, lambda: units(cls), name, folder)


@pytest.fixture(scope="module")
def gallery():
    """Return 600 tokens (600, 16) of different lengths around 20 centres, of which the first 40 are equal."""
    rng = np.random.default_rng(0)
    cls = np.repeat(rng.standard_normal((20, 16)), 30, axis=0) + 0.3 * rng.standard_normal((600, 16))
    cls *= rng.uniform(0.5, 3, (600, 1))
    cls[:40] = cls[0]
    return cls.astype(np.float32)


@pytest.mark.parametrize("kind", EXACT)
@pytest.mark.parametrize("size", [1, 25, 100])
def test_every_exact_index_returns_the_same_bits(kind, size, gallery, tmp_path):
    index = index_of(kind, gallery, tmp_path)
    for row in (100, 250, 599):
        query = torch.from_numpy(gallery[row] + 0.1)
        result = index.search(query, size)
        expected = 1 - units(gallery.astype(np.float64)) @ units(query[None].double().numpy())[0]
        order = np.argsort(expected.astype(np.float32), kind="stable")[:size]
        assert result.indices.tolist() == order.tolist()
        assert np.array_equal(result.d_cos, expected[order].astype(np.float32))
        assert (result.indices.dtype, result.d_cos.dtype) == (np.int64, np.float32)


@pytest.mark.parametrize("kind", [kind for kind in EXACT if kind.values[0] != IndexKind.QDRANT])
def test_equal_distances_keep_gallery_order_at_the_edge_too(kind, gallery, tmp_path):
    result = index_of(kind, gallery, tmp_path).search(torch.from_numpy(gallery[0]), 4)
    assert result.indices.tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(result.d_cos, 0, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_gallery_smaller_than_the_shortlist_is_returned_whole(kind, tmp_path):
    result = index_of(kind, np.eye(2, dtype=np.float32), tmp_path).search(torch.tensor([1.0, 0.5]), 100)
    assert result.indices.tolist() == [0, 1]


@pytest.mark.parametrize("kind", EXACT)
def test_a_workspace_searches_the_same_with_every_index(kind, small_places, monkeypatch, tmp_path):
    monkeypatch.setenv("FPC_CACHE", str(tmp_path))
    plain = open_workspace(small_places, "cpu")
    monkeypatch.setenv("FPC_SHORTLIST", kind)
    other = open_workspace(small_places, "cpu")
    image = torch.rand(1, 3, *CONFIG.image_size, generator=torch.Generator().manual_seed(0))
    settings = QuerySettings(shortlist=8, neighbors=2)
    one, two = (workspace.retriever.search(image, settings) for workspace in (plain, other))
    assert np.array_equal(one.by_cosine.indices, two.by_cosine.indices)
    assert np.array_equal(one.by_cosine.distance, two.by_cosine.distance)
    assert np.array_equal(one.final.indices, two.final.indices)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.values[0] == IndexKind.FAISS_IVF])
def test_inverted_lists_miss_some_but_have_exact_distances(kind, gallery, tmp_path):
    index = index_of(kind, gallery, tmp_path)
    shares = []
    for row in range(60, 600, 30):
        query = torch.from_numpy(gallery[row])
        result, exact = index.search(query, 20), TorchIndex(gallery, lambda: units(gallery)).search(query, 20)
        judged = nearest(query, gallery, result.indices, 20)
        assert np.array_equal(result.d_cos, judged.d_cos)
        shares.append(np.isin(result.indices, exact.indices).mean())
    assert np.mean(shares) > 0.5
    made = (tmp_path / "gallery.faiss").stat().st_mtime_ns
    again = index_of(kind, gallery, tmp_path)
    assert (tmp_path / "gallery.faiss").stat().st_mtime_ns == made
    assert again.search(torch.from_numpy(gallery[99]), 5).indices[0] == 99
    (tmp_path / "gallery.faiss").write_bytes(b"broken")
    assert index_of(kind, gallery, tmp_path).search(torch.from_numpy(gallery[99]), 5).indices[0] == 99


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.values[0] == IndexKind.FAISS_IVF])
@pytest.mark.parametrize("size", [100, 590, 600, 1000])
def test_inverted_lists_return_the_requested_number(kind, size, gallery, tmp_path):
    result = index_of(kind, gallery, tmp_path).search(torch.from_numpy(gallery[300]), size)
    assert len(set(result.indices)) == len(result.indices) == min(size, 600)
    assert result.indices[0] == 300


def test_the_exactness_of_an_index_is_part_of_the_cache_key(small_places, tmp_path, monkeypatch):
    pytest.importorskip("faiss", reason="faiss is not installed (requirements-scale.txt)")
    monkeypatch.setenv("FPC_CACHE", str(tmp_path))
    exact, faiss, lists = (
        open_workspace(small_places, "cpu", shortlist=kind) for kind in ("torch", "faiss", "faiss-ivf")
    )
    assert exact.key == faiss.key
    assert lists.key != exact.key


def test_a_collection_is_uploaded_once_and_repaired(gallery, tmp_path, monkeypatch):
    qdrant = pytest.importorskip("qdrant_client", reason="qdrant_client is not installed (requirements-scale.txt)")
    monkeypatch.setenv("FPC_QDRANT", str(tmp_path / "qdrant"))
    few = gallery[::12]
    index = index_of(IndexKind.QDRANT, few, tmp_path)
    index._client.delete("fpc-gallery", [3, 4, 5])  # An interrupted upload lacks points.
    index._client.close()
    index = index_of(IndexKind.QDRANT, few, tmp_path)
    assert index._client.count("fpc-gallery").count == len(few)
    index._client.close()
    uploads = []
    monkeypatch.setattr(qdrant.QdrantClient, "upsert", lambda *_, **__: uploads.append(1))
    index_of(IndexKind.QDRANT, few, tmp_path)._client.close()
    assert uploads == []
    index_of(IndexKind.QDRANT, few, tmp_path, "other")._client.close()
    assert uploads == [1]


def test_an_unavailable_index_names_the_fix(gallery, tmp_path, monkeypatch):
    with pytest.raises(ShortlistError, match="unknown shortlist index 'annoy'; use torch, faiss, faiss-ivf, qdrant"):
        index_of("annoy", gallery, tmp_path)
    monkeypatch.setitem(sys.modules, "faiss", None)
    monkeypatch.delitem(sys.modules, "fpc_core.matching.shortlist.faiss_index", raising=False)
    with pytest.raises(
        ShortlistError, match=r"faiss shortlist index needs faiss: run pip install -r requirements-scale\.txt, or use"
    ):
        index_of("faiss", gallery, tmp_path)


def test_qdrant_needs_a_location_and_a_server_that_answers(gallery, tmp_path, monkeypatch):
    pytest.importorskip("qdrant_client", reason="qdrant_client is not installed (requirements-scale.txt)")
    monkeypatch.delenv("FPC_QDRANT")
    with pytest.raises(ShortlistError, match="needs FPC_QDRANT: set it to a server address"):
        index_of("qdrant", gallery, tmp_path)
    monkeypatch.setenv("FPC_QDRANT", "http://localhost:1")
    with pytest.raises(ShortlistError, match="Qdrant at http://localhost:1 cannot be used"):
        index_of("qdrant", gallery, tmp_path)


def test_optional_libraries_are_loaded_on_demand():
    code = "import sys, fpc_core.workspace; print({'faiss', 'qdrant_client'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"

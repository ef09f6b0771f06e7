"""`Workspace.search` accepts every kind of image, and its result can be plotted, tabulated and displayed."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import fpc_core
from fpc_core.config import QuerySettings
from fpc_core.data.images import ImageError
from fpc_core.search import to_pixels
from fpc_core.workspace import open_workspace


@pytest.fixture(scope="module")
def workspace(small_places):
    return open_workspace(small_places, "cpu")


@pytest.fixture(scope="module")
def pixels(workspace):
    return workspace.dataset.read(workspace.dataset.query[0])


def test_every_kind_of_image_gives_the_same_result(workspace, pixels, tmp_path):
    path = tmp_path / "query.png"
    Image.fromarray(pixels).save(path)
    tensor = torch.from_numpy(pixels.copy()).permute(2, 0, 1)
    expected = workspace.search(path, k=3).trace.final
    for image in (str(path), Image.fromarray(pixels), pixels, tensor, pixels / 255.0, tensor.float() / 255):
        np.testing.assert_array_equal(workspace.search(image, k=3).trace.final.indices, expected.indices)


def test_a_search_equals_that_of_the_retriever(workspace, pixels):
    record, config = workspace.dataset.query[0], workspace.retriever.model.config
    result = workspace.search(workspace.dataset.root / record.path, keep_rate=0.7, alpha=0.3, k=2)
    settings = replace(QuerySettings(shortlist=workspace.dataset.shortlist, neighbors=2, alpha=0.3)).with_keep_rate(0.7)
    assert result.settings == settings
    image = fpc_core.to_tensor([workspace.image(record)], config)
    camera = torch.tensor([record.camera])
    trace = workspace.retriever_for(record.path).search(image, settings, camera)
    np.testing.assert_array_equal(result.trace.final.distance, trace.final.distance)
    without_camera = workspace.search(pixels, keep_rate=0.7, alpha=0.3, k=2)
    with_camera = workspace.search(pixels, keep_rate=0.7, alpha=0.3, k=2, camera=record.camera + 1)
    assert (with_camera.trace.final.distance == trace.final.distance).all()
    assert not (without_camera.trace.final.distance == trace.final.distance).all()


def test_a_table_has_all_three_rankings_with_labels(workspace):
    result = workspace.search(workspace.dataset.query[0].path, k=3)
    table = result.to_pandas(4)
    assert table["ranking"].tolist() == ["cosine"] * 4 + ["D"] * 4 + ["consolidated"] * 4
    assert table["rank"].tolist() == [1, 2, 3, 4] * 3
    final = table[table["ranking"] == "consolidated"]
    np.testing.assert_array_equal(final["row"], result.trace.final.indices[:4])
    np.testing.assert_array_equal(final["distance"], result.trace.final.distance[:4])
    same = [int(each) == workspace.dataset.query[0].identity for each in table["identity"]]
    assert [label in ("match", "junk") for label in table["label"]] == same
    whole = result.to_pandas()
    assert len(whole) == 2 * len(result.trace.by_cosine) + len(workspace.retriever.memory)


def test_an_unknown_person_has_neutral_labels(workspace, pixels):
    assert set(workspace.search(pixels, k=2).to_pandas(3)["label"]) == {"neutral"}


def test_a_result_plots_masks_ranking_and_transport(workspace, pixels):
    result = workspace.search(pixels, k=3)
    sizes = set()
    for figure in (result.plot_masks(), result.plot_ranking(hits=3), result.plot_transport(rank=2)):
        file = io.BytesIO()
        figure.savefig(file, format="png", dpi=60)
        drawn = np.asarray(Image.open(file).convert("L"))
        assert drawn.std() > 5
        sizes.add(drawn.shape)
    assert len(sizes) == 3


def test_a_plot_of_a_rank_beyond_the_shortlist_is_refused(workspace, pixels):
    with pytest.raises(ValueError, match=r"rank must be in 1\.\.\d+ \(the shortlist\), got 0"):
        workspace.search(pixels, k=2).plot_transport(rank=0)


def test_a_notebook_shows_an_image_and_escaped_words(workspace, pixels, tmp_path):
    path = tmp_path / "<b>query.png"
    Image.fromarray(pixels).save(path)
    shown = workspace.search(path, k=2)._repr_html_()
    assert 'src="data:image/png;base64,iVBOR' in shown
    assert "&lt;b&gt;query.png" in shown
    assert "<b>" not in shown


@pytest.mark.parametrize(
    ("image", "problem"),
    [
        (np.zeros((4, 256, 128), np.uint8), r"must have the shape \(H, W, 3\)"),
        (np.zeros((64, 32, 3), np.int64), "must be uint8 or floating point, got int64"),
        (np.full((64, 32, 3), -0.5), r"must be in \[0, 1\], got -0\.5 to -0\.5; undo the normalisation"),
        (np.full((64, 32, 3), np.nan), r"must be in \[0, 1\], got nan"),
        (torch.zeros(64, 32, 3), r"a tensor must have the shape \(3, H, W\), got \(64, 32, 3\)"),
        ([1, 2], "must be a path, PIL image, array or tensor, got list"),
    ],
)
def test_an_image_that_cannot_be_used_is_refused_with_a_reason(image, problem):
    with pytest.raises(ImageError, match=problem):
        to_pixels(image)


def test_grey_and_rotated_images_become_upright_rgb():
    grey = np.arange(64 * 32, dtype=np.uint8).reshape(64, 32)
    assert (to_pixels(grey) == grey[..., None]).all()
    image = Image.fromarray(np.zeros((40, 20, 3), np.uint8))
    image.getexif()[0x0112] = 6  # The image is rotated by 90 degrees.
    assert to_pixels(image).shape == (20, 40, 3)


def test_a_camera_without_an_embedding_is_refused(workspace, pixels):
    with pytest.raises(ValueError, match=r"camera must be in 1\.\.\d+, got 99; omit it"):
        workspace.search(pixels, camera=99)


def test_a_workspace_without_places_is_that_of_the_environment(small_places, small_world_in_use):
    assert open_workspace().places == small_places

"""Image size and stride follow from the number of positions only where one answer fits."""

import pytest

from fpc_core.model.positions import Placement, grid_size, parse_size, place, trained_grid


@pytest.mark.parametrize(("stride", "positions"), [(16, 128), (12, 210), (11, 242)])
def test_published_sizes_are_assumed(stride, positions):
    result = place(positions, 16, None, None, is_plain=False)
    assert (result.image_size, result.stride) == ((256, 128), stride)
    assert "usual size of FPC and TransReID" in result.assumed


@pytest.mark.parametrize(
    ("size", "stride"), [((384, 192), 16), ((288, 144), 12), ((320, 160), 16), ((256, 192), 11), ((224, 112), 16)]
)
def test_stated_sizes_and_strides_are_taken_as_they_are(size, stride):
    rows, columns = grid_size(size, 16, stride)
    expected = Placement(size, stride, (rows, columns))
    assert place(rows * columns, 16, size, stride, is_plain=False) == expected


@pytest.mark.parametrize("positions", [162, 192, 200, 374])
def test_sizes_that_fit_equally_are_listed_in_the_error(positions):
    with pytest.raises(ValueError, match=rf"the {positions} position embeddings fit .* at stride .*, .*--image-size"):
        place(positions, 16, None, None, is_plain=False)
    assert trained_grid(positions, 16, is_plain=False) is None


def test_a_stated_stride_determines_the_size():
    assert place(162, 16, None, 16, is_plain=False).image_size == (288, 144)
    assert place(162, 16, None, 14, is_plain=False).image_size == (256, 128)


def test_square_positions_of_a_plain_vit_fit_any_size():
    assert place(196, 16, None, None, is_plain=True).grid == (14, 14)
    result = place(196, 16, (384, 192), 12, is_plain=True)
    assert (result.image_size, result.stride, result.grid, result.assumed) == ((384, 192), 12, (14, 14), "")


def test_a_plain_vit_trained_on_people_runs_at_its_own_size():
    result = place(288, 16, None, None, is_plain=True)
    assert (result.image_size, result.grid) == ((384, 192), (24, 12))
    with pytest.raises(ValueError, match="384x128 at stride 16, 256x192 at stride 16"):
        place(192, 16, None, None, is_plain=True)
    assert place(192, 16, (256, 192), None, is_plain=True).grid == (16, 12)


@pytest.mark.parametrize("text", ["384x192", "384X192", " 384 x 192 ", "384×192", "384,192"])
def test_image_sizes_are_read_from_text(text):
    assert parse_size(text) == (384, 192)


@pytest.mark.parametrize("text", ["", "384", "0x128", "9999x128", "axb", "384x192x3", "-1x128"])
def test_text_that_is_not_an_image_size_is_refused(text):
    with pytest.raises(ValueError, match="an image size must be HEIGHTxWIDTH in pixels, up to 4096"):
        parse_size(text)


@pytest.mark.parametrize(("size", "stride", "patch"), [((8, 8), None, 16), (None, 0, 16), (None, None, 0)])
def test_impossible_sizes_are_refused(size, stride, patch):
    with pytest.raises(ValueError, match=r"smaller than one patch|at least 1"):
        place(128, patch, size, stride, is_plain=False)

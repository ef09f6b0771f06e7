"""Crops of photos: which images need none, which boxes are valid, and exact pixels at full resolution."""

import numpy as np
import pytest
from PIL import Image

from fpc_core.data.images import MIN_SIDE, ImageError, decode_image, resize_image
from fpc_core.data.uploads.crops import MAX_CROP_HEIGHT, CropBox, is_tight_crop, largest_box
from fpc_core.data.uploads.sandboxed_decode import crop_in_subprocess, decode_in_subprocess, preview_in_subprocess
from tests.core.data.test_images import encoded, png_header

SIZE = (256, 128)


def street(height=270, width=480):
    """Return a photo in which red encodes the column, green the row, and blue the sum of both."""
    rows, columns = np.mgrid[0:height, 0:width]
    return np.stack([columns % 256, rows % 256, (rows // 8 + columns // 8) % 256], -1).astype(np.uint8)


@pytest.mark.parametrize(
    ("image", "tight"),
    [
        ((256, 128), True),
        ((128, 64), True),
        ((150, 100), True),  # 1.5 is the smallest ratio allowed.
        ((149, 100), False),
        ((320, 100), True),  # 3.2 is the largest ratio allowed.
        ((321, 100), False),
        ((1080, 1920), False),
        ((64, 64), False),
        ((MAX_CROP_HEIGHT, 512), True),
        ((MAX_CROP_HEIGHT + 2, 513), False),
        ((1920, 1080), False),  # Phones take upright photos of this size.
    ],
)
def test_an_image_is_judged_by_its_shape_and_size(image, tight):
    assert is_tight_crop(image, SIZE) is tight


def test_the_shape_is_judged_relative_to_that_of_the_input():
    assert is_tight_crop((100, 100), (128, 128))
    assert not is_tight_crop((200, 100), (128, 128))


@pytest.mark.parametrize(
    ("photo", "box"), [((1080, 1920), (1080, 540)), ((400, 100), (200, 100)), ((101, 33), (66, 33)), ((8, 8), (8, 4))]
)
def test_the_largest_box_has_the_shape_of_the_input_and_is_inside(photo, box):
    assert largest_box(photo, SIZE) == box


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        ((-1, 0, 50, 100), "must not be negative, got -1 and 0"),
        ((0, 0, MIN_SIDE - 1, 100), "at least 8 pixels per side, got 7 x 100"),
        ((0, 0, 50.0, 100), "width of a box must be a whole number, got 50.0"),
        ((0, True, 50, 100), "top of a box must be a whole number, got True"),
    ],
)
def test_invalid_boxes_are_refused(edges, message):
    with pytest.raises(ValueError, match=message):
        CropBox(*edges)


@pytest.mark.parametrize(
    ("box", "message"),
    [
        (CropBox(1900, 0, 50, 100), "not inside the photo of 1920 x 1080 pixels"),
        (CropBox(0, 1000, 50, 100), "not inside the photo"),
        (CropBox(0, 0, 60, 100), "must be 50 pixels wide, got 60"),
    ],
)
def test_boxes_outside_the_photo_or_of_another_shape_are_refused(box, message):
    with pytest.raises(ValueError, match=message):
        box.check((1080, 1920), SIZE)


def test_boxes_at_the_edges_of_the_photo_are_accepted():
    CropBox(1380, 0, 540, 1080).check((1080, 1920), SIZE)
    CropBox(0, 979, 51, 101).check((1080, 1920), SIZE)  # A width of 50.5 would be exact.


def test_crops_are_cut_at_full_resolution_and_resized_like_other_uploads():
    pixels, boxes = street(), (CropBox(30, 20, 60, 120), CropBox(345, 0, 135, 270))
    crops = crop_in_subprocess(encoded(Image.fromarray(pixels)), "street.png", boxes, SIZE)
    expected = [pixels[20:140, 30:90], pixels[:, 345:]]
    for crop, part in zip(crops, expected, strict=True):
        np.testing.assert_array_equal(crop, resize_image(part, SIZE))


def test_a_crop_of_the_size_of_the_input_is_not_resampled():
    pixels = street(600, 800)
    (crop,) = crop_in_subprocess(encoded(Image.fromarray(pixels)), "a.png", [CropBox(100, 50, 128, 256)], SIZE)
    np.testing.assert_array_equal(crop, pixels[50:306, 100:228])


def test_boxes_refer_to_the_upright_photo():
    exif = Image.Exif()
    exif[0x0112] = 6  # The stored image must be rotated clockwise.
    stored = np.rot90(street(), 1)
    data = encoded(Image.fromarray(np.ascontiguousarray(stored)), "PNG", exif=exif)
    np.testing.assert_array_equal(decode_image(data), street())
    photo = preview_in_subprocess(data, "turned.png", SIZE, 1000)
    assert photo.size == (270, 480)
    (crop,) = crop_in_subprocess(data, "turned.png", [CropBox(200, 10, 128, 256)], SIZE)
    np.testing.assert_array_equal(crop, street()[10:266, 200:328])


def test_a_preview_keeps_the_shape_and_small_photos_are_not_enlarged():
    data = encoded(Image.fromarray(street()))
    photo = preview_in_subprocess(data, "street.png", SIZE, 240)
    assert photo.size == (270, 480)
    np.testing.assert_array_equal(photo.preview, resize_image(street(), (135, 240)))
    np.testing.assert_array_equal(photo.resized, decode_in_subprocess(data, "street.png", SIZE))
    np.testing.assert_array_equal(preview_in_subprocess(data, "street.png", SIZE, 480).preview, street())


def test_photos_that_cannot_be_decoded_are_refused_with_their_name():
    for data, message in ((b"text", r"me\.jpg is not an image"), (png_header(20_000, 20_000), r"me\.jpg has")):
        with pytest.raises(ImageError, match=message):
            preview_in_subprocess(data, "me.jpg", SIZE, 240)
        with pytest.raises(ImageError, match=message):
            crop_in_subprocess(data, "me.jpg", [CropBox(0, 0, 64, 128)], SIZE)
    assert crop_in_subprocess(b"text", "me.jpg", [], SIZE) == []

"""Recognise images that are already crops of one person, and define the boxes that are cut out of other photos."""

from __future__ import annotations

from dataclasses import dataclass

from fpc_core.data.images import MIN_SIDE

Size = tuple[int, int]

# Range of height / width of a tight crop, relative to that of the model's input.
MIN_RELATIVE_HEIGHT, MAX_RELATIVE_HEIGHT = 0.75, 1.6
MAX_CROP_HEIGHT = 1024  # Maximum height of a tight crop in pixels; upright phone photos have 1920 and more.


@dataclass(frozen=True)
class CropBox:
    """A rectangle in a photo, in pixels of its full resolution.

    Attributes:
        left: Distance from the left edge of the photo.
        top: Distance from the upper edge of the photo.
        width: Width of the box, at least `MIN_SIDE`.
        height: Height of the box, at least `MIN_SIDE`.
    """

    left: int
    top: int
    width: int
    height: int

    def __post_init__(self) -> None:
        for name in ("left", "top", "width", "height"):
            if type(getattr(self, name)) is not int:
                raise ValueError(f"{name} of a box must be a whole number, got {getattr(self, name)!r:.40}")
        if min(self.left, self.top) < 0:
            raise ValueError(f"left and top of a box must not be negative, got {self.left} and {self.top}")
        if min(self.width, self.height) < MIN_SIDE:
            raise ValueError(f"a box must have at least {MIN_SIDE} pixels per side, got {self.width} x {self.height}")

    def check(self, photo: Size, target: Size) -> None:
        """Check that the box is inside a photo and has the shape of the model's input, so that nothing is squashed.

        Args:
            photo: Height and width of the photo in pixels.
            target: Height and width of the model's input in pixels.

        Raises:
            ValueError: The box is partly outside the photo, or has another shape.
        """
        height, width = photo
        if self.left + self.width > width or self.top + self.height > height:
            raise ValueError(f"{self} is not inside the photo of {width} x {height} pixels")
        expected = self.height * target[1] / target[0]
        if abs(self.width - expected) > 1:
            raise ValueError(f"a box of height {self.height} must be {expected:g} pixels wide, got {self.width}")


def is_tight_crop(image: Size, target: Size) -> bool:
    """Return whether an image looks like a tight crop of one person, which needs no cropping.

    For an input of 256 x 128 pixels, height / width must be between 1.5 and 3.2. Images taller than `MAX_CROP_HEIGHT`
    are taken for photos, because phone photos can have such shapes, too.

    Args:
        image: Height and width of the upright image in pixels.
        target: Height and width of the model's input in pixels.
    """
    relative = (image[0] / image[1]) / (target[0] / target[1])
    return MIN_RELATIVE_HEIGHT <= relative <= MAX_RELATIVE_HEIGHT and image[0] <= MAX_CROP_HEIGHT


def largest_box(photo: Size, target: Size) -> Size:
    """Return height and width, in pixels, of the largest box with the shape of the model's input.

    Args:
        photo: Height and width of the photo in pixels.
        target: Height and width of the model's input in pixels.
    """
    height = min(photo[0], int(photo[1] * target[0] / target[1]))
    return height, min(photo[1], round(height * target[1] / target[0]))

"""Background jobs of the Data page: building a gallery memory and checking all images.

These jobs belong to no visitor, so anyone who sees them may stop them.
"""

from __future__ import annotations

from contextlib import closing

from app.server.background_job import BackgroundJob
from app.server.job_worker import Steps, Worker
from fpc_core.data.datasets import Dataset
from fpc_core.data.images import ImageError
from fpc_core.data.inventory import BrokenImage, decode_all, images_of
from fpc_core.gallery.builder import build_steps
from fpc_core.gallery.readable import readable_dataset
from fpc_core.workspace import Places, check_cameras, choose_device, load_model


class BuildJob(BackgroundJob):
    """Builds one gallery memory; `known` is the number of images encoded.

    Attributes:
        unreadable: Whether the last build stopped at an image that cannot be read.
    """

    known: int

    def __init__(self, places: Places, device: str, dataset: Dataset, done: int, worker: Worker) -> None:
        """Create the job.

        Args:
            places: Paths of data, weights and gallery memory.
            device: Device to encode on, or "auto".
            dataset: Dataset whose gallery is encoded.
            done: Number of images that an interrupted build has already encoded.
            worker: Worker that runs the build.
        """
        super().__init__(worker, len(dataset.gallery), f"build {places.memory}")
        self.places, self.known = places, done
        self.unreadable = False
        self._device, self._dataset, self._skip = device, dataset, False

    def start_without_unreadable(self, visitor: str = "") -> None:
        """Start the job again, and leave out the images that cannot be read."""
        self._skip = True
        self.start(visitor)

    def _steps(self) -> Steps:
        yield  # This first step makes the page show the job as running while the weights are read.
        skip, self._skip, self.unreadable = self._skip, False, False
        model, _ = load_model(self.places)
        check_cameras(self._dataset, model.config)
        try:
            dataset, left_out = readable_dataset(self._dataset, skip)
            self._total = len(dataset.gallery)
            steps = build_steps(
                model.to(choose_device(self._device)),
                dataset.gallery,
                dataset.root,
                self.places.memory,
                allowed=dataset.allowed,
                left_out=left_out,
            )
            with closing(steps):
                for self.known in steps:
                    yield
        except ImageError:
            self.unreadable = True
            raise

    def _done(self, known: int) -> int:
        return known


class ImageCheckJob(BackgroundJob):
    """Decodes every image of a dataset; `known` is the number of images checked.

    Attributes:
        broken: Images that could not be decoded.
    """

    known: int

    def __init__(self, dataset: Dataset, worker: Worker) -> None:
        super().__init__(worker, len(images_of(dataset)), f"check {dataset.root}")
        self.broken: tuple[BrokenImage, ...] = ()
        self.known = 0
        self._dataset = dataset

    def start(self, visitor: str = "") -> None:
        """Start again at the first image, unless the job is active."""
        if not self.status().active:
            self.known, self.broken = 0, ()
        super().start(visitor)

    def _steps(self) -> Steps:
        for broken in decode_all(self._dataset):
            if broken:
                self.broken = (*self.broken, broken)
            self.known += 1
            yield

    def _done(self, known: int) -> int:
        return known

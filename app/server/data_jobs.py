"""What the Data page does in the background: building a memory, and decoding every image once."""

from __future__ import annotations

from contextlib import closing

from app.server.jobs import BackgroundJob, JobStatus
from app.server.worker import Steps, Worker
from fpc_core.data.datasets import Dataset
from fpc_core.data.inventory import BrokenImage, decode_all, images_of
from fpc_core.gallery.builder import build_steps
from fpc_core.workspace import Places, check_cameras, choose_device, load_model


class BuildJob:
    """The build of one memory. It belongs to nobody: whoever looks may stop it, and it goes on where it stopped."""

    def __init__(self, places: Places, device: str, dataset: Dataset, done: int, worker: Worker) -> None:
        """done: images of an earlier build of the same."""
        self.places = places
        self._device, self._dataset, self._done = device, dataset, done
        self._errand = BackgroundJob(worker, len(dataset.gallery), self._steps, lambda: self._done)

    def status(self) -> JobStatus:
        return self._errand.status()

    def start(self) -> None:
        self._errand.start(self._visitor)

    def stop(self) -> None:
        self._errand.stop(self._visitor)

    @property
    def _visitor(self) -> str:
        return f"build {self.places.memory}"

    def _steps(self) -> Steps:
        yield  # so that the page says "running" while the weights are read
        model, _ = load_model(self.places)
        check_cameras(self._dataset, model.config)
        model = model.to(choose_device(self._device))
        dataset = self._dataset
        with closing(
            build_steps(model, dataset.gallery, dataset.root, self.places.memory, allowed=dataset.allowed)
        ) as steps:
            for self._done in steps:
                yield


class ImageCheckJob:
    """Every image of a dataset decoded once; shared by all who look. broken: those found so far."""

    def __init__(self, dataset: Dataset, worker: Worker) -> None:
        self.broken: tuple[BrokenImage, ...] = ()
        self._dataset, self._done = dataset, 0
        self._errand = BackgroundJob(worker, len(images_of(dataset)), self._steps, lambda: self._done)

    def status(self) -> JobStatus:
        return self._errand.status()

    def start(self) -> None:
        """Begin, from the first image."""
        if not self.status().active:
            self._done, self.broken = 0, ()
        self._errand.start(f"check {self._dataset.root}")

    def stop(self) -> None:
        self._errand.stop(f"check {self._dataset.root}")

    def _steps(self) -> Steps:
        for found in decode_all(self._dataset):
            if found:
                self.broken = (*self.broken, found)
            self._done += 1
            yield

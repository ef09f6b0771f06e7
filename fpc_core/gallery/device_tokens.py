"""Patch tokens of a gallery memory kept on the device during a run over many queries.

A search reads the tokens of its candidates from disk and copies them to the device: 37 MB for 100 images of 242 x 768.
A run of thousands of queries would copy the same images again and again; if all of them fit, each is copied once.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from fpc_core.gallery.memory import GalleryMemory

MAX_SHARE = 0.5  # of the device's free memory that tokens may use
_BLOCK = 256  # images copied at a time


class DeviceTokenCache:
    """Patch tokens on `device`: from its own memory while they are pinned there, otherwise from the gallery memory."""

    def __init__(self, memory: GalleryMemory, device: torch.device) -> None:
        self._memory, self._device = memory, device
        self._lock = threading.Lock()
        self._pins = 0
        self._tokens: Tensor | None = None

    def patches(self, rows: np.ndarray | Sequence[int]) -> Tensor:
        """Return `GalleryMemory.patches` on the device; the numbers do not depend on where they are read from."""
        tokens = self._tokens  # Read once: another thread may release them.
        if tokens is None:
            return self._memory.patches(rows, self._device)
        return tokens[torch.as_tensor(self._memory.checked_rows(rows)).to(self._device)].float()

    @contextmanager
    def pinned(self) -> Iterator[bool]:
        """Keep all tokens on the device within the context, if they fit; yields whether they do.

        It may be nested, also by several threads.

        Raises:
            GalleryMemoryError: The stored tokens are damaged.
        """
        with self._lock:
            if not self._pins:
                self._tokens = self._copy_to_device()
            self._pins += 1
        try:
            yield self._tokens is not None
        finally:
            with self._lock:
                self._pins -= 1
                if not self._pins:
                    self._tokens = None

    def release(self) -> str:
        """Free the tokens on the device even while pinned; from then on they are read from the gallery memory.

        Returns:
            A notice for the user, empty if no tokens were on the device.
        """
        with self._lock:
            tokens, self._tokens = self._tokens, None
        return "" if tokens is None else "the gallery's tokens were released"

    def _copy_to_device(self) -> Tensor | None:
        """Return (G, N, C) on the device in the stored type; None if they do not fit."""
        source = self._memory.tokens
        if source.nbytes > available_bytes(self._device):
            return None
        kind = torch.from_numpy(np.empty(0, source.dtype)).dtype
        try:
            tokens = torch.empty(source.shape, dtype=kind, device=self._device)
        except torch.OutOfMemoryError:  # It was free a moment ago.
            return None
        for start in range(0, len(source), _BLOCK):
            rows = np.arange(start, min(start + _BLOCK, len(source)))
            tokens[start : start + len(rows)] = torch.from_numpy(np.ascontiguousarray(source[rows])).to(self._device)
        return tokens


def available_bytes(device: torch.device) -> int:
    """Return how many bytes tokens may use on this device: none on the CPU, where the system caches them."""
    if device.type != "cuda":
        return 0
    free, _ = torch.cuda.mem_get_info(device)
    return int(MAX_SHARE * free)

"""Cache the patch tokens of a gallery memory on the device during a run over many queries.

A search reads the tokens of its candidates from disk and copies them to the device: 37 MB for 100 images of 242 tokens
with 768 channels. A run over thousands of queries would copy the same images repeatedly. If all tokens fit on the
device, they are copied only once.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from fpc_core.gallery.memory import GalleryMemory

MAX_SHARE = 0.5  # Maximum share of the device's free memory that tokens may use.
_BLOCK = 256  # Number of images that are copied at a time.


class DeviceTokenCache:
    """Provides patch tokens on `device`: from the device while they are pinned, otherwise from the gallery memory."""

    def __init__(self, memory: GalleryMemory, device: torch.device) -> None:
        self._memory, self._device = memory, device
        self._lock = threading.Lock()
        self._pins = 0
        self._tokens: Tensor | None = None

    def patches(self, rows: np.ndarray | Sequence[int]) -> Tensor:
        """Return the same patch tokens as `GalleryMemory.patches`, (S, N, C) float32, on the device.

        Args:
            rows: (S,) rows of the images, in any order.
        """
        tokens = self._tokens  # The attribute is read once, because another thread may release the tokens.
        if tokens is None:
            return self._memory.patches(rows, self._device)
        return tokens[torch.as_tensor(self._memory.checked_rows(rows)).to(self._device)].float()

    @contextmanager
    def pinned(self) -> Iterator[bool]:
        """Keep all tokens on the device within the context, if they fit; yield whether they do.

        Contexts may be nested and used by several threads.

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
        """Free the tokens on the device, even if they are pinned; later reads use the gallery memory.

        Returns:
            Notice for the user; empty if no tokens were on the device.
        """
        with self._lock:
            tokens, self._tokens = self._tokens, None
        return "" if tokens is None else "the gallery's tokens were released"

    def _copy_to_device(self) -> Tensor | None:
        """Return all tokens on the device, (G, N, C) in the stored type, or None if they do not fit."""
        source = self._memory.tokens
        if source.nbytes > available_bytes(self._device):
            return None
        kind = torch.from_numpy(np.empty(0, source.dtype)).dtype
        try:
            tokens = torch.empty(source.shape, dtype=kind, device=self._device)
        except torch.OutOfMemoryError:  # Another process may have used the memory since it was checked.
            return None
        for start in range(0, len(source), _BLOCK):
            rows = np.arange(start, min(start + _BLOCK, len(source)))
            tokens[start : start + len(rows)] = torch.from_numpy(np.ascontiguousarray(source[rows])).to(self._device)
        return tokens


def available_bytes(device: torch.device) -> int:
    """Return how many bytes tokens may use on a device; 0 on the CPU, where the operating system caches files."""
    if device.type != "cuda":
        return 0
    free, _ = torch.cuda.mem_get_info(device)
    return int(MAX_SHARE * free)

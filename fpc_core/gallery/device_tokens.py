"""Patch tokens of a gallery memory kept on the device, for as long as a run over many queries lasts.

One search reads the tokens of its candidates from disk and sends them over the bus: 37 MB for 100 images of 242 x 768.
A run of thousands of queries would send the same images again and again; where all of them fit beside the work, every
one is sent once.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from fpc_core.gallery.memory import GalleryMemory

SHARE = 0.5  # of the device's free memory that tokens may take
_BLOCK = 256  # images sent at once


class DeviceTokenCache:
    """Gives patch tokens on `device`: from there while somebody holds them, else from the memory."""

    def __init__(self, memory: GalleryMemory, device: torch.device) -> None:
        self._memory, self._device = memory, device
        self._turn = threading.Lock()
        self._holders = 0
        self._tokens: Tensor | None = None

    def patches(self, rows: np.ndarray | Sequence[int]) -> Tensor:
        """`GalleryMemory.patches` on the device, with the same numbers wherever they come from."""
        tokens = self._tokens  # once: another thread may let go meanwhile
        if tokens is None:
            return self._memory.patches(rows, self._device)
        return tokens[torch.as_tensor(self._memory.known_rows(rows)).to(self._device)].float()

    @contextmanager
    def pinned(self) -> Iterator[bool]:
        """Within, all tokens stay on the device, if they fit there: whether they do. May be nested, also by threads.

        Raises GalleryMemoryError for tokens that are not those that were written.
        """
        with self._turn:
            if not self._holders:
                self._tokens = self._sent()
            self._holders += 1
        try:
            yield self._tokens is not None
        finally:
            with self._turn:
                self._holders -= 1
                if not self._holders:
                    self._tokens = None

    def release(self) -> str:
        """Give the device's memory back, whoever holds them: from now on they come from the memory. Says so, or nothing
        where none were here."""
        with self._turn:
            had, self._tokens = self._tokens, None
        return "" if had is None else "the gallery's tokens no longer stay there"

    def _sent(self) -> Tensor | None:
        """(G, N, C) on the device in the type they are stored in; None where they do not fit."""
        source = self._memory.tokens
        if source.nbytes > available_bytes(self._device):
            return None
        kind = torch.from_numpy(np.empty(0, source.dtype)).dtype
        try:
            tokens = torch.empty(source.shape, dtype=kind, device=self._device)
        except torch.OutOfMemoryError:  # it was free a moment ago
            return None
        for start in range(0, len(source), _BLOCK):
            rows = np.arange(start, min(start + _BLOCK, len(source)))
            tokens[start : start + len(rows)] = torch.from_numpy(np.ascontiguousarray(source[rows])).to(self._device)
        return tokens


def available_bytes(device: torch.device) -> int:
    """Bytes that tokens may take on this device: none on the CPU, where they are mapped and cached by the system."""
    if device.type != "cuda":
        return 0
    free, _ = torch.cuda.mem_get_info(device)
    return int(SHARE * free)

"""Files made when a visitor asks for them: one at a time each, in the queue of the model, shared where they are equal.

Streamlit calls a download's function in a thread of a small pool that all visitors share, beside every queue. So a
visitor's next request ends the last one, whoever asks for what is being made waits for it, and a few threads of the
pool are always left for others.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from app.server.queues import BusyError
from app.server.search import run_in_model_queue
from app.session import visitor
from app.session.visitor import current_visitor

File = bytes | str
_LOOK = 0.2  # seconds between two looks whether a visitor who waits still wants it
_POOL = min(32, (os.cpu_count() or 1) + 4)  # threads of asyncio's default executor, in which Streamlit calls us
AT_ONCE = max(2, _POOL - 2)  # requests of all visitors
EACH = 3  # requests of one visitor whose thread has not ended yet


class SupersededError(RuntimeError):
    """The visitor has asked for something else meanwhile, or has left."""


@dataclass(eq=False)
class _Request:
    """What a visitor asked for last."""

    key: Hashable


@dataclass(eq=False)
class _Making:
    """A file that is being made. done: set at the end, with `file` or without, where it failed."""

    done: threading.Event = field(default_factory=threading.Event)
    file: File | None = None


class Downloads:
    """Makes files for visitors, each of whom has one seat."""

    def __init__(self, at_once: int = AT_ONCE, is_here: Callable[[str], bool] = visitor.is_connected) -> None:
        """Args:
        at_once: How many requests there may be, those that wait included.
        is_here: Whether the visitor of this name is still connected.
        """
        self._most, self._is_here = at_once, is_here
        self._latest: dict[str, _Request] = {}
        self._inside: list[str] = []  # the visitor of every request
        self._making: dict[Hashable, _Making] = {}
        self._lock = threading.Lock()

    def get(self, visitor: str, key: Hashable, make: Callable[[], File]) -> File:
        """Return the file, made here or by an equal request that came before.

        Args:
            visitor: Whose seat is taken.
            key: What files are equal by, whoever asks.
            make: Makes the file.

        Raises:
            BusyError: There are too many requests.
            SupersededError: The visitor has asked for another file meanwhile, or for this one again.
        """
        request = _Request(key)
        with self._lock:
            if len(self._inside) >= self._most or self._inside.count(visitor) >= EACH:
                raise BusyError("The server is busy with other downloads. Try again in a minute.")
            self._inside.append(visitor)
            self._latest[visitor] = request
        try:
            while True:
                with self._lock:
                    making = self._making.get(key)
                    mine = making is None
                    if making is None:
                        making = self._making[key] = _Making()
                if mine:
                    return self._make(key, making, make)
                while not making.done.wait(_LOOK):
                    if self._latest.get(visitor) is not request or not self._is_here(visitor):
                        raise SupersededError("another file was asked for")
                if making.file is not None:
                    return making.file
        finally:
            with self._lock:
                self._inside.remove(visitor)
                if self._latest.get(visitor) is request:
                    del self._latest[visitor]

    def _make(self, key: Hashable, making: _Making, make: Callable[[], File]) -> File:
        try:
            with visitor.working_off_page(lambda: self._check_wanted(key)):
                making.file = make()
                return making.file
        finally:
            with self._lock:
                del self._making[key]
            making.done.set()  # who waited finds the file, or makes it now

    def _check_wanted(self, key: Hashable) -> None:
        with self._lock:
            names = [visitor for visitor, request in self._latest.items() if request.key == key]
        if not any(map(self._is_here, names)):
            raise SupersededError("nobody waits for this file any more")


DOWNLOADS = Downloads()


def on_demand(key: Hashable, make: Callable[[], File], *, queued: bool = False) -> Callable[[], File]:
    """Return what `st.download_button` takes to have a file made only when it is asked for. Call it on a page.

    Args:
        key: What the file depends on, all of it: equal keys share one file.
        make: Makes the file.
        queued: Whether `make` enters the queue of the model itself, or what it calls does.
    """
    visitor = current_visitor()
    return lambda: DOWNLOADS.get(visitor, key, make if queued else lambda: run_in_model_queue(make))

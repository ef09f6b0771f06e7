"""One visitor of the Explore page without a browser: Streamlit's WebSocket, and what the page's own scripts would send.

It does what the browser does: large messages are kept and then only named by the server; a fragment's components are
answered within it; `paint_ack.js` reports when an answer is painted, and `job_result.js` polls for background results.
Nothing is drawn, so 50 visitors leave the processor to the server. Follows the client of Streamlit 1.67.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

PAINTED = 2 / 60  # seconds until a browser has drawn an answer: paint_ack.js waits two frames
PATIENCE = 2.0  # of job_result.js and paint_ack.js, in seconds
KEPT_RUNS = 32  # of the page, for which a browser keeps a large message (global.maxCachedMessageAge)
_FINISHED, _OF_FRAGMENT = ForwardMsg.FINISHED_SUCCESSFULLY, ForwardMsg.FINISHED_FRAGMENT_RUN_SUCCESSFULLY
_WATCHED = {"fpc_live_sliders", "fpc_ranking", "fpc_masks", "fpc_job_result", "fpc_paint_ack"}

Dials = dict[str, float]


class LeftError(Exception):
    """Raised when the server ends the connection."""


@dataclass
class _Shown:
    widget: str
    fragment: str
    data: Any
    run: str


class Visit:
    """An open page. answer, final, picture: what it shows last: `live.answer_data`, ids of the consolidated strip,
    the query. complaints: exceptions and failed scripts. notices: messages in words, by their text.
    """

    def __init__(self, socket: ClientConnection, params: Mapping[str, str], on_answer: Callable[[Visit], None]) -> None:
        """on_answer: called at every answer, to the visitor's own move or not."""
        self._socket, self._params, self._on_answer = socket, urlencode(params), on_answer
        self._shown: dict[str, _Shown] = {}
        self._kept: dict[str, tuple[ForwardMsg, int]] = {}
        self._page = self._run = ""
        self._runs = self._serial = 0
        self._of_run: frozenset[str] = frozenset()
        self._running, self._begun = True, False  # requested to run; started to run
        self._released: Dials | None = None
        self._fed: dict[str, str] = {}
        self._timers: dict[str, asyncio.Task[None]] = {}
        self._changed = asyncio.Condition()
        self._failure: Exception | None = None
        self.answer: dict[str, Any] = {}
        self.final: tuple[str, ...] = ()
        self.picture = ""
        self.received = 0
        self.complaints: list[str] = []
        self.notices: dict[str, int] = {}

    @property
    def dials(self) -> Dials:
        """As the last answer has them."""
        return {name: self.answer[name] for name in ("gamma", "alpha", "k")}

    async def open(self) -> None:
        """Ask for the page."""
        await self._ask()

    async def move(self, dials: Dials) -> None:
        """Let the dials go at these values; returns at once."""
        self._serial += 1
        self._released = dials
        await self._ask()

    async def answered(self, dials: Dials, patience: float) -> None:
        """Until the strips show these values. Raises TimeoutError, and LeftError when the server hangs up."""
        await self._until(lambda: bool(self.answer) and self.dials == dials, patience)

    async def rests(self, patience: float) -> None:
        """Until the whole page has followed: no script runs, and no answer waits to be painted. Raises as above."""
        await self._until(lambda: bool(self.answer) and not self._running and "paint-ack" not in self._shown, patience)

    async def _until(self, holds: Callable[[], bool], patience: float) -> None:
        async with asyncio.timeout(patience), self._changed:
            await self._changed.wait_for(lambda: holds() or self._failure is not None)
        if self._failure is not None:
            raise LeftError(str(self._failure)) from self._failure

    async def _ask(self, fragment: str = "", trigger: tuple[str, str, Any] | None = None) -> None:
        """trigger: widget, event and value."""
        request = BackMsg()
        state = request.rerun_script
        state.query_string, state.page_script_hash, state.fragment_id = self._params, self._page, fragment
        state.cached_message_hashes.extend(self._kept)
        if self._released and "sliders" in self._shown:
            released = {"released": {**self._released, "serial": self._serial}}
            state.widget_states.widgets.add(id=self._shown["sliders"].widget, json_value=json.dumps(released))
        if trigger:
            widget, event, value = trigger
            events = json.dumps([{"event": event, "value": value}])
            state.widget_states.widgets.add(id=f"$$STREAMLIT_INTERNAL_KEY_{widget}__events", json_trigger_value=events)
        self._running = True
        await self._socket.send(request.SerializeToString())

    async def listen(self) -> None:
        """Takes what the server sends, until the connection ends."""
        try:
            async for raw in self._socket:
                self.received += len(raw)
                self._take(ForwardMsg.FromString(raw))
                async with self._changed:
                    self._changed.notify_all()
            self._failure = ConnectionError("the connection was closed")
        except Exception as error:
            self._failure = error  # raised for callers that wait for an answer
        finally:
            for timer in self._timers.values():
                timer.cancel()
            async with self._changed:
                self._changed.notify_all()

    def _take(self, message: ForwardMsg) -> None:
        if message.WhichOneof("type") == "ref_hash":
            full = ForwardMsg()
            full.CopyFrom(self._kept[message.ref_hash][0])
            full.metadata.CopyFrom(message.metadata)
            self._kept[message.ref_hash] = (self._kept[message.ref_hash][0], self._runs)
            message = full
        elif message.metadata.cacheable:
            self._kept[message.hash] = (message, self._runs)
        match message.WhichOneof("type"):
            case "new_session":
                self._run, self._of_run = time.monotonic().hex(), frozenset(message.metadata.run.fragment_ids)
                self._page = message.new_session.page_script_hash
                self._running = self._begun = True
            case "navigation":
                self._page = message.navigation.page_script_hash
            case "page_info_changed":
                self._params = message.page_info_changed.query_string
            case "script_finished":
                self._finish(message.script_finished)
            case "delta" if message.delta.WhichOneof("type") == "new_element":
                self._draw(message)

    def _finish(self, how: int) -> None:
        self._running = self._begun = False
        if how == _FINISHED:
            self._runs += 1
            self._kept = {name: (each, at) for name, (each, at) in self._kept.items() if self._runs - at <= KEPT_RUNS}
            gone = [key for key, each in self._shown.items() if each.run != self._run]
        elif how == _OF_FRAGMENT:
            gone = [key for key, each in self._shown.items() if each.run != self._run and each.fragment in self._of_run]
        else:
            if how == ForwardMsg.FINISHED_WITH_COMPILE_ERROR:
                self.complaints.append("a page with a syntax error")
            gone = []
        for key in gone:
            del self._shown[key]
            if timer := self._timers.pop(key, None):
                timer.cancel()

    def _draw(self, message: ForwardMsg) -> None:
        element = message.delta.new_element
        kind = element.WhichOneof("type")
        if kind == "exception":
            self.complaints.append(f"{element.exception.type}: {element.exception.message}")
        elif kind == "alert":
            self.notices[element.alert.body] = self.notices.get(element.alert.body, 0) + 1
        elif kind == "bidi_component" and element.bidi_component.component_name in _WATCHED:
            component = element.bidi_component
            key = component.id.split("-", 2)[2]
            shown = _Shown(component.id, message.delta.fragment_id, json.loads(component.json), self._run)
            self._shown[key] = shown
            if timer := self._timers.pop(key, None):
                timer.cancel()
            match component.component_name:
                case "fpc_ranking":
                    self.answer = shown.data["answer"]
                    self.final = tuple(card["id"] for card in shown.data["final"]["cards"])
                    self._on_answer(self)
                case "fpc_masks":
                    self.picture = shown.data["image"]
                case "fpc_paint_ack":
                    self._ask_in(PAINTED, PATIENCE, key, shown, ("painted", shown.data))
                case "fpc_job_result":
                    self._poll_job(key, shown)

    def _poll_job(self, key: str, shown: _Shown) -> None:
        name, about = shown.data["name"], shown.data["about"]
        if shown.data["error"]:
            self.complaints.append(f"in the background: {shown.data['error']}")
        if shown.data["result"]:
            self._fed[name] = about
        question, pause = ("requested", shown.data.get("answer", 0)), shown.data["pause"] / 1000
        if not shown.data["finished"]:
            self._ask_in(pause, max(PATIENCE, pause), key, shown, question)
        elif self._fed.get(name) != about and not shown.data["error"]:
            self._ask_in(0, PATIENCE, key, shown, question)

    def _ask_in(self, seconds: float, patience: float, key: str, shown: _Shown, question: tuple[str, Any]) -> None:
        """Ask from a component, and ever less often again until something else is drawn in its place; never while the
        page runs. As dom.js does."""

        async def ask() -> None:
            await asyncio.sleep(seconds)
            wait = patience
            while True:
                await self._ask(shown.fragment, (shown.widget, *question))
                await asyncio.sleep(wait)
                while self._begun:
                    await asyncio.sleep(wait)
                wait *= 2

        self._timers[key] = asyncio.create_task(ask())


@asynccontextmanager
async def visit(
    address: str, params: Mapping[str, str], on_answer: Callable[[Visit], None] = lambda page: None
) -> AsyncIterator[Visit]:
    """The page opened at these query parameters, and left in the end."""
    stream = f"{address.replace('http', 'ws', 1)}/_stcore/stream"
    async with connect(
        stream,
        origin=Origin(address),
        subprotocols=[Subprotocol("streamlit")],
        max_size=None,
        compression=None,
        ping_timeout=None,
        open_timeout=60,
    ) as socket:
        page = Visit(socket, params, on_answer)
        listener = asyncio.create_task(page.listen())
        try:
            await page.open()
            yield page
        finally:
            listener.cancel()
            await asyncio.wait([listener])

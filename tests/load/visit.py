"""A visitor of Explore without a browser: a client of Streamlit's WebSocket with the messages of the page's scripts.

The client stores large messages, which the server then sends by hash only. It requests runs of a fragment for the
fragment's components, reports painted answers as `paint_ack.js` does, and polls for background results as
`job_result.js` does. It draws nothing, so 50 visitors use little CPU time. The protocol is that of Streamlit 1.67.
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

PAINT_SECONDS = 2 / 60  # Time until a browser has drawn an answer: paint_ack.js waits for two frames.
RETRY_SECONDS = 2.0  # Time after which job_result.js and paint_ack.js repeat a request.
STORED_RUNS = 32  # Number of runs for which a browser stores a large message (global.maxCachedMessageAge).
_FINISHED, _FRAGMENT_FINISHED = ForwardMsg.FINISHED_SUCCESSFULLY, ForwardMsg.FINISHED_FRAGMENT_RUN_SUCCESSFULLY
_COMPONENTS = {"fpc_live_sliders", "fpc_ranking", "fpc_masks", "fpc_job_result", "fpc_paint_ack"}

SliderValues = dict[str, float]


class ConnectionLostError(Exception):
    """Raised when the server ends the connection."""


@dataclass
class _Component:
    widget: str
    fragment: str
    data: Any
    run: str


class Visit:
    """An open page.

    Attributes:
        answer: Latest result that the page shows, as `live_payload.answer_data` builds it.
        final: Ids of the cards in the consolidated strip.
        image: Image of the query as a data URI.
        received: Number of bytes received.
        errors: Exceptions on the page and failed scripts.
        notices: Number of times that each warning was shown, by its text.
    """

    def __init__(self, socket: ClientConnection, params: Mapping[str, str], on_answer: Callable[[Visit], None]) -> None:
        """Prepare a page, which `open` requests.

        Args:
            socket: Connection to the server.
            params: Query parameters.
            on_answer: Function that is called with every answer, whether or not this visitor has requested it.
        """
        self._socket, self._params, self._on_answer = socket, urlencode(params), on_answer
        self._shown: dict[str, _Component] = {}
        self._stored: dict[str, tuple[ForwardMsg, int]] = {}
        self._page = self._run = ""
        self._runs = self._serial = 0
        self._fragments: frozenset[str] = frozenset()
        self._running, self._started = True, False  # A run was requested; a run has started.
        self._released: SliderValues | None = None
        self._delivered: dict[str, str] = {}
        self._timers: dict[str, asyncio.Task[None]] = {}
        self._changed = asyncio.Condition()
        self._failure: Exception | None = None
        self.answer: dict[str, Any] = {}
        self.final: tuple[str, ...] = ()
        self.image = ""
        self.received = 0
        self.errors: list[str] = []
        self.notices: dict[str, int] = {}

    @property
    def slider_values(self) -> SliderValues:
        """Slider values of the last answer."""
        return {name: self.answer[name] for name in ("gamma", "alpha", "k")}

    async def open(self) -> None:
        """Request the page."""
        await self._request_run()

    async def move(self, values: SliderValues) -> None:
        """Release the sliders at these values, without waiting for an answer."""
        self._serial += 1
        self._released = values
        await self._request_run()

    async def wait_for_answer(self, values: SliderValues, timeout: float) -> None:
        """Wait until the strips show these slider values.

        Args:
            values: Slider values.
            timeout: Maximum waiting time in seconds.

        Raises:
            TimeoutError: The maximum waiting time is over.
            ConnectionLostError: The server ended the connection.
        """
        await self._until(lambda: bool(self.answer) and self.slider_values == values, timeout)

    async def wait_until_idle(self, timeout: float) -> None:
        """Wait until no script runs and every answer is painted, for at most `timeout` seconds.

        Raises:
            TimeoutError: The maximum waiting time is over.
            ConnectionLostError: The server ended the connection.
        """
        await self._until(lambda: bool(self.answer) and not self._running and "paint-ack" not in self._shown, timeout)

    async def _until(self, holds: Callable[[], bool], timeout: float) -> None:
        async with asyncio.timeout(timeout), self._changed:
            await self._changed.wait_for(lambda: holds() or self._failure is not None)
        if self._failure is not None:
            raise ConnectionLostError(str(self._failure)) from self._failure

    async def _request_run(self, fragment: str = "", trigger: tuple[str, str, Any] | None = None) -> None:
        """Request a run.

        Args:
            fragment: Id of a fragment; an empty text for the whole page.
            trigger: Widget, event and value that the run receives, or None.
        """
        request = BackMsg()
        state = request.rerun_script
        state.query_string, state.page_script_hash, state.fragment_id = self._params, self._page, fragment
        state.cached_message_hashes.extend(self._stored)
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
        """Process the messages of the server until the connection ends."""
        try:
            async for raw in self._socket:
                self.received += len(raw)
                self._process(ForwardMsg.FromString(raw))
                async with self._changed:
                    self._changed.notify_all()
            self._failure = ConnectionError("the connection was closed")
        except Exception as error:
            self._failure = error  # `_until` raises it.
        finally:
            for timer in self._timers.values():
                timer.cancel()
            async with self._changed:
                self._changed.notify_all()

    def _process(self, message: ForwardMsg) -> None:
        if message.WhichOneof("type") == "ref_hash":
            full = ForwardMsg()
            full.CopyFrom(self._stored[message.ref_hash][0])
            full.metadata.CopyFrom(message.metadata)
            self._stored[message.ref_hash] = (self._stored[message.ref_hash][0], self._runs)
            message = full
        elif message.metadata.cacheable:
            self._stored[message.hash] = (message, self._runs)
        match message.WhichOneof("type"):
            case "new_session":
                self._run, self._fragments = time.monotonic().hex(), frozenset(message.metadata.run.fragment_ids)
                self._page = message.new_session.page_script_hash
                self._running = self._started = True
            case "navigation":
                self._page = message.navigation.page_script_hash
            case "page_info_changed":
                self._params = message.page_info_changed.query_string
            case "script_finished":
                self._finish(message.script_finished)
            case "delta" if message.delta.WhichOneof("type") == "new_element":
                self._draw(message)

    def _finish(self, how: int) -> None:
        self._running = self._started = False
        if how == _FINISHED:
            self._runs += 1
            self._stored = {
                name: (each, at) for name, (each, at) in self._stored.items() if self._runs - at <= STORED_RUNS
            }
            gone = [key for key, each in self._shown.items() if each.run != self._run]
        elif how == _FRAGMENT_FINISHED:
            gone = [
                key for key, each in self._shown.items() if each.run != self._run and each.fragment in self._fragments
            ]
        else:
            if how == ForwardMsg.FINISHED_WITH_COMPILE_ERROR:
                self.errors.append("the page has a syntax error")
            gone = []
        for key in gone:
            del self._shown[key]
            if timer := self._timers.pop(key, None):
                timer.cancel()

    def _draw(self, message: ForwardMsg) -> None:
        element = message.delta.new_element
        kind = element.WhichOneof("type")
        if kind == "exception":
            self.errors.append(f"{element.exception.type}: {element.exception.message}")
        elif kind == "alert":
            self.notices[element.alert.body] = self.notices.get(element.alert.body, 0) + 1
        elif kind == "bidi_component" and element.bidi_component.component_name in _COMPONENTS:
            component = element.bidi_component
            key = component.id.split("-", 2)[2]
            shown = _Component(component.id, message.delta.fragment_id, json.loads(component.json), self._run)
            self._shown[key] = shown
            if timer := self._timers.pop(key, None):
                timer.cancel()
            match component.component_name:
                case "fpc_ranking":
                    self.answer = shown.data["answer"]
                    self.final = tuple(card["id"] for card in shown.data["final"]["cards"])
                    self._on_answer(self)
                case "fpc_masks":
                    self.image = shown.data["image"]
                case "fpc_paint_ack":
                    self._request_later(PAINT_SECONDS, RETRY_SECONDS, key, shown, ("painted", shown.data))
                case "fpc_job_result":
                    self._poll_job(key, shown)

    def _poll_job(self, key: str, shown: _Component) -> None:
        name, about = shown.data["name"], shown.data["about"]
        if shown.data["error"]:
            self.errors.append(f"background job: {shown.data['error']}")
        if shown.data["result"]:
            self._delivered[name] = about
        event, pause = ("requested", shown.data.get("answer", 0)), shown.data["pause"] / 1000
        if not shown.data["finished"]:
            self._request_later(pause, max(RETRY_SECONDS, pause), key, shown, event)
        elif self._delivered.get(name) != about and not shown.data["error"]:
            self._request_later(0, RETRY_SECONDS, key, shown, event)

    def _request_later(
        self, seconds: float, retry: float, key: str, component: _Component, event: tuple[str, Any]
    ) -> None:
        """Send an event of a component after a delay, and repeat it at growing intervals until the component changes.

        As in dom.js, nothing is sent while the page runs.

        Args:
            seconds: Delay in seconds.
            retry: First interval in seconds; every further interval is twice as long.
            key: Key of the component.
            component: The component.
            event: Name and value of the event.
        """

        async def request() -> None:
            await asyncio.sleep(seconds)
            wait = retry
            while True:
                await self._request_run(component.fragment, (component.widget, *event))
                await asyncio.sleep(wait)
                while self._started:
                    await asyncio.sleep(wait)
                wait *= 2

        self._timers[key] = asyncio.create_task(request())


@asynccontextmanager
async def visit(
    address: str, params: Mapping[str, str], on_answer: Callable[[Visit], None] = lambda page: None
) -> AsyncIterator[Visit]:
    """Open the page with query parameters, and close it at the end.

    Args:
        address: Address of the app.
        params: Query parameters.
        on_answer: Function that is called with the page at every answer.
    """
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

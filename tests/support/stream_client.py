"""A visitor without a browser: a WebSocket connection to the server that can send any message."""

from contextlib import contextmanager

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol


@contextmanager
def connected(address):
    """Open the connection of a new session."""
    with connect(
        f"{address.replace('http', 'ws', 1)}/_stcore/stream",
        origin=Origin(address),
        subprotocols=[Subprotocol("streamlit")],
        max_size=None,
        compression=None,
        open_timeout=60,
        close_timeout=2,
    ) as socket:
        yield socket


def request_page(socket, page="", query=""):
    """Request a page without waiting for the answer."""
    message = BackMsg()
    message.rerun_script.page_name = page
    message.rerun_script.query_string = query
    socket.send(message.SerializeToString())


def answer(socket, until="script_finished", timeout=120):
    """Return the server's messages up to the first of a kind.

    Args:
        socket: Connection to the server.
        until: Kind of the last message.
        timeout: Maximum number of seconds between two messages.

    Raises:
        TimeoutError: The server sent no message in time.
    """
    messages = []
    while not messages or messages[-1].WhichOneof("type") != until:
        messages.append(ForwardMsg.FromString(socket.recv(timeout=timeout)))
    return messages

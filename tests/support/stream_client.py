"""A visitor as the server sees one: a WebSocket that can send anything, without a browser."""

from contextlib import contextmanager

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol


@contextmanager
def connected(address):
    """Open the socket of a new session of the server."""
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


def ask(socket, page="", query=""):
    """Request a page without waiting."""
    message = BackMsg()
    message.rerun_script.page_name = page
    message.rerun_script.query_string = query
    socket.send(message.SerializeToString())


def answer(socket, until="script_finished", patience=120):
    """Return what the server sends up to a message of this kind. Raises TimeoutError."""
    messages = []
    while not messages or messages[-1].WhichOneof("type") != until:
        messages.append(ForwardMsg.FromString(socket.recv(timeout=patience)))
    return messages

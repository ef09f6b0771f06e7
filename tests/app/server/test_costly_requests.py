"""Waiting times of a visitor while others open links that take long to answer, compared with an idle server."""

import base64
import json
import threading
import time
import zlib
from urllib.parse import urlencode

import pytest

from app.session import lab_scene
from fpc_core.data.occluders import FORMAT
from fpc_core.io import dataclass_json
from tests.support.server import resident, server
from tests.support.stream_client import answer, connected, request_page

TIMES_IDLE = 20  # An answer may take this multiple of the time on an idle server, plus GRACE.
GRACE = 3.0  # Seconds.
GROWTH = 400  # Maximum growth of the server's memory in MB.
VISITORS = 4


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """Start a server with the demo, load its engine, and return its address and process."""
    with server(settings={"FPC_CACHE": str(tmp_path_factory.mktemp("cache"))}) as (address, _, process):
        for page in ("", "lab"):
            seconds_of_a_page(address, page)
        yield address, process


def seconds_of_a_page(address, page="", query=""):
    """Return the time in seconds until a page is answered.

    Args:
        address: Address of the server.
        page: Name of the page; an empty text for Explore.
        query: Query string of the link.
    """
    start = time.perf_counter()
    with connected(address) as socket:
        request_page(socket, page, query)
        answer(socket)
    return time.perf_counter() - start


def scene_of_thousands():
    """Return a scene for a link: a few kilobytes that unpack to 65,000 poles."""
    packed = zlib.compress(json.dumps({"format": FORMAT, "occluders": [{"kind": "pole"}] * 65_000}).encode(), 9)
    link = base64.urlsafe_b64encode(packed).decode("ascii").rstrip("=")
    assert len(link) < 12_000  # The link is not longer than allowed.
    return link


def costly_links(kind):
    if kind == "scene":
        return [("lab", urlencode({"scene": scene_of_thousands()}))] * VISITORS
    # The slowest search that a link can request: the exact solver without pruning. Each visitor has another alpha, so
    # that no result is shared.
    return [("", urlencode({"solver": "exact", "gamma": "1.0", "alpha": f"0.{n}"})) for n in range(1, VISITORS + 1)]


@pytest.mark.parametrize("kind", ["scene", "solver"])
def test_costly_links_barely_delay_another_visitor(running, kind):
    address, process = running
    idle = max(seconds_of_a_page(address) for _ in range(3))
    before, waits, answered = resident(process), [], []

    def visit(page, query):
        answered.append(seconds_of_a_page(address, page, query))

    visitors = [threading.Thread(target=visit, args=link) for link in costly_links(kind)]
    for visitor in visitors:
        visitor.start()
    while len(waits) < 2 or any(visitor.is_alive() for visitor in visitors):
        waits.append(seconds_of_a_page(address))
    for visitor in visitors:
        visitor.join()
    figures = json.dumps({"idle": idle, "waits": waits, "answered": answered})
    assert len(answered) == VISITORS, figures
    assert max(waits) < TIMES_IDLE * idle + GRACE, figures
    assert resident(process) - before < GROWTH, figures


def test_the_link_of_thousands_is_refused_before_it_is_built():
    with pytest.raises(dataclass_json.RecipeError):
        lab_scene.from_link(scene_of_thousands())

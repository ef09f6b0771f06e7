"""What other visitors notice while some open links that are costly by design, compared with an idle server."""

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

TIMES_IDLE = 20  # an answer may take so much longer than on an idle server, plus GRACE seconds
GRACE = 3.0
GROWTH = 400  # MB that the server may grow by
VISITORS = 4


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """Address and process of a server of the demo whose engine is loaded."""
    with server(settings={"FPC_CACHE": str(tmp_path_factory.mktemp("cache"))}) as (address, _, process):
        for page in ("", "lab"):
            seconds_of_a_page(address, page)
        yield address, process


def seconds_of_a_page(address, page="", query=""):
    start = time.perf_counter()
    with connected(address) as socket:
        request_page(socket, page, query)
        answer(socket)
    return time.perf_counter() - start


def scene_of_thousands():
    """A link of a few kilobytes that unpacks to 65,000 poles."""
    packed = zlib.compress(json.dumps({"format": FORMAT, "occluders": [{"kind": "pole"}] * 65_000}).encode(), 9)
    link = base64.urlsafe_b64encode(packed).decode("ascii").rstrip("=")
    assert len(link) < 12_000  # the limit of a link's length does not stop it
    return link


def costly_links(kind):
    if kind == "scene":
        return [("lab", urlencode({"scene": scene_of_thousands()}))] * VISITORS
    # The slowest search that a link can ask for: no pruning and the exact solver, a different one for each visitor.
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

"""Waiting times of other visitors while one opens data that are slow to read, compared with an idle server."""

import json
import os
import shutil
import threading
import time
from urllib.parse import urlencode

import pytest

from fpc_core.data.datasets import open_dataset
from fpc_core.data.ground_truth import RECORDS
from tests.support.hostile_files import flat_mask, sparse, write_rows
from tests.support.server import resident, server
from tests.support.stream_client import answer, connected, request_page

TIMES_IDLE = 20  # An answer may take this multiple of the time on an idle server, plus GRACE.
GRACE = 3.0  # Seconds.
GROWTH = 400  # Maximum growth of the server's memory in MB.
SLOW_ANSWER = 30.0  # Seconds within which the visitor with the slow data must get an answer.


@pytest.fixture(scope="module")
def house(small_places, tmp_path_factory):
    """Create a root with copies of the small workspace, each with another file that is expensive to read."""
    house = tmp_path_factory.mktemp("hostile") / "house"
    house.mkdir()
    shutil.copy(small_places.weights, house / "model.safetensors")
    shutil.copytree(small_places.memory, house / "memory")
    for name in ("rows", "pixels", "label", "manifest"):
        shutil.copytree(small_places.data, house / name)
    dataset = open_dataset(small_places.data)
    images = [record.path.as_posix() for record in (*dataset.query, *dataset.gallery)]
    write_rows(house / "rows" / RECORDS, 3_000_000)
    write_rows(house / "pixels" / RECORDS, paths=images, mask=flat_mask(6250))
    sparse(house / "label" / "dataset.json", 1_200_000_000)
    shutil.copytree(small_places.memory, house / "giant")
    sparse(house / "giant" / "manifest.json", 1_200_000_000)
    shutil.copytree(small_places.memory, house / "waiting")
    (house / "waiting" / "manifest.json").unlink()
    if hasattr(os, "mkfifo"):
        os.mkfifo(house / "waiting" / "manifest.json")
    return house


@pytest.fixture(scope="module")
def running(small_places, house, tmp_path_factory):
    """Start a server, load its engine, and return its address and process."""
    settings = {
        "FPC_DATA": str(small_places.data),
        "FPC_WEIGHTS": str(small_places.weights),
        "FPC_MEMORY": str(small_places.memory),
        "FPC_ROOTS": str(house),
        "FPC_CACHE": str(tmp_path_factory.mktemp("cache")),
    }
    with server(settings=settings) as (address, _, process):
        with connected(address) as socket:
            for page in ("", "data", ""):
                request_page(socket, page)
                answer(socket)
        yield address, process


def seconds_of_a_page(address):
    """Return the time in seconds that another visitor waits for the Explore page."""
    with connected(address) as socket:
        began = time.perf_counter()
        request_page(socket)
        answer(socket)
        return time.perf_counter() - began


@pytest.mark.parametrize("page", ["", "data"])
@pytest.mark.parametrize(
    ("data", "memory", "words"),
    [
        ("rows", "memory", "has 3,000,000 rows"),
        ("pixels", "memory", "has 6250 x 6250 pixels"),
        ("label", "memory", "bytes, the limit is"),
        ("rows", "giant", "bytes, the limit is"),
        ("rows", "waiting", "is not a regular file but a named pipe"),
    ],
)
def test_slow_data_delays_no_other_visitor_and_takes_little_ram(running, data, memory, words, page):
    address, process = running
    idle = max(seconds_of_a_page(address) for _ in range(2))
    before, peak, waits, took, alerts = resident(process), 0.0, [], [], []
    link = {"data": f"house/{data}", "weights": "house/model.safetensors", "memory": f"house/{memory}"}

    def visit():
        began = time.perf_counter()
        with connected(address) as socket:
            request_page(socket, page, urlencode(link))
            elements = [each.delta.new_element for each in answer(socket) if each.WhichOneof("type") == "delta"]
        alerts.extend(each.alert.body for each in elements if each.WhichOneof("type") == "alert")
        took.append(time.perf_counter() - began)

    slow = threading.Thread(target=visit)
    slow.start()
    while slow.is_alive() or len(waits) < 2:
        waits.append(seconds_of_a_page(address))
        peak = max(peak, resident(process))
    slow.join()
    figures = json.dumps({"idle": idle, "waits": waits, "took": took, "grew": peak - before})
    assert max(waits) < TIMES_IDLE * idle + GRACE, figures
    assert took, "never answered"
    assert took[0] < SLOW_ANSWER, figures
    if not page or data == "label" or memory != "memory":  # The Data page reads no ground-truth masks.
        assert any(words in each for each in alerts), alerts
    assert peak - before < GROWTH, figures

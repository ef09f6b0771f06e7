"""Files on demand: one request per visitor, equal files made once, and threads left for others."""

import threading
import time

import pytest

from app.server import downloads
from app.server.downloads import Downloads, SupersededError
from app.server.queues import BusyError, FairQueue
from app.session import visitor as visitors


def until(holds):
    for _ in range(1000):
        if holds():
            return
        time.sleep(0.01)
    raise TimeoutError


class Request:
    """A request in a thread of its own, as in Streamlit. `made` counts the files made for it."""

    def __init__(self, seats, visitor, key, make):
        self.file = self.error = None
        self._thread = threading.Thread(target=self._run, args=(seats, visitor, key, make))
        self._thread.start()

    def _run(self, seats, visitor, key, make):
        try:
            self.file = seats.get(visitor, key, make)
        except (BusyError, SupersededError) as error:
            self.error = error

    @property
    def ended(self):
        return not self._thread.is_alive()

    def end(self):
        self._thread.join(20)
        assert self.ended
        return self


class Work:
    """Makes a file until it is released, with frequent checkpoints."""

    def __init__(self):
        self.begun, self.let_go, self.times = threading.Event(), threading.Event(), 0

    def __call__(self):
        self.times += 1
        self.begun.set()
        while not self.let_go.wait(0.01):
            visitors.stop_if_superseded()
        return b"file"


@pytest.fixture
def seats():
    return Downloads(max_requests=6, is_connected=lambda name: True)


def test_eight_requests_for_one_file_are_one_computation(seats):
    work, wide = Work(), Downloads(max_requests=20, is_connected=lambda name: True)
    requests = [Request(wide, f"v{number}", "large", work) for number in range(8)]
    until(lambda: len(wide._active) == 8)
    work.let_go.set()
    assert [each.end().file for each in requests] == [b"file"] * 8
    assert work.times == 1


def test_repeated_requests_of_a_visitor_leave_slots_for_others(seats):
    work, small = Work(), Work()
    requests = []
    for _ in range(8):
        requests.append(Request(seats, "hasty", "large", work))
        work.begun.wait(10)
        until(lambda: len(seats._active) <= 2 or requests[-1].ended)
    assert len(seats._active) <= 2 + 1
    small.let_go.set()
    assert Request(seats, "other", "small", small).end().file == b"file"
    work.let_go.set()
    assert [each.end() for each in requests][-1].file == b"file"
    assert work.times == 1


def test_the_next_request_of_a_visitor_ends_the_last_one(seats):
    first, second = Work(), Work()
    one = Request(seats, "a", "one", first)
    first.begun.wait(10)
    two = Request(seats, "a", "two", second)
    assert isinstance(one.end().error, SupersededError)
    second.let_go.set()
    assert two.end().file == b"file"
    assert seats._active == []
    assert seats._latest == {}


def test_a_file_that_another_visitor_waits_for_is_made_to_the_end(seats):
    shared, second = Work(), Work()
    second.let_go.set()
    one = Request(seats, "a", "shared", shared)
    shared.begun.wait(10)
    other = Request(seats, "b", "shared", shared)
    until(lambda: len(seats._active) == 2)
    assert Request(seats, "a", "else", second).end().file == b"file"
    shared.let_go.set()
    assert other.end().file == b"file"
    one.end()
    assert shared.times == 1


def test_too_many_requests_are_refused_with_a_message():
    seats, work = Downloads(max_requests=2, is_connected=lambda name: True), Work()
    requests = [Request(seats, name, name, work) for name in "ab"]
    until(lambda: len(seats._active) == 2)
    with pytest.raises(BusyError, match="busy with other downloads"):
        seats.get("c", "c", work)
    work.let_go.set()
    assert [each.end().file for each in requests] == [b"file"] * 2


def test_a_waiting_request_makes_the_file_after_a_failure(seats):
    work = Work()

    def fails():
        work()
        raise BusyError("no")

    one = Request(seats, "a", "it", fails)
    work.begun.wait(10)
    other = Request(seats, "b", "it", lambda: b"anew")
    until(lambda: len(seats._active) == 2)
    work.let_go.set()
    assert str(one.end().error) == "no"
    assert other.end().file == b"anew"


def test_a_visitor_who_has_left_ends_the_work_for_the_file():
    gone = set()
    seats, work = Downloads(max_requests=6, is_connected=lambda name: name not in gone), Work()
    requests = Request(seats, "a", "it", work)
    work.begun.wait(10)
    gone.add("a")
    assert isinstance(requests.end().error, SupersededError)


def test_a_download_waits_in_the_model_queue(monkeypatch):
    queue = FairQueue(1, 10)
    monkeypatch.setattr("app.server.search.MODEL_QUEUE", queue)
    monkeypatch.setattr(downloads, "DOWNLOADS", Downloads(max_requests=6, is_connected=lambda name: True))
    monkeypatch.setattr(downloads, "current_visitor", lambda: "a")
    files = []
    make = downloads.on_demand("it", lambda: b"file")
    with visitors.working_for_visitor(lambda: None), queue.slot():
        thread = threading.Thread(target=lambda: files.append(make()))
        thread.start()
        until(lambda: queue.waiting == 1)
        assert files == []
    thread.join(20)
    assert files == [b"file"]

"""Files on demand: one request per visitor, one computation for equal files, and free slots for other visitors."""

import threading
import time

import pytest

from app.server import downloads
from app.server.downloads import Downloads, SupersededError
from app.server.queues import BusyError, FairQueue
from app.session import visitor as visitors


def wait_until(condition):
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.01)
    raise TimeoutError


class Request:
    """A request in a separate thread, as in Streamlit.

    Attributes:
        file: The file, or None until it is made.
        error: The error that ended the request, or None.
    """

    def __init__(self, manager, visitor, key, make):
        self.file = self.error = None
        self._thread = threading.Thread(target=self._run, args=(manager, visitor, key, make))
        self._thread.start()

    def _run(self, manager, visitor, key, make):
        try:
            self.file = manager.get(visitor, key, make)
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
    """Function that makes a file. It runs, with frequent checkpoints, until `release` is set.

    Attributes:
        begun: Event that is set when the function is called.
        release: Event that lets the function end.
        calls: Number of calls.
    """

    def __init__(self):
        self.begun, self.release, self.calls = threading.Event(), threading.Event(), 0

    def __call__(self):
        self.calls += 1
        self.begun.set()
        while not self.release.wait(0.01):
            visitors.stop_if_superseded()
        return b"file"


@pytest.fixture
def manager():
    return Downloads(max_requests=6, is_connected=lambda name: True)


def test_eight_requests_for_one_file_are_one_computation(manager):
    work, wide = Work(), Downloads(max_requests=20, is_connected=lambda name: True)
    requests = [Request(wide, f"v{number}", "large", work) for number in range(8)]
    wait_until(lambda: len(wide._active) == 8)
    work.release.set()
    assert [each.end().file for each in requests] == [b"file"] * 8
    assert work.calls == 1


def test_repeated_requests_of_a_visitor_leave_slots_for_others(manager):
    work, small = Work(), Work()
    requests = []
    for _ in range(8):
        requests.append(Request(manager, "impatient", "large", work))
        work.begun.wait(10)
        wait_until(lambda: len(manager._active) <= 2 or requests[-1].ended)
    assert len(manager._active) <= 2 + 1
    small.release.set()
    assert Request(manager, "other", "small", small).end().file == b"file"
    work.release.set()
    assert [each.end() for each in requests][-1].file == b"file"
    assert work.calls == 1


def test_a_visitors_next_request_ends_the_previous_one(manager):
    first, second = Work(), Work()
    one = Request(manager, "a", "one", first)
    first.begun.wait(10)
    two = Request(manager, "a", "two", second)
    assert isinstance(one.end().error, SupersededError)
    second.release.set()
    assert two.end().file == b"file"
    assert manager._active == []
    assert manager._latest == {}


def test_a_file_that_another_visitor_waits_for_is_completed(manager):
    shared, second = Work(), Work()
    second.release.set()
    one = Request(manager, "a", "shared", shared)
    shared.begun.wait(10)
    other = Request(manager, "b", "shared", shared)
    wait_until(lambda: len(manager._active) == 2)
    assert Request(manager, "a", "else", second).end().file == b"file"
    shared.release.set()
    assert other.end().file == b"file"
    one.end()
    assert shared.calls == 1


def test_too_many_requests_are_refused_with_a_message():
    manager, work = Downloads(max_requests=2, is_connected=lambda name: True), Work()
    requests = [Request(manager, name, name, work) for name in "ab"]
    wait_until(lambda: len(manager._active) == 2)
    with pytest.raises(BusyError, match="busy with other downloads"):
        manager.get("c", "c", work)
    work.release.set()
    assert [each.end().file for each in requests] == [b"file"] * 2


def test_a_waiting_request_makes_the_file_after_a_failure(manager):
    work = Work()

    def fails():
        work()
        raise BusyError("no")

    one = Request(manager, "a", "it", fails)
    work.begun.wait(10)
    other = Request(manager, "b", "it", lambda: b"second file")
    wait_until(lambda: len(manager._active) == 2)
    work.release.set()
    assert str(one.end().error) == "no"
    assert other.end().file == b"second file"


def test_a_request_ends_when_its_visitor_has_left():
    gone = set()
    manager, work = Downloads(max_requests=6, is_connected=lambda name: name not in gone), Work()
    requests = Request(manager, "a", "it", work)
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
        wait_until(lambda: queue.waiting == 1)
        assert files == []
    thread.join(20)
    assert files == [b"file"]

"""The queues: a limited number of slots, in order of arrival, with a message, and without visitors who move on."""

import threading

import pytest

from app.server import queues
from app.server.queues import BusyError, FairQueue


class MovedOn(BaseException):
    """Exception that ends a run that was superseded, as in Streamlit."""


@pytest.fixture
def visitors(monkeypatch):
    """Return an object that starts visitors, each in a thread that the queues treat as a page run.

    Its attributes: `gone`, names of visitors who move on; `messages`, pairs of a visitor and a text shown to it;
    `order`, names in the order in which they got a slot; `ended`, the error of every visitor that has ended, or None.
    """

    class Visitors:
        def __init__(self):
            self.gone, self.messages, self.order, self.ended = set(), [], [], {}
            self.threads = []

        def come(self, queue, name, stay):
            def compute():
                try:
                    with queue.slot():
                        self.order.append(name)
                        stay.wait(10)
                    self.ended[name] = None
                except (BusyError, MovedOn, RuntimeError) as error:
                    self.ended[name] = error

            before = queue.waiting
            thread = threading.Thread(target=compute, name=name)
            thread.start()
            self.threads.append(thread)
            for _ in range(500):  # Until it waits, has a slot, or was refused.
                if queue.waiting > before or name in self.order or name in self.ended:
                    return
                threading.Event().wait(0.01)
            raise TimeoutError

        def leave(self):
            for thread in self.threads:
                thread.join(10)
                assert not thread.is_alive()

    result = Visitors()

    def stop_if_superseded():
        if threading.current_thread().name in result.gone:
            raise MovedOn

    class Spinner:
        def __init__(self, text):
            self.text = text

        def __enter__(self):
            result.messages.append((threading.current_thread().name, self.text))

        def __exit__(self, *_):
            return None

    monkeypatch.setattr(queues, "in_page_run", lambda: True)
    monkeypatch.setattr(queues, "stop_if_superseded", stop_if_superseded)
    monkeypatch.setattr(queues.st, "spinner", Spinner)
    return result


def wait_until(condition):
    for _ in range(500):
        if condition():
            return
        threading.Event().wait(0.01)
    raise TimeoutError


def assert_lets_the_next_in(queue, visitors):
    stay = threading.Event()
    stay.set()
    visitors.come(queue, "b", stay)
    visitors.leave()
    assert visitors.order == ["b"]


def test_visitors_are_admitted_one_at_a_time_in_order(visitors):
    queue, stay = FairQueue(1, 10), threading.Event()
    for name in "abcd":
        visitors.come(queue, name, stay)
    assert visitors.order == ["a"]
    assert queue.waiting == 3
    stay.set()
    visitors.leave()
    assert visitors.order == ["a", "b", "c", "d"]
    assert queue.waiting == 0


def test_as_many_visitors_compute_as_there_are_slots(visitors):
    queue, stay = FairQueue(2, 10), threading.Event()
    for name in "abc":
        visitors.come(queue, name, stay)
    assert sorted(visitors.order) == ["a", "b"]
    stay.set()
    visitors.leave()
    assert len(visitors.order) == 3


def test_a_waiting_visitor_sees_how_many_are_ahead(visitors):
    queue, stay = FairQueue(1, 10), threading.Event()
    for name in "abc":
        visitors.come(queue, name, stay)
    wait_until(lambda: len(visitors.messages) == 2)
    stay.set()
    visitors.leave()
    assert set(visitors.messages) == {("b", "In the queue: 1 ahead of you"), ("c", "In the queue: 2 ahead of you")}


def test_a_visitor_who_does_not_wait_sees_no_message(visitors):
    queue, stay = FairQueue(1, 10), threading.Event()
    stay.set()
    visitors.come(queue, "a", stay)
    visitors.leave()
    assert visitors.messages == []


def test_a_visitor_who_moves_on_leaves_the_queue(visitors):
    queue, stay = FairQueue(1, 10), threading.Event()
    for name in "abc":
        visitors.come(queue, name, stay)
    visitors.gone.add("b")
    wait_until(lambda: queue.waiting == 1)
    stay.set()
    visitors.leave()
    assert visitors.order == ["a", "c"]
    assert isinstance(visitors.ended["b"], MovedOn)


def test_a_full_queue_refuses_until_there_is_space(visitors):
    queue, stay = FairQueue(1, 2), threading.Event()
    for name in "abcd":
        visitors.come(queue, name, stay)
    assert str(visitors.ended["d"]) == "The server is busy (2 users waiting). Try again in a minute."
    stay.set()
    visitors.leave()
    visitors.come(queue, "e", stay)
    visitors.leave()
    assert visitors.order == ["a", "b", "c", "e"]


def test_an_error_inside_releases_the_slot(visitors):
    queue = FairQueue(1, 10)
    with pytest.raises(ValueError, match="damaged"), queue.slot():
        raise ValueError("damaged")
    assert_lets_the_next_in(queue, visitors)


def test_a_released_slot_is_regained_before_all_others(visitors):
    pages, stay, computed = FairQueue(1, 10, show_position=False), threading.Event(), threading.Event()
    order = []

    def compute():
        with pages.slot():
            order.append("draws")
            with pages.release_while():
                computed.wait(10)
            order.append("continues")

    thread = threading.Thread(target=compute)
    thread.start()
    wait_until(lambda: order == ["draws"])
    for name in "bc":
        visitors.come(pages, name, stay)
    assert visitors.order == ["b"]
    computed.set()
    wait_until(lambda: pages.waiting == 2)
    assert order == ["draws"]
    stay.set()
    thread.join(10)
    visitors.leave()
    assert order == ["draws", "continues"]
    assert visitors.order == ["b", "c"]
    assert visitors.messages == []
    with pages.slot():  # All slots are free again.
        assert pages.waiting == 0


def test_a_visitor_who_ends_while_released_frees_the_slot(visitors):
    pages = FairQueue(1, 10)
    with pytest.raises(MovedOn), pages.slot(), pages.release_while():
        raise MovedOn
    assert_lets_the_next_in(pages, visitors)


def test_release_without_a_slot_does_nothing(visitors):
    pages, stay = FairQueue(1, 10), threading.Event()
    visitors.come(pages, "a", stay)
    with pages.release_while():
        assert visitors.order == ["a"]
    visitors.come(pages, "b", stay)
    assert visitors.order == ["a"]
    stay.set()
    visitors.leave()


def test_background_work_does_not_wait(monkeypatch):
    monkeypatch.setattr(queues, "in_page_run", lambda: False)
    queue = FairQueue(1, 0)
    with queue.slot(), queue.slot():
        assert queue.waiting == 0


def test_a_long_computation_gives_each_other_visitor_a_turn(visitors, monkeypatch):
    monkeypatch.setattr(queues, "TURN_SECONDS", 0.0)
    queue, stay, order = FairQueue(1, 10), threading.Event(), []
    stay.set()
    begun = threading.Event()

    def compute():
        with queue.slot():
            begun.set()
            wait_until(lambda: queue.waiting == 3)
            for part in range(4):
                order.append(f"part {part} after {len(visitors.order)}")
                queue.take_turns()

    thread = threading.Thread(target=compute)
    thread.start()
    begun.wait(10)
    for name in "bcd":
        visitors.come(queue, name, stay)
    thread.join(10)
    visitors.leave()
    assert order[:2] == ["part 0 after 0", "part 1 after 3"]
    assert len(order) == 4
    assert visitors.order == ["b", "c", "d"]
    assert queue.waiting == 0


def test_a_brief_or_lone_computation_keeps_its_slot(visitors):
    queue, stay = FairQueue(1, 10), threading.Event()
    queue.take_turns()  # Without a slot, this does nothing.
    with queue.slot():
        queue.take_turns()
        visitors.come(queue, "b", stay)
        queue.take_turns()
        assert visitors.order == []
    stay.set()
    visitors.leave()
    assert visitors.order == ["b"]


def test_a_request_that_computes_too_long_ends_with_a_message(visitors, monkeypatch):
    monkeypatch.setattr(queues, "MAX_SECONDS", 0.0)
    queue = FairQueue(1, 10)
    monkeypatch.setattr(queues.time, "monotonic", iter(range(100)).__next__)
    with pytest.raises(BusyError, match="This would take the server more than"), queue.slot():
        queue.take_turns()
    monkeypatch.undo()
    monkeypatch.setattr(queues, "in_page_run", lambda: True)
    assert_lets_the_next_in(queue, visitors)


def test_a_visitor_who_moves_on_stops_computing_at_the_next_turn(visitors):
    queue = FairQueue(1, 10)
    visitors.gone.add(threading.current_thread().name)
    with pytest.raises(MovedOn), queue.slot():
        queue.take_turns()
    assert_lets_the_next_in(queue, visitors)


def test_a_short_search_ends_before_another_visitors_long_one(visitors, monkeypatch):
    """The long search has the most expensive settings. Without turns, the short search would wait until it ends."""
    import numpy as np

    from app.server import search
    from fpc_core.config import MAX_ITERATIONS
    from fpc_core.matching.sinkhorn import sinkhorn_cpu

    queue = FairQueue(1, 10)
    monkeypatch.setattr(search, "MODEL_QUEUE", queue)
    monkeypatch.setattr(search, "in_page_run", lambda: False)
    monkeypatch.setattr(queues, "TURN_SECONDS", 0.1)
    rng = np.random.default_rng(0)
    cost = rng.random((1000, 124, 242), dtype=np.float32)
    a, b = (rng.random((1000, size), dtype=np.float32) for size in (124, 242))
    a, b = a / a.sum(1, keepdims=True), b / b.sum(1, keepdims=True)
    begun, over = threading.Event(), []

    def longest():
        def work():
            begun.set()
            sinkhorn_cpu(cost, a, b, 0.05, 1e-12, MAX_ITERATIONS)

        try:
            search.run_in_model_queue(work)
        except MovedOn:
            over.append("ended early")

    thread = threading.Thread(target=longest, name="long")
    thread.start()
    begun.wait(60)
    short = []
    search.run_in_model_queue(lambda: short.append(thread.is_alive()))
    assert short == [True]
    visitors.gone.add("long")
    thread.join(60)
    assert over == ["ended early"]

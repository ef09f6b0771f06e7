"""A short load test with two visitors, and checks that it detects wrong answers."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from fpc_core.workspace import Places, open_workspace
from tests.load.load import memory_line, plans, play, row, wrong_answers
from tests.load.visit import visit

SECONDS = 5.0


def alone(coroutine):
    """Run a coroutine in another thread, because this thread may already have the event loop of Playwright."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()


@pytest.fixture(scope="module")
def workspace():
    return open_workspace(Places(), "cpu")


@pytest.fixture(scope="module")
def tally(workspace, url):
    """Return the tally of two visitors. The second expects answers to another query, so it reports all as wrong."""
    honest, misled = plans(workspace, 2)
    alone(play(url, [honest], 0.0, 0.0, (0.0, 0.0)))  # The server imports its modules.
    return alone(play(url, [honest, replace(misled, key="another", image="")], SECONDS, 0.0, (0.05, 0.3)))


def test_a_slider_moved_away_and_back_at_once_keeps_its_value(workspace, url):
    """If the second move were not sent, the URL would keep the value of the first one."""
    (plan,) = plans(workspace, 1)
    other = {**plan.values, "alpha": (plan.values["alpha"] + 0.5) % 1}

    async def move_away_and_back():
        shown = []
        async with visit(url, plan.params) as page:
            await page.wait_until_idle(60)
            for _ in range(12):
                await page.move(other)
                await page.move(plan.values)
                await page.wait_for_answer(plan.values, 60)
                await page.wait_until_idle(60)
                shown.append(page.slider_values)
        return shown

    assert alone(move_away_and_back()) == 12 * [plan.values]


def test_visitors_are_all_different(workspace):
    made = plans(workspace, 250)
    assert len({plan.key for plan in made}) == 250
    assert len({plan.query.name for plan in made}) == len(workspace.dataset.query)


def test_every_move_is_answered_and_timed(tally):
    assert len(tally.opened) == 2
    assert len(tally.pages) == len(tally.strips) >= 2
    assert all(0 < taken < moment for moment, taken in tally.pages)
    assert tally.received > 100_000


def test_only_another_visitors_data_is_reported(tally):
    assert not [each for each in tally.errors if each.startswith("visitor 0")]
    messages = " ".join(tally.errors)
    assert "visitor 1: an answer to other settings or another query" in messages
    assert "visitor 1: another visitor's query is shown" in messages


def test_answers_are_recomputed_and_a_wrong_one_is_reported(workspace, tally):
    correct = next(each for each in tally.answers if each.plan.number == 0)
    assert wrong_answers(workspace, [correct]) == []
    for wrong in (
        replace(correct, rows=correct.rows[::-1]),
        replace(correct, d_emd=correct.d_emd + 0.01),
        replace(correct, final=correct.final[::-1]),
    ):
        assert "visitor 0" in wrong_answers(workspace, [wrong])[0]


def test_a_missing_server_is_an_error_without_traceback(workspace):
    result = alone(play("http://127.0.0.1:9", plans(workspace, 1), 1.0, 0.0))
    assert "connection lost" in result.errors[0]


def test_the_table_skips_the_first_minute_and_reports_growth():
    times = [(10.0, 9.0), *((60.0 + at, 0.1 * at) for at in range(1, 21))]
    assert row("it", times, 60.0) == "| it | 20 | 1.05 | 2.00 | 2.00 |"
    assert row("it", times, 100.0) == "| it | 0 | - | - | - |"
    samples = [(0, 1), *((60 + 30 * step, 600 + 10 * max(0, step - 2)) for step in range(6))]
    assert "60 s: 600 to 630 MB, most 630, trend +12.6 MB a minute, in the second half +20.0" in memory_line(
        samples, 60
    )
    assert "630 MB at the end, too short for a trend" in memory_line(samples, 120)

"""A short load test with two visitors: it detects wrong answers."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from fpc_core.workspace import Places, open_workspace
from tests.load.load import memory_line, plans, play, row, wrong_answers
from tests.load.visit import visit

SECONDS = 5.0


def alone(coroutine):
    """Run a coroutine in another thread, because this one may have Playwright's event loop."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()


@pytest.fixture(scope="module")
def workspace():
    return open_workspace(Places(), "cpu")


@pytest.fixture(scope="module")
def tally(workspace, url):
    """Two visitors, the second of whom mistakes the answers to its own query for another's."""
    honest, misled = plans(workspace, 2)
    alone(play(url, [honest], 0.0, 0.0, (0.0, 0.0)))  # The server imports what it needs.
    return alone(play(url, [honest, replace(misled, key="another", picture="")], SECONDS, 0.0, (0.05, 0.3)))


def test_a_slider_moved_away_and_back_at_once_stays_back(workspace, url):
    """Without a report of the way back, the browser's URL would hold the value in between."""
    (plan,) = plans(workspace, 1)
    there = {**plan.values, "alpha": (plan.values["alpha"] + 0.5) % 1}

    async def there_and_back():
        shown = []
        async with visit(url, plan.params) as page:
            await page.wait_until_idle(60)
            for _ in range(12):
                await page.move(there)
                await page.move(plan.values)
                await page.wait_for_answer(plan.values, 60)
                await page.wait_until_idle(60)
                shown.append(page.slider_values)
        return shown

    assert alone(there_and_back()) == 12 * [plan.values]


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
    right = next(each for each in tally.answers if each.plan.number == 0)
    assert wrong_answers(workspace, [right]) == []
    for wrong in (
        replace(right, rows=right.rows[::-1]),
        replace(right, d_emd=right.d_emd + 0.01),
        replace(right, final=right.final[::-1]),
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

"""Simulate visitors on the demo: `python -m tests.load.load [--sessions 50] [--minutes 5] [--log FILE]`.

The script starts its own server. Every visitor is a client of Streamlit's WebSocket protocol (visit.py) and has
its own query and settings. The visitors arrive within half a minute. Each moves a slider, waits for the answer, pauses
for 2 to 10 s and moves the next one; one move in ten is replaced by another before it is answered. Every answer must
belong to the visitor's own query, image, settings and slider values. Some answers are recomputed afterwards.

The visitors run on the same cores as the server; their CPU time is printed. Times count from the second minute on,
when all have arrived. The exit status is 1 if there was any error.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from app.components.live_payload import answer_data, view_key
from app.server.search import Query, model_input
from app.session.view import View, keep_rates
from fpc_core.config import QuerySettings, Variant
from fpc_core.data.browser_encoding import data_uri
from fpc_core.data.images import resize_image
from fpc_core.explain.cards import QueryIdentity
from fpc_core.workspace import Places, Workspace, open_workspace
from tests.load.visit import ConnectionLostError, SliderValues, Visit, visit
from tests.support.server import busy_seconds, resident, server

ARRIVAL = 30.0  # Seconds within which all visitors arrive.
PAUSE = (2.0, 10.0)  # Shortest and longest pause of a visitor between two moves, in seconds.
TIMEOUT = 120.0  # Seconds after which a move counts as unanswered.
REPLACED = 0.1  # Share of the moves that are replaced by another before they are answered.
WARM_UP = 60.0  # Seconds from the start that are not counted.
RECOMPUTED = 3  # Approximate number of answers of every visitor that are recomputed.
TOLERANCE = 1e-4  # Tolerance of recomputed distances.


@dataclass(frozen=True)
class Plan:
    """Requests of one visitor, and values that identify its answers.

    Attributes:
        number: Number of the visitor.
        query: Its query.
        settings: Its settings; the slider values in them are replaced by `values`.
        values: Its first slider values.
        key: Key of its answers (`live_payload.view_key`).
        image: Image of its query as a data URI.
    """

    number: int
    query: Query
    settings: QuerySettings
    values: SliderValues
    key: str
    image: str

    @property
    def params(self) -> dict[str, str]:
        return View(self.query.name, settings=with_values(self.settings, self.values)).to_params()


@dataclass(frozen=True)
class Answer:
    """An answer to recompute.

    Attributes:
        plan: Plan of the visitor.
        values: Slider values of the answer.
        rows: Gallery rows of the shortlist.
        d_cos: Cosine distances of these rows.
        d_emd: Transport distances of these rows.
        final: Gallery rows in the consolidated strip.
    """

    plan: Plan
    values: SliderValues
    rows: tuple[int, ...]
    d_cos: np.ndarray
    d_emd: np.ndarray
    final: tuple[str, ...]


@dataclass
class Tally:
    """Results of all visitors.

    A time is a pair: seconds since the start at its end, and its duration in seconds.

    Attributes:
        opened: Times from opening the page until it was idle.
        strips: Times from a move until the strips showed its answer.
        pages: Times from a move until the page was idle.
        replaced: Number of moves that were replaced before they were answered.
        received: Number of bytes received.
        notices: Number of times that each warning was shown.
        errors: Descriptions of all errors.
        answers: Answers to recompute.
    """

    opened: list[tuple[float, float]] = field(default_factory=list)
    strips: list[tuple[float, float]] = field(default_factory=list)
    pages: list[tuple[float, float]] = field(default_factory=list)
    replaced: int = 0
    received: int = 0
    notices: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)


def with_values(settings: QuerySettings, values: SliderValues) -> QuerySettings:
    """Return search settings with these slider values."""
    moved = settings.with_keep_rate(values["gamma"])
    return replace(moved, alpha=values["alpha"], neighbors=int(values["k"]))


def random_values(rng: random.Random) -> SliderValues:
    """Return random slider values."""
    return {"gamma": rng.choice(keep_rates()), "alpha": rng.randint(0, 100) / 100, "k": rng.randint(1, 20)}


def plans(workspace: Workspace, count: int) -> list[Plan]:
    """Return plans with different queries and settings. If the dataset has too few queries, several plans share one.

    Args:
        workspace: Workspace with the demo.
        count: Number of plans.
    """
    made, records = [], workspace.dataset.query
    size = workspace.retriever.model.config.image_size
    for number in range(count):
        record = records[number * max(1, len(records) // count) % len(records)]
        image = resize_image(workspace.dataset.read(record), size)
        query = Query(record.path.as_posix(), image, QueryIdentity(record.identity, record.camera), workspace.key)
        settings = QuerySettings(variant=list(Variant)[number % len(Variant)], shortlist=workspace.dataset.shortlist)
        epsilon = round(settings.transport.epsilon + 0.005 * (number // len(records)), 3)
        settings = replace(settings, transport=replace(settings.transport, epsilon=epsilon))
        key = view_key(query.digest, settings)
        made.append(Plan(number, query, settings, random_values(random.Random(number)), key, data_uri(image)))
    return made


class Visitor:
    """A visitor that moves sliders and checks the answers."""

    def __init__(self, plan: Plan, tally: Tally, began: float) -> None:
        self.plan, self.tally, self.began = plan, tally, began
        self.rng = random.Random(1000 + plan.number)
        self.requested = [plan.values]

    async def stay(self, address: str, until: float, pause: tuple[float, float]) -> None:
        """Open the page and move sliders.

        Args:
            address: Address of the app.
            until: Value of `time.perf_counter()` after which no slider is moved.
            pause: Shortest and longest pause between two moves, in seconds.
        """
        start = time.perf_counter()
        try:
            async with visit(address, self.plan.params, self.check) as page:
                try:
                    await page.wait_until_idle(TIMEOUT)
                    self.note(self.tally.opened, start)
                    while time.perf_counter() < until:
                        await asyncio.sleep(self.rng.uniform(*pause))
                        await self.move(page)
                finally:
                    self.tally.received += page.received
                    self.tally.notices.update(page.notices)
                    self.tally.errors += [f"visitor {self.plan.number}: {each}" for each in page.errors]
                self.keep(page)
        except TimeoutError:
            self.wrong(f"no answer to {self.requested[-1]} within {TIMEOUT:.0f} s")
        except (ConnectionLostError, OSError) as error:
            self.wrong(f"connection lost: {error}")

    async def move(self, page: Visit) -> None:
        """Move one slider and wait for the answer; some moves are replaced by another before they are answered."""
        if self.rng.random() < REPLACED:
            await page.move(self.next_values())
            await asyncio.sleep(self.rng.uniform(0.05, 0.5))
            self.tally.replaced += 1
        values, start = self.next_values(), time.perf_counter()
        await page.move(values)
        await page.wait_for_answer(values, TIMEOUT)
        self.note(self.tally.strips, start)
        await page.wait_until_idle(TIMEOUT)
        self.note(self.tally.pages, start)
        if page.slider_values != values:
            self.wrong(f"the idle page shows {page.slider_values}, not {values}")
        if page.image != self.plan.image:
            self.wrong("another visitor's query is shown")
        if self.rng.random() < RECOMPUTED / 30:  # A visitor makes about 40 moves in 5 minutes.
            self.keep(page)

    def next_values(self) -> SliderValues:
        """Return the last slider values with another value for one of them."""
        last, name = self.requested[-1], self.rng.choice(("gamma", "alpha", "k"))
        while (values := {**last, name: random_values(self.rng)[name]}) == last:
            pass
        self.requested.append(values)
        return values

    def check(self, page: Visit) -> None:
        """Check that every answer belongs to this visitor's query, settings and requested slider values."""
        if page.answer["key"] != self.plan.key:
            self.wrong(f"an answer to other settings or another query: {page.answer['key']}, not {self.plan.key}")
        if page.slider_values not in self.requested:
            self.wrong(f"an answer to slider values that were not requested: {page.slider_values}")

    def keep(self, page: Visit) -> None:
        """Store the page's answer, so that it is recomputed later."""
        match = page.answer["match"]
        distances = (np.frombuffer(base64.b64decode(match[name]), "<f4") for name in ("dCos", "dEmd"))
        self.tally.answers.append(
            Answer(self.plan, page.slider_values, tuple(match["indices"]), *distances, page.final)
        )

    def note(self, times: list[tuple[float, float]], start: float) -> None:
        """Append a duration that ends now.

        Args:
            times: List of `Tally` to which the pair is appended.
            start: Value of `time.perf_counter()` at its start.
        """
        now = time.perf_counter()
        times.append((now - self.began, now - start))

    def wrong(self, error: str) -> None:
        """Record an error."""
        self.tally.errors.append(f"visitor {self.plan.number}: {error}")


async def play(
    address: str, visitors: Sequence[Plan], seconds: float, arrival: float = ARRIVAL, pause: tuple[float, float] = PAUSE
) -> Tally:
    """Run all visitors at once.

    Args:
        address: Address of the app.
        visitors: Plans of the visitors.
        seconds: Time after which no visitor makes another move.
        arrival: Seconds within which the visitors arrive.
        pause: Shortest and longest pause between two moves, in seconds.
    """
    tally, began = Tally(), time.perf_counter()

    async def arrive(plan: Plan) -> None:
        await asyncio.sleep(arrival * plan.number / len(visitors))
        await Visitor(plan, tally, began).stay(address, began + seconds, pause)

    async with asyncio.TaskGroup() as group:
        for plan in visitors:
            group.create_task(arrive(plan))
    return tally


async def sample_memory(process: int, every: float, samples: list[tuple[float, float]]) -> None:
    """Measure the memory of a process until the task is cancelled.

    Args:
        process: Id of the process.
        every: Interval in seconds.
        samples: List that receives pairs of seconds since the start and resident MB.
    """
    began = time.perf_counter()
    while True:
        samples.append((time.perf_counter() - began, resident(process)))
        await asyncio.sleep(every)


def wrong_answers(workspace: Workspace, answers: Sequence[Answer]) -> list[str]:
    """Recompute answers with the core alone, and return a description of each answer that differs.

    Args:
        workspace: Workspace with the demo.
        answers: Answers to recompute.
    """
    wrong = []
    for answer in answers:
        query, settings = answer.plan.query, with_values(answer.plan.settings, answer.values)
        image, cameras = model_input(workspace, query)
        trace = workspace.retriever.search(image, settings, cameras)
        match = trace.match
        records, uses_cameras = workspace.retriever.memory.records, workspace.dataset.uses_cameras
        data = answer_data(trace, answer.plan.key, records, query.subject, uses_cameras, 10)
        same = answer.rows == tuple(data["match"]["indices"]) and all(
            np.allclose(got, expected, atol=TOLERANCE)
            for got, expected in ((answer.d_cos, match.shortlist.d_cos), (answer.d_emd, match.transport.distance))
        )
        ranked = [str(row) for row in trace.final.indices.tolist()]
        # The strip leaves out junk images, and the others must be in the order of the ranking.
        places = [ranked.index(row) for row in answer.final]
        if not same or places != sorted(places) or len(places) != 10:
            wrong.append(f"visitor {answer.plan.number}: the core ranks differently at {answer.values}")
    return wrong


def row(what: str, times: Sequence[tuple[float, float]], since: float) -> str:
    """Return a row of the table with number, median, 95th percentile and maximum of durations.

    Args:
        what: Label of the row.
        times: Pairs of the end, in seconds since the start, and the duration in seconds.
        since: Earliest end that counts.
    """
    taken = sorted(seconds for moment, seconds in times if moment >= since)
    if not taken:
        return f"| {what} | 0 | - | - | - |"
    high = taken[min(len(taken) - 1, int(0.95 * len(taken)))]
    return f"| {what} | {len(taken)} | {np.median(taken):.2f} | {high:.2f} | {taken[-1]:.2f} |"


def memory_line(samples: Sequence[tuple[float, float]], warm: float) -> str:
    """Return a line on the server's memory. It also states the trend of the second half, when the caches are full.

    Args:
        samples: Pairs of seconds since the start and resident MB.
        warm: Seconds from the start that are not counted.
    """
    after = np.array([(moment, mb) for moment, mb in samples if moment >= warm])
    if len(after) < 5:
        return f"server memory: {samples[-1][1]:.0f} MB at the end, too short for a trend"
    slope, later = (np.polyfit(part[:, 0] / 60, part[:, 1], 1)[0] for part in (after, after[len(after) // 2 :]))
    listed = ", ".join(f"{mb:.0f}" for _, mb in samples)
    return (
        f"server memory after {warm:.0f} s: {after[0, 1]:.0f} to {after[-1, 1]:.0f} MB, most "
        f"{after[:, 1].max():.0f}, trend {slope:+.1f} MB a minute, in the second half {later:+.1f}\n"
        f"MB every 10 s: {listed}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=50)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument(
        "--log", type=Path, help="write the server's output, with the tracebacks of its errors, to this file"
    )
    arguments = parser.parse_args()
    seconds = 60 * arguments.minutes
    warm = min(WARM_UP, seconds / 2)
    workspace = open_workspace(Places.from_environment())
    visitors = plans(workspace, arguments.sessions)
    samples: list[tuple[float, float]] = []
    with tempfile.TemporaryFile() as log, tempfile.TemporaryDirectory() as cache:
        with server(log, {"FPC_CACHE": cache}) as (address, _, process):

            async def play_and_sample() -> Tally:
                sampling = asyncio.create_task(sample_memory(process, 10.0, samples))
                tally = await play(address, visitors, seconds)
                sampling.cancel()
                return tally

            began, own = time.perf_counter(), sum(os.times()[:2])
            tally = asyncio.run(play_and_sample())
            lasted, own = time.perf_counter() - began, sum(os.times()[:2]) - own
            busy = busy_seconds(process)
        log.seek(0)
        log_text = log.read().decode("utf-8", "replace")
        if arguments.log:
            arguments.log.write_text(log_text, encoding="utf-8")
    errors = [*tally.errors, *(line for line in log_text.splitlines() if "Error" in line or "Traceback" in line)]
    torch.set_num_threads(1)  # The server uses one thread as well.
    errors += wrong_answers(workspace, tally.answers)

    cores = os.cpu_count()
    print(f"{len(visitors)} sessions, {lasted:.0f} s, {cores} cores, {time.strftime('%Y-%m-%d')}\n")
    print("| seconds | times | median | p95 | worst |\n|---|---|---|---|---|")
    print(row("page opened to page idle", tally.opened, 0))
    print(row("slider released to its strips", tally.strips, warm))
    print(row("slider released to page idle", tally.pages, warm))
    print(f"\n{tally.replaced} moves were replaced before they were answered")
    print(memory_line(samples, warm))
    print(f"cores busy: server {busy / lasted:.2f}, visitors {own / lasted:.2f} of {cores}")
    print(f"sent to the visitors: {tally.received / 1e6:.0f} MB; {len(tally.answers)} answers recomputed")
    for text, times in tally.notices.most_common(5):
        print(f"{times} times: {text}")
    print(f"errors: {len(errors)}")
    for each in errors[:20]:
        print(f"  {each[:300]}")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())

"""Many visitors at once move dials on the demo: `python -m tests.load.load [--sessions 50] [--minutes 5] [--log FILE]`.

Starts its own server; every visitor is a WebSocket of Streamlit's own protocol (visit.py) with a query and settings of
its own. They come within half a minute; each moves a dial, waits for the answer, looks at it for 2 to 10 s and moves
the next; one move in ten is made over before it is answered. Whatever comes back must be of the visitor's own query,
picture, settings and dials; a few answers of everybody are computed again in this process afterwards and compared.

The visitors run on the same cores as the server; their CPU time is printed. Figures count from the second minute
on, when all have arrived. Says "errors: 0" and ends with 0, or lists what went wrong and ends with 1.
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
from tests.load.visit import Dials, LeftError, Visit, visit
from tests.support.server import busy_seconds, resident, server

ARRIVE = 30.0  # seconds within which all visitors come
LOOK = (2.0, 10.0)  # seconds a visitor looks at an answer
PATIENCE = 120.0  # seconds after which a move counts as unanswered
HASTY = 0.1  # share of moves made over before they are answered
WARM_UP = 60.0
CHECKED = 3  # answers of every visitor that are computed again
CLOSE = 1e-4  # of distances computed again


@dataclass(frozen=True)
class Plan:
    """What one visitor does, and what identifies its own answers: key and image of the query."""

    number: int
    query: Query
    settings: QuerySettings
    dials: Dials
    key: str
    picture: str

    @property
    def params(self) -> dict[str, str]:
        return View(self.query.name, settings=at(self.settings, self.dials)).to_params()


@dataclass(frozen=True)
class Answer:
    """dials, and of the strips: rows of the shortlist, both distances, what the consolidated strip shows."""

    plan: Plan
    dials: Dials
    rows: tuple[int, ...]
    d_cos: np.ndarray
    d_emd: np.ndarray
    final: tuple[str, ...]


@dataclass
class Tally:
    """opened, strips, pages: (seconds since the start, seconds it took) from opening to a page at rest, and from a move
    to its strips and to the page at rest.  answers: to compute again.
    """

    opened: list[tuple[float, float]] = field(default_factory=list)
    strips: list[tuple[float, float]] = field(default_factory=list)
    pages: list[tuple[float, float]] = field(default_factory=list)
    superseded: int = 0
    received: int = 0
    notices: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)


def at(settings: QuerySettings, dials: Dials) -> QuerySettings:
    moved = settings.with_keep_rate(dials["gamma"])
    return replace(moved, alpha=dials["alpha"], neighbors=int(dials["k"]))


def some_dials(rng: random.Random) -> Dials:
    return {"gamma": rng.choice(keep_rates()), "alpha": rng.randint(0, 100) / 100, "k": rng.randint(1, 20)}


def plans(workspace: Workspace, count: int) -> list[Plan]:
    """Return visitors with different queries and settings, one query each as far as the data allows."""
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
        made.append(Plan(number, query, settings, some_dials(random.Random(number)), key, data_uri(image)))
    return made


class Visitor:
    """One visitor: its requests and the answers to them."""

    def __init__(self, plan: Plan, tally: Tally, began: float) -> None:
        self.plan, self.tally, self.began = plan, tally, began
        self.rng = random.Random(1000 + plan.number)
        self.requested = [plan.dials]

    async def stay(self, address: str, until: float, look: tuple[float, float]) -> None:
        """Move dials until then, a moment of `time.perf_counter`."""
        start = time.perf_counter()
        try:
            async with visit(address, self.plan.params, self.check) as page:
                try:
                    await page.rests(PATIENCE)
                    self.note(self.tally.opened, start)
                    while time.perf_counter() < until:
                        await asyncio.sleep(self.rng.uniform(*look))
                        await self.move(page)
                finally:
                    self.tally.received += page.received
                    self.tally.notices.update(page.notices)
                    self.tally.errors += [f"visitor {self.plan.number}: {each}" for each in page.complaints]
                self.keep(page)
        except TimeoutError:
            self.wrong(f"no answer to {self.requested[-1]} within {PATIENCE:.0f} s")
        except (LeftError, OSError) as error:
            self.wrong(f"connection lost: {error}")

    async def move(self, page: Visit) -> None:
        """One dial to another place, waited for; now and then the visitor thinks better of it."""
        if self.rng.random() < HASTY:
            await page.move(self.turned())
            await asyncio.sleep(self.rng.uniform(0.05, 0.5))
            self.tally.superseded += 1
        wanted, start = self.turned(), time.perf_counter()
        await page.move(wanted)
        await page.answered(wanted, PATIENCE)
        self.note(self.tally.strips, start)
        await page.rests(PATIENCE)
        self.note(self.tally.pages, start)
        if page.dials != wanted:
            self.wrong(f"at rest the page shows {page.dials}, not {wanted}")
        if page.picture != self.plan.picture:
            self.wrong("another visitor's query is shown")
        if self.rng.random() < CHECKED / 30:  # of some 40 moves in 5 minutes
            self.keep(page)

    def turned(self) -> Dials:
        """Return the slider values with another value for one of them."""
        last, name = self.requested[-1], self.rng.choice(("gamma", "alpha", "k"))
        while (dials := {**last, name: some_dials(self.rng)[name]}) == last:
            pass
        self.requested.append(dials)
        return dials

    def check(self, page: Visit) -> None:
        """Check that every answer belongs to this visitor's query, settings and requested slider values."""
        if page.answer["key"] != self.plan.key:
            self.wrong(f"an answer to other settings or another query: {page.answer['key']}, not {self.plan.key}")
        if page.dials not in self.requested:
            self.wrong(f"an answer to dials that were not requested: {page.dials}")

    def keep(self, page: Visit) -> None:
        match = page.answer["match"]
        distances = (np.frombuffer(base64.b64decode(match[name]), "<f4") for name in ("dCos", "dEmd"))
        self.tally.answers.append(Answer(self.plan, page.dials, tuple(match["indices"]), *distances, page.final))

    def note(self, times: list[tuple[float, float]], start: float) -> None:
        now = time.perf_counter()
        times.append((now - self.began, now - start))

    def wrong(self, what: str) -> None:
        self.tally.errors.append(f"visitor {self.plan.number}: {what}")


async def play(
    address: str, who: Sequence[Plan], seconds: float, arrive: float = ARRIVE, look: tuple[float, float] = LOOK
) -> Tally:
    """All of them at once. arrive: seconds within which they come.  look: least and most between two moves."""
    tally, began = Tally(), time.perf_counter()

    async def come(plan: Plan) -> None:
        await asyncio.sleep(arrive * plan.number / len(who))
        await Visitor(plan, tally, began).stay(address, began + seconds, look)

    async with asyncio.TaskGroup() as group:
        for plan in who:
            group.create_task(come(plan))
    return tally


async def watched(process: int, every: float, samples: list[tuple[float, float]]) -> None:
    """MB of the server, again and again, into `samples` with the seconds since the start."""
    began = time.perf_counter()
    while True:
        samples.append((time.perf_counter() - began, resident(process)))
        await asyncio.sleep(every)


def wrong_answers(workspace: Workspace, answers: Sequence[Answer]) -> list[str]:
    """Recompute every answer with the core alone, and return those that differ."""
    wrong = []
    for answer in answers:
        query, settings = answer.plan.query, at(answer.plan.settings, answer.dials)
        image, cameras = model_input(workspace, query)
        trace = workspace.retriever.search(image, settings, cameras)
        match = trace.match
        records, uses_cameras = workspace.retriever.memory.records, workspace.dataset.uses_cameras
        data = answer_data(trace, answer.plan.key, records, query.subject, uses_cameras, 10)
        same = answer.rows == tuple(data["match"]["indices"]) and all(
            np.allclose(got, expected, atol=CLOSE)
            for got, expected in ((answer.d_cos, match.shortlist.d_cos), (answer.d_emd, match.transport.distance))
        )
        ranked = [str(row) for row in trace.final.indices.tolist()]
        # Junk is not shown; what is shown must stand in the order of the ranking.
        places = [ranked.index(row) for row in answer.final]
        if not same or places != sorted(places) or len(places) != 10:
            wrong.append(f"visitor {answer.plan.number}: at {answer.dials} the core ranks otherwise")
    return wrong


def row(what: str, times: Sequence[tuple[float, float]], since: float) -> str:
    """Return a line of the table: times that ended after `since`."""
    taken = sorted(seconds for moment, seconds in times if moment >= since)
    if not taken:
        return f"| {what} | 0 | - | - | - |"
    high = taken[min(len(taken) - 1, int(0.95 * len(taken)))]
    return f"| {what} | {len(taken)} | {np.median(taken):.2f} | {high:.2f} | {taken[-1]:.2f} |"


def memory_line(samples: Sequence[tuple[float, float]], warm: float) -> str:
    """The trend as well in the second half, when bounded caches have filled."""
    after = np.array([(moment, mb) for moment, mb in samples if moment >= warm])
    if len(after) < 5:
        return f"server memory: {samples[-1][1]:.0f} MB at the end, too short to tell more"
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
    parser.add_argument("--log", type=Path, help="keeps what the server says, with the tracebacks of its errors")
    arguments = parser.parse_args()
    seconds = 60 * arguments.minutes
    warm = min(WARM_UP, seconds / 2)
    workspace = open_workspace(Places.from_environment())
    who = plans(workspace, arguments.sessions)
    samples: list[tuple[float, float]] = []
    with tempfile.TemporaryFile() as log, tempfile.TemporaryDirectory() as cache:
        with server(log, {"FPC_CACHE": cache}) as (address, _, process):

            async def both() -> Tally:
                watching = asyncio.create_task(watched(process, 10.0, samples))
                tally = await play(address, who, seconds)
                watching.cancel()
                return tally

            began, own = time.perf_counter(), sum(os.times()[:2])
            tally = asyncio.run(both())
            lasted, own = time.perf_counter() - began, sum(os.times()[:2]) - own
            busy = busy_seconds(process)
        log.seek(0)
        log_text = log.read().decode("utf-8", "replace")
        if arguments.log:
            arguments.log.write_text(log_text, encoding="utf-8")
    errors = [*tally.errors, *(line for line in log_text.splitlines() if "Error" in line or "Traceback" in line)]
    torch.set_num_threads(1)  # as the server computes
    errors += wrong_answers(workspace, tally.answers)

    cores = os.cpu_count()
    print(f"{len(who)} sessions, {lasted:.0f} s, {cores} cores, {time.strftime('%Y-%m-%d')}\n")
    print("| seconds | times | median | p95 | worst |\n|---|---|---|---|---|")
    print(row("page opened to page at rest", tally.opened, 0))
    print(row("dial let go to its strips", tally.strips, warm))
    print(row("dial let go to page at rest", tally.pages, warm))
    print(f"\n{tally.superseded} moves were made over before they were answered")
    print(memory_line(samples, warm))
    print(f"cores busy: server {busy / lasted:.2f}, visitors {own / lasted:.2f} of {cores}")
    print(f"sent to the visitors: {tally.received / 1e6:.0f} MB; {len(tally.answers)} answers computed again")
    for text, times in tally.notices.most_common(5):
        print(f"{times} times: {text}")
    print(f"errors: {len(errors)}")
    for each in errors[:20]:
        print(f"  {each[:300]}")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())

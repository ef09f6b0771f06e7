"""Feeds hostile input to everything that reads what strangers send, and counts what came of it.

    python -m tests.fuzz.fuzzing [--inputs 50000] [--seed 0] [--targets images checkpoints ...] [--findings FOLDER]
    python -m tests.fuzz.fuzzing --targets images --only 1234     (that input alone, with its traceback)

Every input is made from seed, target and number, so a finding can be made again from its number. A target may accept an
input, if what comes of it holds together, or refuse it by the error that its docstring names. Everything else is a
finding: another exception, a result that does not hold together, a dead process, an input that takes longer than
SECONDS, and one that takes more than MEMORY, which the process is also refused by the system.

The inputs are made by our own damage and not by a coverage-guided fuzzer, since what would have to be guided, the
decoders of Pillow and torch, is compiled without counters; nor by hypothesis, which took 13 ms to make one damaged
file and spent two of three on the first bytes.
"""

from __future__ import annotations

import argparse
import os
import pickle
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import numpy as np

SECONDS = 20.0  # of the processor, for one input; WAIT of them go by at most
WAIT = 30
MEMORY = 1 << 30  # bytes beyond what the process has before the input
_LOOKS = 0.1  # seconds between looks at the process
_INPUTS, _ACCEPTED, _BEGUN, _BEGUN_CPU, _SLOWEST, _SLOWEST_AT, _PEAK, _PEAK_AT = range(8)


@dataclass(frozen=True)
class Finding:
    """What should not have happened. what: in words, the same for findings of the same cause.  number: of the input."""

    target: str
    what: str
    number: int
    detail: str = ""


@dataclass(frozen=True)
class Outcome:
    """Of one target. slowest: seconds of the processor; peak: bytes gained; each with the number of its input."""

    target: str
    inputs: int
    accepted: int
    slowest: tuple[float, int]
    peak: tuple[int, int]
    findings: tuple[Finding, ...] = field(default=())


def fuzz(
    target: str,
    inputs: int,
    seed: int = 0,
    folder: Path | None = None,
    seconds: float = SECONDS,
    memory: int = MEMORY,
    module: str = "tests.fuzz.fuzzing",
) -> Outcome:
    """Feed `inputs` inputs to a target in a process of its own, which is begun anew after it has died.

    folder: where the inputs of findings are kept, pickled.  seconds, memory: bounds of one input.
    module: the program that `begin`s the process.
    """
    findings: list[Finding] = []
    done, accepted, slowest, peak = 0, 0, (0.0, 0), (0, 0)
    with tempfile.TemporaryDirectory() as work:
        while done < inputs:
            board = _board(Path(work))
            job = [module, "--child", work, target, str(done), str(inputs), str(seed)]
            dead = _watched(Path(work), board, job, seconds)
            findings += pickle.loads(_read(Path(work) / "findings"))
            accepted += int(board[_ACCEPTED])
            slowest = max(slowest, (float(board[_SLOWEST]), int(board[_SLOWEST_AT])))
            peak = max(peak, (int(board[_PEAK]), int(board[_PEAK_AT])))
            done = int(board[_INPUTS])
            if dead:
                findings.append(Finding(target, dead, done, (Path(work) / "log").read_text(errors="replace")[-4000:]))
                done += 1
                if board[_BEGUN] == 0:
                    raise RuntimeError(f"the target {target} cannot be begun: {findings[-1].detail}")
    if peak[0] > memory:
        findings.append(Finding(target, f"more than {memory >> 20} MB", peak[1]))
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        for each in findings:
            (folder / f"{target}-{each.number}.pickle").write_bytes(pickle.dumps(made(target, seed, each.number)))
    return Outcome(target, inputs, accepted, slowest, peak, tuple(findings))


def made(target: str, seed: int, number: int) -> object:
    """The input of this number."""
    from tests.fuzz.targets import TARGETS

    return TARGETS[target].make(Random(f"{seed} {target} {number}"))


def feed(target: str, value: object, folder: Path) -> bool:
    """Whether the target accepted it; False where it refused in the way it may. Raises whatever else comes out."""
    from tests.fuzz.targets import TARGETS

    try:
        TARGETS[target].feed(value, folder)
    except TARGETS[target].refuses as error:
        cause = error.__cause__
        if isinstance(cause, MemoryError) or "allocate memory" in str(cause):
            raise cause from None
        return False
    return True


def _board(work: Path) -> np.memmap:
    """Counters that outlive the process that counts."""
    (work / "findings").unlink(missing_ok=True)
    return np.memmap(work / "board", np.float64, "w+", shape=(8,))


def _watched(work: Path, board: np.memmap, job: Sequence[str], seconds: float) -> str:
    """Run the process to its end; what killed it, else empty."""
    with (work / "log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", *job], stdout=log, stderr=log)
        while process.poll() is None:
            time.sleep(_LOOKS)
            if board[_BEGUN] and _overdue(process.pid, board, seconds):
                process.kill()
                process.wait()
                return f"longer than {seconds:g} s"
    if process.returncode < 0:
        return f"killed by {signal.Signals(-process.returncode).name}"
    return f"ended with status {process.returncode}" if process.returncode else ""


def _overdue(process: int, board: np.memmap, seconds: float) -> bool:
    """Whether the input at hand has had its time: of the processor, or, as others may hold that, far more."""
    used = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:13]
    cpu = sum(map(int, used)) / os.sysconf("SC_CLK_TCK")
    return cpu - board[_BEGUN_CPU] > seconds or time.monotonic() - board[_BEGUN] > WAIT * seconds


def _child(work: Path, target: str, first: int, inputs: int, seed: int) -> None:
    """Feed the inputs from `first` on, and write on the board what comes of them."""
    from tests.fuzz.targets import TARGETS

    board = np.memmap(work / "board", np.float64, "r+", shape=(8,))
    findings: dict[str, Finding] = {}
    board[_INPUTS] = first
    with tempfile.TemporaryDirectory() as folder:
        TARGETS[target].make(Random(0))
        _limit()
        for number in range(first, inputs):
            value = made(target, seed, number)
            before = _peak(reset=True)
            board[_BEGUN_CPU] = began = time.process_time()
            board[_BEGUN] = time.monotonic()
            try:
                board[_ACCEPTED] += feed(target, value, Path(folder))
            except Exception as error:
                what = _told(error)
                if what not in findings:
                    findings[what] = Finding(target, what, number, traceback.format_exc())
                    (work / "findings").write_bytes(pickle.dumps(list(findings.values())))
            board[_INPUTS] = number + 1
            if (took := time.process_time() - began) > board[_SLOWEST]:
                board[_SLOWEST], board[_SLOWEST_AT] = took, number
            if (gained := _peak() - before) > board[_PEAK]:
                board[_PEAK], board[_PEAK_AT] = gained, number


def _told(error: Exception) -> str:
    """The kind of an exception and the line of ours that let it out."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [each for each in frames if "fpc_core" in each.filename or f"{os.sep}app{os.sep}" in each.filename]
    last = (ours or frames)[-1]
    return f"{type(error).__name__} in {Path(last.filename).name}:{last.lineno} {last.name}"


def _limit() -> None:
    """Have the system refuse what goes far beyond MEMORY, so that the machine does not suffer."""
    used_bytes = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used_bytes + 2 * MEMORY, used_bytes + 2 * MEMORY))


def _peak(reset: bool = False) -> int:
    """Bytes of resident memory at most since the last `reset`; with it, what is resident now."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    result = Path("/proc/self/status").read_text()
    return int(result.partition("VmHWM:")[2].split()[0]) * 1024


def _read(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else pickle.dumps([])


def main() -> int:
    from tests.fuzz.targets import TARGETS

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=50_000, help="of all targets together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--targets", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--only", type=int, help="feed this number to the first target, here and now")
    parser.add_argument("--findings", type=Path, help="a folder to keep their inputs in")
    arguments = parser.parse_args()
    if arguments.only is not None:
        target = arguments.targets[0]
        with tempfile.TemporaryDirectory() as folder:
            value = made(target, arguments.seed, arguments.only)
            print(f"{value!r:.2000}\naccepted: {feed(target, value, Path(folder))}")
        return 0
    shares = {name: TARGETS[name].share for name in arguments.targets}
    print("| target | inputs | accepted | findings | slowest | memory gained at most | minutes |")
    print("|---|---|---|---|---|---|---|")
    found: list[Finding] = []
    for name, share in shares.items():
        start = time.monotonic()
        inputs = -(-arguments.inputs * share // sum(shares.values()))
        result = fuzz(name, inputs, arguments.seed, arguments.findings)
        found += result.findings
        print(
            f"| {name} | {result.inputs:,} | {result.accepted:,} | {len(result.findings)} | "
            f"{1000 * result.slowest[0]:,.0f} ms "
            f"(no. {result.slowest[1]}) | {result.peak[0] / 1e6:,.0f} MB (no. {result.peak[1]}) | "
            f"{(time.monotonic() - start) / 60:.1f} |",
            flush=True,
        )
    for each in found:
        print(f"\n{each.target} {each.number}: {each.what}\n{each.detail}", file=sys.stderr)
    return 1 if found else 0


def begin() -> int:
    """The process of a target, or the command."""
    if sys.argv[1:2] != ["--child"]:
        return main()
    work, target, *numbers = sys.argv[2:]
    _child(Path(work), target, *map(int, numbers))
    return 0


if __name__ == "__main__":
    sys.exit(begin())

"""Pass hostile input to every reader of visitors' files, links and texts, and report errors in handling it.

    python -m tests.fuzz.fuzzing [--inputs 50000] [--seed 0] [--targets images checkpoints ...] [--findings FOLDER]
    python -m tests.fuzz.fuzzing --targets images --only 1234     (only this input, with its traceback)

Every input is a function of seed, target and number, so that a finding can be reproduced. A target may accept an input
if the result is valid, or refuse it with an exception that is listed in `Target.refuses`. Everything else is a finding:
another exception, an invalid result, a process that ends, an input that takes longer than `SECONDS`, and one that needs
more memory than `MEMORY`.

The inputs are not made by a coverage-guided fuzzer, because the decoders of Pillow and torch are compiled without
coverage counters, nor by hypothesis, which took 13 ms for one damaged file and mostly changed its first bytes.
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

SECONDS = 20.0  # Maximum CPU time of one input.
WAIT = 30  # Maximum wall time of one input, as a multiple of its maximum CPU time.
MEMORY = 1 << 30  # Maximum number of bytes by which the process may grow during one input.
_POLL_SECONDS = 0.1  # Time between two checks of the process.
# Positions of the counters that the process shares.
_INPUTS, _ACCEPTED, _STARTED, _STARTED_CPU, _SLOWEST, _SLOWEST_AT, _PEAK, _PEAK_AT = range(8)


@dataclass(frozen=True)
class Finding:
    """An input that was neither accepted with a valid result nor refused.

    Attributes:
        target: Name of the target.
        cause: Description, which is the same for findings of the same cause.
        number: Number of the input.
        detail: Traceback or log.
    """

    target: str
    cause: str
    number: int
    detail: str = ""


@dataclass(frozen=True)
class Outcome:
    """Outcome for one target.

    Attributes:
        target: Name of the target.
        inputs: Number of inputs.
        accepted: Number of accepted inputs.
        slowest: Longest CPU time in seconds, and the number of its input.
        peak: Largest growth of memory in bytes, and the number of its input.
        findings: One finding for each cause.
    """

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
    """Pass inputs to a target in a separate process, which is started again after it has ended.

    Args:
        target: Name of the target.
        inputs: Number of inputs.
        seed: Seed of all inputs.
        folder: Folder in which the inputs of findings are stored, pickled.
        seconds: Maximum CPU time of one input.
        memory: Maximum growth of memory during one input, in bytes.
        module: Module whose `run` is called in the process.

    Raises:
        RuntimeError: The process ends before the first input.
    """
    findings: list[Finding] = []
    done, accepted, slowest, peak = 0, 0, (0.0, 0), (0, 0)
    with tempfile.TemporaryDirectory() as work:
        while done < inputs:
            counters = _counters(Path(work))
            job = [module, "--child", work, target, str(done), str(inputs), str(seed)]
            ending = _run_process(Path(work), counters, job, seconds)
            findings += pickle.loads(_read(Path(work) / "findings"))
            accepted += int(counters[_ACCEPTED])
            slowest = max(slowest, (float(counters[_SLOWEST]), int(counters[_SLOWEST_AT])))
            peak = max(peak, (int(counters[_PEAK]), int(counters[_PEAK_AT])))
            done = int(counters[_INPUTS])
            if ending:
                findings.append(Finding(target, ending, done, (Path(work) / "log").read_text(errors="replace")[-4000:]))
                done += 1
                if counters[_STARTED] == 0:
                    raise RuntimeError(f"the target {target} cannot be started: {findings[-1].detail}")
    if peak[0] > memory:
        findings.append(Finding(target, f"more than {memory >> 20} MB", peak[1]))
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        for each in findings:
            (folder / f"{target}-{each.number}.pickle").write_bytes(pickle.dumps(make_input(target, seed, each.number)))
    return Outcome(target, inputs, accepted, slowest, peak, tuple(findings))


def make_input(target: str, seed: int, number: int) -> object:
    """Return an input.

    Args:
        target: Name of the target.
        seed: Seed of all inputs.
        number: Number of the input.
    """
    from tests.fuzz.targets import TARGETS

    return TARGETS[target].make(Random(f"{seed} {target} {number}"))


def feed(target: str, value: object, folder: Path) -> bool:
    """Return True if the target accepts an input, and False if it refuses it with an allowed exception.

    Args:
        target: Name of the target.
        value: The input.
        folder: Folder in which the target may write files.

    Raises:
        Exception: The target raises another exception, returns an invalid result, or has too little memory.
    """
    from tests.fuzz.targets import TARGETS

    try:
        TARGETS[target].feed(value, folder)
    except TARGETS[target].refuses as error:
        cause = error.__cause__
        if isinstance(cause, MemoryError) or "allocate memory" in str(cause):
            raise cause from None
        return False
    return True


def _counters(work: Path) -> np.memmap:
    """Return new counters in a file, which remain when the process ends."""
    (work / "findings").unlink(missing_ok=True)
    return np.memmap(work / "counters", np.float64, "w+", shape=(8,))


def _run_process(work: Path, counters: np.memmap, job: Sequence[str], seconds: float) -> str:
    """Run the process of a target to its end, and return why it ended early, or an empty text.

    Args:
        work: Folder for the log.
        counters: Counters that the process updates.
        job: Module and arguments of the process.
        seconds: Maximum CPU time of one input.
    """
    with (work / "log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", *job], stdout=log, stderr=log)
        while process.poll() is None:
            time.sleep(_POLL_SECONDS)
            if counters[_STARTED] and _overdue(process.pid, counters, seconds):
                process.kill()
                process.wait()
                return f"longer than {seconds:g} s"
    if process.returncode < 0:
        return f"killed by {signal.Signals(-process.returncode).name}"
    return f"ended with status {process.returncode}" if process.returncode else ""


def _overdue(process: int, counters: np.memmap, seconds: float) -> bool:
    """Return whether the current input has exceeded its CPU time, or `WAIT` times as much wall time.

    Args:
        process: Id of the process.
        counters: Counters that the process updates.
        seconds: Maximum CPU time of one input.
    """
    used = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:13]
    cpu = sum(map(int, used)) / os.sysconf("SC_CLK_TCK")
    return cpu - counters[_STARTED_CPU] > seconds or time.monotonic() - counters[_STARTED] > WAIT * seconds


def _child(work: Path, target: str, first: int, inputs: int, seed: int) -> None:
    """Pass inputs to a target, and update the counters.

    Args:
        work: Folder with the counters.
        target: Name of the target.
        first: Number of the first input.
        inputs: Number after the last input.
        seed: Seed of all inputs.
    """
    from tests.fuzz.targets import TARGETS

    counters = np.memmap(work / "counters", np.float64, "r+", shape=(8,))
    findings: dict[str, Finding] = {}
    counters[_INPUTS] = first
    with tempfile.TemporaryDirectory() as folder:
        TARGETS[target].make(Random(0))
        _limit()
        for number in range(first, inputs):
            value = make_input(target, seed, number)
            before = _peak(reset=True)
            counters[_STARTED_CPU] = start = time.process_time()
            counters[_STARTED] = time.monotonic()
            try:
                counters[_ACCEPTED] += feed(target, value, Path(folder))
            except Exception as error:
                cause = _describe(error)
                if cause not in findings:
                    findings[cause] = Finding(target, cause, number, traceback.format_exc())
                    (work / "findings").write_bytes(pickle.dumps(list(findings.values())))
            counters[_INPUTS] = number + 1
            if (took := time.process_time() - start) > counters[_SLOWEST]:
                counters[_SLOWEST], counters[_SLOWEST_AT] = took, number
            if (gained := _peak() - before) > counters[_PEAK]:
                counters[_PEAK], counters[_PEAK_AT] = gained, number


def _describe(error: Exception) -> str:
    """Return the type of an exception and the last line of our code in its traceback."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [each for each in frames if "fpc_core" in each.filename or f"{os.sep}app{os.sep}" in each.filename]
    last = (ours or frames)[-1]
    return f"{type(error).__name__} in {Path(last.filename).name}:{last.lineno} {last.name}"


def _limit() -> None:
    """Limit the address space, so that allocations far above `MEMORY` fail instead of slowing down the machine."""
    used_bytes = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used_bytes + 2 * MEMORY, used_bytes + 2 * MEMORY))


def _peak(reset: bool = False) -> int:
    """Return the peak of resident memory in bytes since the last reset; with `reset`, the current value."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    result = Path("/proc/self/status").read_text()
    return int(result.partition("VmHWM:")[2].split()[0]) * 1024


def _read(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else pickle.dumps([])


def main() -> int:
    from tests.fuzz.targets import TARGETS

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=50_000, help="number of inputs, for all targets together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--targets", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--only", type=int, help="pass only the input with this number to the first target")
    parser.add_argument("--findings", type=Path, help="store the inputs of findings in this folder")
    arguments = parser.parse_args()
    if arguments.only is not None:
        target = arguments.targets[0]
        with tempfile.TemporaryDirectory() as folder:
            value = make_input(target, arguments.seed, arguments.only)
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
        print(f"\n{each.target} {each.number}: {each.cause}\n{each.detail}", file=sys.stderr)
    return 1 if found else 0


def run() -> int:
    """Run the process of a target, or the command line."""
    if sys.argv[1:2] != ["--child"]:
        return main()
    work, target, *numbers = sys.argv[2:]
    _child(Path(work), target, *map(int, numbers))
    return 0


if __name__ == "__main__":
    sys.exit(run())

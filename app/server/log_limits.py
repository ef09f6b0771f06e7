"""Keep the server's log short: the first of equal errors in full, the others counted; and a bound on all of it.

Whoever can reach the server can make it fail as often as they like, and every failure used to write a traceback. The
limits hold for every logger of the process, Streamlit's and the web server's included, however they were set up.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

MESSAGE = 4_000  # characters of one message
TRACEBACK = 16_000  # characters of one traceback
BURST = 256_000  # characters that may be written at once
PER_SECOND = 400  # characters a second that may be written for long: 35 MB a day at most
SUMMARY = 60.0  # seconds between two summaries of what was left out
AGAIN = 3_600.0  # seconds after which an error is written in full again
DISTINCT = 1_000  # errors that are told apart at one time
_LISTED = 10  # errors that one summary names
_VARIABLE = re.compile(
    r"0x[0-9a-fA-F]+|\b[0-9a-f-]{8,}\b|\d+"
)  # addresses, ids and numbers: equal errors differ in them
_LOG = logging.getLogger("fpc.log")
_Key = tuple[str, int, str, str]


@dataclass
class _Seen:
    """An error that was written. first: when.  repeats: since the last summary.  text: its first words."""

    first: float
    text: str
    repeats: int = 0


class LogLimiter(logging.Filter):
    """Passes the first record of each error, shortened, and counts the others; also bounds all records together."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Start with nothing seen.

        Args:
            clock: Seconds from any start.
        """
        super().__init__()
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: OrderedDict[_Key, _Seen] = OrderedDict()
        self._room, self._at = float(BURST), clock()
        self._summed_up = clock()
        self._left_out = 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record is written; it is shortened in place. Summaries that are due are written first."""
        if getattr(record, "of_limiter", False):
            return True
        try:
            message = record.getMessage()
        except Exception:  # arguments that do not fit: the handler reports it
            return True
        now = self._clock()
        with self._lock:
            summary = self._summary(now) if now - self._summed_up >= SUMMARY else ""
            passes = self._passes(record, message, now)
        if summary:
            self._write(summary)
        return passes

    def flush(self) -> None:
        """Write the summary now, if there is anything to say."""
        with self._lock:
            summary = self._summary(self._clock())
        if summary:
            self._write(summary)

    def _passes(self, record: logging.LogRecord, message: str, now: float) -> bool:
        key = _key(record, message)
        seen = self._seen.get(key) if record.levelno >= logging.WARNING else None
        if seen is not None and now - seen.first < AGAIN:
            seen.repeats += 1
            return False
        _shorten(record, message)
        length = len(record.getMessage()) + len(record.exc_text or "") + len(record.stack_info or "")
        if not self._take(length, now):
            self._left_out += 1
            return False
        if record.levelno >= logging.WARNING:
            self._left_out += seen.repeats if seen else 0
            self._seen[key] = _Seen(now, f"{record.name}: {message[:120]}{_of_exception(record)}")
            self._seen.move_to_end(key)
            while len(self._seen) > DISTINCT:
                _, oldest = self._seen.popitem(last=False)
                self._left_out += oldest.repeats
        return True

    def _take(self, length: int, now: float) -> bool:
        self._room = min(float(BURST), self._room + (now - self._at) * PER_SECOND)
        self._at = now
        if length > self._room:
            return False
        self._room -= length
        return True

    def _summary(self, now: float) -> str:
        seconds, self._summed_up = now - self._summed_up, now
        repeated = sorted((each for each in self._seen.values() if each.repeats), key=lambda each: -each.repeats)
        lines = [f"{each.repeats:,} more of: {' '.join(each.text.split())}" for each in repeated[:_LISTED]]
        rest = self._left_out + sum(each.repeats for each in repeated[_LISTED:])
        if rest:
            lines.append(f"{rest:,} others")
        for each in repeated:
            each.repeats = 0
        self._left_out = 0
        return f"not written in the last {seconds:,.0f} s: {'; '.join(lines)}" if lines else ""

    @staticmethod
    def _write(summary: str) -> None:
        _LOG.warning("%s", summary, extra={"of_limiter": True})


def install(limiter: LogLimiter | None = None) -> None:
    """Limit every logger there is and will be, and what ends a thread. Further calls do nothing.

    Args:
        limiter: For all of them; a new one if not given.
    """
    if issubclass(logging.getLoggerClass(), _LimitedLogger):
        return
    _LimitedLogger.limiter = limiter = limiter or LogLimiter()
    logging.setLoggerClass(_LimitedLogger)
    known = [each for each in logging.root.manager.loggerDict.values() if isinstance(each, logging.Logger)]
    for logger in (logging.root, *known):
        logger.addFilter(limiter)
    threading.excepthook = _log_thread


@asynccontextmanager
async def summary_at_the_end(_server: object) -> AsyncIterator[None]:
    """Be the server's lifespan: when it ends, what was left out since the last summary is written."""
    yield
    if issubclass(logging.getLoggerClass(), _LimitedLogger):
        _LimitedLogger.limiter.flush()


class _LimitedLogger(logging.Logger):
    """What `logging.getLogger` makes from then on."""

    limiter: LogLimiter

    def __init__(self, name: str, level: int = logging.NOTSET) -> None:
        super().__init__(name, level)
        self.addFilter(self.limiter)


def _log_thread(ended: threading.ExceptHookArgs) -> None:
    if ended.exc_value is not None and not isinstance(ended.exc_value, SystemExit):
        name = ended.thread.name if ended.thread else "unknown"
        told = (ended.exc_type, ended.exc_value, ended.exc_traceback)
        logging.getLogger("fpc.thread").error("the thread %s ended", name, exc_info=told)


def _key(record: logging.LogRecord, message: str) -> _Key:
    """What equal errors have in common: logger, level, words without numbers, kind of exception and where it arose."""
    where = ""
    if record.exc_info and record.exc_info[1] is not None:
        kind, _, traceback = record.exc_info
        while traceback is not None and traceback.tb_next is not None:
            traceback = traceback.tb_next
        line = f"{traceback.tb_frame.f_code.co_filename}:{traceback.tb_lineno}" if traceback else ""
        where = f"{kind.__name__ if kind else ''} {line}"
    return record.name, record.levelno, _VARIABLE.sub("#", message[:300]), where


def _of_exception(record: logging.LogRecord) -> str:
    error = record.exc_info[1] if record.exc_info else None
    return f" ({type(error).__name__}: {str(error)[:80]})" if error is not None else ""


def _shorten(record: logging.LogRecord, message: str) -> None:
    if len(message) > MESSAGE:
        record.msg, record.args = _cut(message, MESSAGE), ()
    if record.exc_info and not record.exc_text:
        record.exc_text = logging.Formatter().formatException(record.exc_info)
    if record.exc_text:
        record.exc_text = _cut(record.exc_text, TRACEBACK)
    if record.stack_info:
        record.stack_info = _cut(record.stack_info, TRACEBACK)


def _cut(text: str, most: int) -> str:
    """The beginning and, above all, the end."""
    if len(text) <= most:
        return text
    head = most // 4
    return f"{text[:head]}\n… {len(text) - most:,} characters left out …\n{text[head - most :]}"

"""Keep the server log short: write the first of equal errors in full, count the others, and limit the total size.

Anyone who can reach the server can cause errors at will, and without limits each error would write a traceback. The
limits apply to every logger of the process, including those of Streamlit and the web server.
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

MAX_MESSAGE = 4_000  # Maximum length of a message in characters.
MAX_TRACEBACK = 16_000  # Maximum length of a traceback in characters.
MAX_BURST = 256_000  # Maximum number of characters written in a burst.
PER_SECOND = 400  # Maximum average number of characters per second, which is 35 MB a day.
SUMMARY_SECONDS = 60.0  # Minimum interval between two summaries of omitted records.
REPEAT_SECONDS = 3_600.0  # Time after which a repeated error is written in full again.
MAX_ERRORS = 1_000  # Maximum number of distinct errors remembered.
_MAX_LISTED = 10  # Maximum number of errors listed in one summary.
# Logger and message of a harmless Streamlit error. It occurs if a message for a fragment arrives after the visitor has
# left the fragment's page, because `session/pending_release.record_page` removes these fragments on purpose.
_LEFT_PAGE = ("streamlit.runtime.scriptrunner.script_runner", "Couldn't find fragment with id %s.")
_VARIABLE = re.compile(
    r"0x[0-9a-fA-F]+|\b[0-9a-f-]{8,}\b|\d+"
)  # Addresses, ids and numbers, which differ between occurrences of the same error.
_LOG = logging.getLogger("fpc.log")
_Key = tuple[str, int, str, str]


@dataclass
class _LoggedError:
    """An error that was written to the log.

    Attributes:
        first: Time at which it was written, in seconds of the limiter's clock.
        text: Beginning of its message.
        repeats: Number of repeats since the last summary.
    """

    first: float
    text: str
    repeats: int = 0


class LogLimiter(logging.Filter):
    """Passes a shortened first record of each error, counts repeats, and limits the total size of all records."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Create a limiter; `clock` returns the time in seconds since an arbitrary moment."""
        super().__init__()
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: OrderedDict[_Key, _LoggedError] = OrderedDict()
        self._budget, self._budget_time = float(MAX_BURST), clock()
        self._last_summary = clock()
        self._left_out = 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to write the record, which is shortened in place. Write a due summary first."""
        if getattr(record, "from_limiter", False):
            return True
        if record.name == _LEFT_PAGE[0] and str(record.msg).startswith(_LEFT_PAGE[1]):
            return False
        try:
            message = record.getMessage()
        except Exception:  # The arguments do not match the format; the handler reports this.
            return True
        now = self._clock()
        with self._lock:
            summary = self._summary(now) if now - self._last_summary >= SUMMARY_SECONDS else ""
            accepted = self._accept(record, message, now)
        if summary:
            self._write(summary)
        return accepted

    def flush(self) -> None:
        """Write a summary of omitted records, if there are any."""
        with self._lock:
            summary = self._summary(self._clock())
        if summary:
            self._write(summary)

    def _accept(self, record: logging.LogRecord, message: str, now: float) -> bool:
        key = _key(record, message)
        seen = self._seen.get(key) if record.levelno >= logging.WARNING else None
        if seen is not None and now - seen.first < REPEAT_SECONDS:
            seen.repeats += 1
            return False
        _shorten(record, message)
        length = len(record.getMessage()) + len(record.exc_text or "") + len(record.stack_info or "")
        if not self._within_budget(length, now):
            self._left_out += 1
            return False
        if record.levelno >= logging.WARNING:
            self._left_out += seen.repeats if seen else 0
            self._seen[key] = _LoggedError(now, f"{record.name}: {message[:120]}{_exception_text(record)}")
            self._seen.move_to_end(key)
            while len(self._seen) > MAX_ERRORS:
                _, oldest = self._seen.popitem(last=False)
                self._left_out += oldest.repeats
        return True

    def _within_budget(self, length: int, now: float) -> bool:
        self._budget = min(float(MAX_BURST), self._budget + (now - self._budget_time) * PER_SECOND)
        self._budget_time = now
        if length > self._budget:
            return False
        self._budget -= length
        return True

    def _summary(self, now: float) -> str:
        seconds, self._last_summary = now - self._last_summary, now
        repeated = sorted((each for each in self._seen.values() if each.repeats), key=lambda each: -each.repeats)
        lines = [f"{each.repeats:,} more of: {' '.join(each.text.split())}" for each in repeated[:_MAX_LISTED]]
        rest = self._left_out + sum(each.repeats for each in repeated[_MAX_LISTED:])
        if rest:
            lines.append(f"{rest:,} others")
        for each in repeated:
            each.repeats = 0
        self._left_out = 0
        return f"not written in the last {seconds:,.0f} s: {'; '.join(lines)}" if lines else ""

    @staticmethod
    def _write(summary: str) -> None:
        _LOG.warning("%s", summary, extra={"from_limiter": True})


def install(limiter: LogLimiter | None = None) -> None:
    """Limit all existing and future loggers, and log exceptions that end a thread. Further calls do nothing.

    Args:
        limiter: Limiter that all loggers use; a new one by default.
    """
    if issubclass(logging.getLoggerClass(), _LimitedLogger):
        return
    _LimitedLogger.limiter = limiter = limiter or LogLimiter()
    logging.setLoggerClass(_LimitedLogger)
    known = [each for each in logging.root.manager.loggerDict.values() if isinstance(each, logging.Logger)]
    for logger in (logging.root, *known):
        logger.addFilter(limiter)
    threading.excepthook = _log_thread_error


@asynccontextmanager
async def write_summary_at_shutdown(_server: object) -> AsyncIterator[None]:
    """Write the last summary when the server shuts down. The server uses this as its lifespan context manager."""
    yield
    if issubclass(logging.getLoggerClass(), _LimitedLogger):
        _LimitedLogger.limiter.flush()


class _LimitedLogger(logging.Logger):
    """Logger class that `logging.getLogger` instantiates after `install`."""

    limiter: LogLimiter

    def __init__(self, name: str, level: int = logging.NOTSET) -> None:
        super().__init__(name, level)
        self.addFilter(self.limiter)


def _log_thread_error(ended: threading.ExceptHookArgs) -> None:
    if ended.exc_value is not None and not isinstance(ended.exc_value, SystemExit):
        name = ended.thread.name if ended.thread else "unknown"
        exc_info = (ended.exc_type, ended.exc_value, ended.exc_traceback)
        logging.getLogger("fpc.thread").error("the thread %s ended", name, exc_info=exc_info)


def _key(record: logging.LogRecord, message: str) -> _Key:
    """Return the key that equal errors share: logger, level, text without numbers, exception type and source line.

    Args:
        record: Record of the error.
        message: Formatted message of the record.
    """
    where = ""
    if record.exc_info and record.exc_info[1] is not None:
        kind, _, traceback = record.exc_info
        while traceback is not None and traceback.tb_next is not None:
            traceback = traceback.tb_next
        line = f"{traceback.tb_frame.f_code.co_filename}:{traceback.tb_lineno}" if traceback else ""
        where = f"{kind.__name__ if kind else ''} {line}"
    return record.name, record.levelno, _VARIABLE.sub("#", message[:300]), where


def _exception_text(record: logging.LogRecord) -> str:
    error = record.exc_info[1] if record.exc_info else None
    return f" ({type(error).__name__}: {str(error)[:80]})" if error is not None else ""


def _shorten(record: logging.LogRecord, message: str) -> None:
    if len(message) > MAX_MESSAGE:
        record.msg, record.args = _truncate(message, MAX_MESSAGE), ()
    if record.exc_info and not record.exc_text:
        record.exc_text = logging.Formatter().formatException(record.exc_info)
    if record.exc_text:
        record.exc_text = _truncate(record.exc_text, MAX_TRACEBACK)
    if record.stack_info:
        record.stack_info = _truncate(record.stack_info, MAX_TRACEBACK)


def _truncate(text: str, limit: int) -> str:
    """Return the text, without its middle part if it is too long.

    Args:
        text: Text to shorten.
        limit: Maximum number of characters, of which three quarters come from the end of the text.
    """
    if len(text) <= limit:
        return text
    head = limit // 4
    return f"{text[:head]}\n… {len(text) - limit:,} characters left out …\n{text[head - limit :]}"

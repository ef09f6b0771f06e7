"""The server's log stays short: it contains the first of equal errors in full and the number of the others."""

import inspect
import io
import logging
import random
import re
import shutil
import subprocess
import sys
import time

import pytest
from streamlit.runtime.scriptrunner import script_runner
from websockets.exceptions import ConnectionClosed

from app.server import log_limits
from app.server.log_limits import (
    MAX_BURST,
    MAX_MESSAGE,
    MAX_TRACEBACK,
    PER_SECOND,
    REPEAT_SECONDS,
    SUMMARY_SECONDS,
    LogLimiter,
)
from tests.support.server import ROOT, server
from tests.support.stream_client import answer, connected, request_page


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def log(clock):
    """Return a logger with the limits, a function that returns its output, and the limiter."""
    limiter, stream = LogLimiter(clock), io.StringIO()
    handler = logging.StreamHandler(stream)
    logger = logging.Logger("tested")
    logger.addFilter(limiter)
    logger.addHandler(handler)
    log_limits._LOG.addHandler(handler)
    yield logger, stream.getvalue, limiter
    log_limits._LOG.removeHandler(handler)


def fail(logger, words, error=None):
    try:
        raise error or ValueError(words)
    except ValueError:
        logger.exception("%s", words)


def test_the_first_of_equal_errors_is_written_and_others_counted(log, clock):
    logger, written, _ = log
    for number in range(500):
        fail(logger, f"session {number} of 0x7f{number:06x} failed")
    assert written().count("Traceback (most recent call last)") == 1
    assert "ValueError: session 0 of" in written()
    clock.now = SUMMARY_SECONDS + 1
    fail(logger, "another thing failed")
    assert re.search(r"not written in the last 61 s: 499 more of: tested: session 0", written())
    assert written().count("Traceback (most recent call last)") == 2


def test_a_late_message_for_a_page_that_was_left_is_not_written(log):
    source = inspect.getsource(script_runner)
    assert script_runner._LOGGER.name == log_limits._LEFT_PAGE[0]
    assert f'"{log_limits._LEFT_PAGE[1]}"' in source  # If this fails, Streamlit has changed the text.
    logger, written, _ = log
    logger.name = log_limits._LEFT_PAGE[0]
    logger.warning(f"{log_limits._LEFT_PAGE[1]} This can happen.", "b3481d80")
    assert written() == ""
    logger.warning("another warning of %s", "b3481d80")
    assert "another warning of b3481d80" in written()


def test_errors_of_other_lines_or_texts_are_distinguished(log):
    logger, written, _ = log
    fail(logger, "the disk is full")
    fail(logger, "the image is damaged")
    try:
        int("x")
    except ValueError:
        logger.exception("the disk is full")
    logger.error("the disk is full")
    assert written().count("Traceback (most recent call last)") == 3
    assert written().count("the disk is full") >= 3


def test_an_error_is_written_in_full_again_after_a_while(log, clock):
    logger, written, _ = log
    fail(logger, "the disk is full")
    clock.now = REPEAT_SECONDS + 1
    fail(logger, "the disk is full")
    assert written().count("Traceback (most recent call last)") == 2


def test_long_messages_and_tracebacks_keep_their_beginning_and_end(log):
    logger, written, _ = log
    logger.error("begins %s ends", "x" * 1_000_000)
    fail(logger, "deep", ValueError("y" * 1_000_000 + " the very end"))
    assert len(written()) < 2 * (MAX_MESSAGE + MAX_TRACEBACK)
    for word in ("begins", "ends", "the very end", "characters left out"):
        assert word in written()


def test_errors_that_are_all_different_stay_within_the_limit(log, clock):
    logger, written, limiter = log
    rng = random.Random(0)
    seconds = 36 * 60
    for number in range(20 * seconds):
        clock.now = number / 20
        logger.error("".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=500)))
    assert len(written()) < 1.2 * (MAX_BURST + seconds * PER_SECOND)
    assert len(written()) < 1_500_000
    limiter.flush()
    assert re.search(r"[\d,]+ others", written())


def test_info_messages_are_not_counted_as_errors(log):
    logger, written, _ = log
    for _ in range(3):
        logger.info("a visitor came")
    assert written().count("a visitor came") == 3


def test_log_arguments_that_do_not_fit_are_left_to_the_handler(log, monkeypatch):
    logger, _, limiter = log
    assert limiter.filter(logger.makeRecord("tested", logging.ERROR, "file", 1, "%d", ("x",), None))


def test_existing_and_new_loggers_and_threads_are_limited():
    code = (
        "import logging, threading; before = logging.getLogger('before')\n"
        "from app.server import log_limits; log_limits.install(); log_limits.install()\n"
        "def end(): raise ValueError('in a thread')\n"
        "for _ in range(50):\n"
        "    for each in (before, logging.getLogger('after'), logging.getLogger()): each.error('again')\n"
        "    thread = threading.Thread(target=end); thread.start(); thread.join()\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stderr.count("again") == 3
    assert ran.stderr.count("ValueError: in a thread") == 1


def send(address, frame):
    """Send a malformed message in a new session.

    Args:
        address: Address of the server.
        frame: Content of the message.
    """
    with connected(address) as socket:
        socket.send(frame)
        try:
            socket.recv(timeout=5)
        except (ConnectionClosed, TimeoutError):
            return


def test_a_server_that_is_sent_malformed_messages_writes_each_error_once(tmp_path):
    """The server is started with `streamlit run`, and no page has been opened yet."""
    path = tmp_path / "log"
    with path.open("wb") as log, server(log) as (address, _, _):
        for number in range(60):
            send(address, bytes([255, number]) * 20)
            send(address, f"text {number}")
        time.sleep(0.2)
    log_text = path.read_text(encoding="utf-8")
    assert log_text.count("Error deserializing back message") - log_text.count("more of:") <= 2
    assert 1 <= log_text.count("Traceback (most recent call last)") <= 4
    assert re.search(r"not written in the last \d+ s: .*5\d more of: ", log_text)
    assert len(log_text) < 20_000


def test_a_page_that_fails_repeatedly_writes_one_traceback(tmp_path):
    """With `logger.enableRich` off, uncaught errors of a page are logged through the limiter."""
    for name in ("app", ".streamlit"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("assets", "fpc_core"):  # The server preloads them.
        (tmp_path / name).symlink_to(ROOT / name)
    script = (ROOT / "streamlit_app.py").read_text(encoding="utf-8")
    (tmp_path / "streamlit_app.py").write_text(script.replace("    show()", "    raise ValueError('this page fails')"))
    path = tmp_path / "log"
    with path.open("wb") as log, server(log, folder=tmp_path) as (address, _, _), connected(address) as socket:
        for _ in range(30):
            request_page(socket)
            answer(socket)
    log_text = path.read_text(encoding="utf-8")
    assert log_text.count("ValueError: this page fails\n") == 1
    assert log_text.count("Traceback (most recent call last)") == 1
    assert "29 more of: streamlit.error_util: Uncaught app execution (ValueError: this page fails)" in log_text

"""`make` refuses an old Python in one line, and replaces a .venv that was made with one."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def clone(tmp_path):
    """Return a folder with the files that `make .venv/installed` needs, and no requirements to install."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / "Makefile", tmp_path)
    shutil.copy(ROOT / ".ci/python_version.py", tmp_path / ".ci")
    (tmp_path / "requirements.txt").write_text("")
    return tmp_path


def make(folder, python):
    command = ["make", "--silent", f"PYTHON={python}", ".venv/installed"]
    # Variables of the `make test` that runs this test must not change the inner `make`.
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)


def old_python(folder):
    """Write an interpreter that reports Python 3.10.4, and return its path."""
    script, code = folder / "python3.10", "import sys; sys.version_info = (3, 10, 4); exec(open(sys.argv[1]).read())"
    script.write_text(f"#!/bin/sh\n{sys.executable} -c '{code}' \"$@\"\n")
    script.chmod(0o755)
    return script


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_an_old_python_is_refused_in_one_line(clone):
    made = make(clone, old_python(clone))
    assert made.returncode
    message, *rest = made.stderr.splitlines()
    assert message.startswith("FPC Explorer needs Python 3.11 or newer, and ")
    assert "is Python 3.10.4. Install a newer version, and pass its name: make PYTHON=" in message
    assert all(line.startswith("make: ***") for line in rest)
    assert not (clone / ".venv").exists()


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_a_venv_of_an_old_python_is_replaced(clone):
    stale = clone / ".venv/bin"
    stale.mkdir(parents=True)
    old_python(clone).rename(stale / "python")
    (clone / ".venv/left_over").touch()
    made = make(clone, sys.executable)
    assert made.returncode == 0, made.stderr
    assert not (clone / ".venv/left_over").exists()
    version = subprocess.run([stale / "python", "--version"], capture_output=True, text=True, check=True).stdout
    assert version == f"Python {sys.version.split()[0]}\n"

"""The audit of pinned packages fails on a vulnerability, but not on network errors."""

import json
import runpy
import subprocess
import urllib.error
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / ".ci" / "audit.py"
CLEAN = {"name": "numpy", "version": "2.4.6", "vulns": []}
BUG = {"id": "PYSEC-1", "fix_versions": ["3.1.7"], "aliases": [], "description": ""}
BROKEN = {"name": "jinja2", "version": "3.1.6", "vulns": [BUG]}
UNKNOWN = {"name": "torch", "skip_reason": "Dependency not found on PyPI"}


@pytest.fixture
def audit(monkeypatch):
    """Return a function that runs the script with given output of pip-audit, and returns the exit status."""
    monkeypatch.setattr("urllib.request.urlopen", lambda *args, **kwargs: open(SCRIPT, "rb"))  # noqa: SIM115

    def run(stdout="", stderr="", code=0, error=None):
        def fake(command, **kwargs):
            assert command[1:3] == ["-m", "pip_audit"]
            if error:
                raise error
            return subprocess.CompletedProcess(command, code, stdout, stderr)

        monkeypatch.setattr(subprocess, "run", fake)
        return runpy.run_path(str(SCRIPT))["main"]()

    return run


def audit_report(*packages):
    return json.dumps({"dependencies": list(packages), "fixes": []})


def test_clean_packages_pass(audit, capsys):
    assert audit(audit_report(CLEAN)) == 0
    assert "1 pinned packages, 0 known vulnerabilities" in capsys.readouterr().out


def test_a_vulnerability_fails_and_is_named_with_its_fix(audit, capsys):
    assert audit(audit_report(CLEAN, BROKEN, UNKNOWN), code=1) == 1
    out = capsys.readouterr()
    assert "jinja2 3.1.6: PYSEC-1, fixed in 3.1.7" in out.err
    assert "the package index has no data on torch" in out.out


@pytest.mark.parametrize(
    "trouble",
    [
        {"stderr": "Traceback\nrequests.exceptions.ConnectionError: no route", "code": 1},
        {"error": subprocess.TimeoutExpired("pip-audit", 1)},
        {"stdout": audit_report(UNKNOWN)},
    ],
)
def test_a_network_error_is_reported_and_passes(audit, capsys, trouble):
    assert audit(**trouble) == 0
    assert "audit skipped: " in capsys.readouterr().out


def test_offline_nothing_is_started(audit, monkeypatch, capsys):
    def offline(*args, **kwargs):
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr("urllib.request.urlopen", offline)
    assert audit(error=AssertionError("pip-audit was started")) == 0
    assert "Name or service not known" in capsys.readouterr().out


def test_a_broken_audit_fails(audit, capsys):
    assert audit(stderr="usage: pip-audit\nunrecognized arguments: --colour", code=2) == 1
    assert "unrecognized arguments" in capsys.readouterr().err

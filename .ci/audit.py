"""Known vulnerabilities of what is pinned, by pip-audit. Fails on one that is found, and on nothing else.

requirements-dev.txt names the other two files: all three are looked up. Where the index cannot be reached, or has no
such data, nothing can be said: that is printed with the reason, and is no failure.
Run it by `make audit`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SERVICE = "https://pypi.org/pypi/pip/json"  # where pip-audit asks, one address per package
PATIENCE = 5  # seconds for the first answer
MOST = 180  # seconds for all of them
OFFLINE = ("ConnectionError", "ServiceError", "ConnectTimeout", "ReadTimeout", "Max retries", "SSLError", "ProxyError")


def main() -> int:
    """0 where nothing was found or nothing could be asked, 1 where something was found or the audit itself broke."""
    if why := unreachable():
        return skipped(f"{SERVICE} cannot be reached: {why}")
    command = [sys.executable, "-m", "pip_audit", "-r", str(ROOT / "requirements-dev.txt")]
    options = [
        "--no-deps",
        "--disable-pip",
        "--format",
        "json",
        "--progress-spinner",
        "off",
        "--timeout",
        str(PATIENCE),
    ]
    try:
        done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=MOST, check=False)
    except subprocess.TimeoutExpired:
        return skipped(f"it did not end in {MOST} s")
    try:
        audited = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        if any(word in done.stderr for word in OFFLINE):
            return skipped(last)
        print(f"pip-audit failed: {last}", file=sys.stderr)
        return 1
    return told(audited)


def unreachable() -> str:
    """Why the service does not answer; empty where it does."""
    try:
        with urllib.request.urlopen(SERVICE, timeout=PATIENCE):
            return ""
    except (urllib.error.URLError, OSError, ValueError) as error:
        return str(error)


def told(audited: list[dict]) -> int:
    """Prints every vulnerability, and every package that could not be looked up."""
    found = [(each, bug) for each in audited for bug in each.get("vulns", ())]
    for each, bug in found:
        cured = ", ".join(bug.get("fix_versions", ())) or "no version yet"
        print(f"{each['name']} {each['version']}: {bug['id']}, mended in {cured}", file=sys.stderr)
    unknown = [each["name"] for each in audited if "skip_reason" in each]
    if len(unknown) == len(audited):
        return skipped("the index at hand has vulnerability data of none of the pinned packages, as mirrors often do")
    if unknown:
        print(f"audit: nothing is known there of {', '.join(unknown)}")
    print(f"audit: {len(audited) - len(unknown)} pinned packages, {len(found)} known vulnerabilities")
    return 1 if found else 0


def skipped(why: str) -> int:
    print(f"audit skipped: {why}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

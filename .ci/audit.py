"""Look up known vulnerabilities of the pinned packages with pip-audit, and fail if there is one: `make audit`.

All three requirements files are audited, because requirements-dev.txt includes the other two. If the package index
cannot be reached or has no vulnerability data, the audit is skipped and the reason is printed; this is not a failure.
"""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SERVICE = "https://pypi.org/pypi/pip/json"  # Example of the addresses that pip-audit requests, one per package.
TIMEOUT = 5  # Maximum time for a response in seconds.
MAX_SECONDS = 180  # Maximum time for the audit in seconds.
OFFLINE = ("ConnectionError", "ServiceError", "ConnectTimeout", "ReadTimeout", "Max retries", "SSLError", "ProxyError")


def main() -> int:
    """Run the audit, and return 1 if it finds a vulnerability or fails itself, or 0 if not or if it is skipped."""
    if why := unreachable():
        return skip(f"{SERVICE} cannot be reached: {why}")
    command = [sys.executable, "-m", "pip_audit", "-r", str(ROOT / "requirements-dev.txt")]
    options = ["--no-deps", "--disable-pip", "--format", "json", "--progress-spinner", "off", "--timeout", str(TIMEOUT)]
    try:
        done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=MAX_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return skip(f"pip-audit did not finish within {MAX_SECONDS} s")
    try:
        audited = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        if any(word in done.stderr for word in OFFLINE):
            return skip(last)
        print(f"pip-audit failed: {last}", file=sys.stderr)
        return 1
    return report(audited)


def unreachable() -> str:
    """Return the reason why the package index cannot be reached, or an empty text if it can."""
    try:
        with urllib.request.urlopen(SERVICE, timeout=TIMEOUT):
            return ""
    except (urllib.error.URLError, OSError, ValueError) as error:
        return str(error)


def report(audited: list[dict]) -> int:
    """Print every vulnerability and every package without data, and return the exit status."""
    found = [(each, bug) for each in audited for bug in each.get("vulns", ())]
    for each, bug in found:
        fixed = ", ".join(bug.get("fix_versions", ())) or "no version yet"
        print(f"{each['name']} {each['version']}: {bug['id']}, fixed in {fixed}", file=sys.stderr)
    unknown = [each["name"] for each in audited if "skip_reason" in each]
    if len(unknown) == len(audited):
        return skip("the package index has no vulnerability data on any pinned package, which is common for mirrors")
    if unknown:
        print(f"audit: the package index has no data on {', '.join(unknown)}")
    print(f"audit: {len(audited) - len(unknown)} pinned packages, {len(found)} known vulnerabilities")
    return 1 if found else 0


def skip(why: str) -> int:
    print(f"audit skipped: {why}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The version is defined once and agrees everywhere; the container installs the pinned packages."""

import re
import tomllib
from datetime import date
from pathlib import Path

import pytest
import yaml

from fpc_core import __version__
from fpc_core.cli import main

ROOT = Path(__file__).resolve().parents[2]


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def releases():
    """Return (version, date) of every release in the changelog, newest first."""
    return re.findall(r"^## \[(\d+\.\d+\.\d+)\] - (\S+)$", read("CHANGELOG.md"), re.MULTILINE)


def instructions():
    """Return every (instruction, argument) of the Dockerfile, with continued lines joined."""
    joined = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", read("Dockerfile"), flags=re.MULTILINE))
    return [tuple(line.split(maxsplit=1)) for line in joined.splitlines() if line.strip()]


def test_the_package_takes_its_version_from_the_code():
    project = tomllib.loads(read("pyproject.toml"))
    assert "version" in project["project"]["dynamic"]
    assert project["tool"]["hatch"]["version"] == {"path": "fpc_core/__init__.py"}
    assert re.search(rf'^__version__ = "{re.escape(__version__)}"$', read("fpc_core/__init__.py"), re.MULTILINE)


def test_the_command_line_prints_the_version(capsys):
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"FPC Explorer {__version__}\n"


def test_the_changelog_starts_with_unreleased_and_this_version():
    headings = re.findall(r"^## (.+)$", read("CHANGELOG.md"), re.MULTILINE)
    assert headings[0] == "[Unreleased]"
    assert releases()[0][0] == __version__
    assert [date.fromisoformat(day) for _, day in releases()] == sorted(
        (date.fromisoformat(day) for _, day in releases()), reverse=True
    )


def test_the_citation_names_this_version_its_date_and_the_method():
    citation = yaml.safe_load(read("CITATION.cff"))
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == __version__
    assert citation["date-released"].isoformat() == releases()[0][1]
    assert {"message", "title", "authors", "license", "type"} <= citation.keys()
    (method,) = citation["references"]
    assert {"title", "authors", "year", "doi"} <= method.keys()


def test_the_container_copies_all_files_the_app_opens():
    ignored = read(".dockerignore").split()
    copied = [rest for word, rest in instructions() if word == "COPY"]
    for source in (each for rest in copied for each in rest.split()[:-1] if not each.startswith("--")):
        assert (ROOT / source).exists(), source
        assert source not in ignored, source
    needed = ("streamlit_app.py", "app", "fpc_core", ".streamlit", "assets", "assets/demo", "assets/icon.png")
    assert not set(needed) & set(ignored)


def test_what_git_ignores_does_not_enter_the_container_either():
    folders = [line.strip("/") for line in read(".gitignore").splitlines() if line.startswith("/")]
    assert "data" in folders
    assert set(folders) <= set(read(".dockerignore").split())


def test_the_container_installs_the_pinned_torch_first():
    (installing,) = [rest for word, rest in instructions() if word == "RUN" and "pip install" in rest]
    pattern = re.search(r"grep -oE '([^']+)' requirements\.txt", installing)
    assert pattern
    pinned = re.findall(pattern[1].replace("^", "(?m:^)").replace("(vision)", "(?:vision)"), read("requirements.txt"))
    assert [each.split("==")[0] for each in pinned] == ["torch", "torchvision"]
    assert installing.endswith("pip install --no-cache-dir -r requirements.txt")


def test_the_container_runs_the_app_unprivileged_on_the_spaces_port():
    words = [word for word, _ in instructions()]
    assert words.index("USER") < words.index("CMD")
    (user,) = [rest for word, rest in instructions() if word == "USER"]
    assert f"useradd --create-home --uid 1000 {user}" in read("Dockerfile")  # Spaces runs containers as user 1000.
    (volume,) = re.findall(r"-v fpc-results:(\S+)", read("docs/deploy.md"))
    assert f"install -d -o {user} {volume}" in read("Dockerfile")  # A new volume gets the owner of the folder.
    front = yaml.safe_load(re.search(r"```yaml\n---\n(.*?)---\n```", read("docs/deploy.md"), re.DOTALL)[1])
    assert front["sdk"] == "docker"
    (port,) = [rest for word, rest in instructions() if word == "EXPOSE"]
    assert front["app_port"] == int(port)
    assert f"STREAMLIT_SERVER_PORT={port}" in dict(instructions())["ENV"]


def test_system_packages_are_names_one_a_line():
    names = read("packages.txt").splitlines()  # apt would read the words of a comment as packages.
    assert names
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9.+-]+", name) for name in names)

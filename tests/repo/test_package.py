"""Wheel and sdist contain the library, the app and the demo, and work outside the clone."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from fpc_core import __version__
from tests.support.server import server

ROOT = Path(__file__).resolve().parents[2]


def run(*command, **options):
    ran = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, **options)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Build the sdist, build the wheel from it, and return their folder."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT)
    return folder


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory):
    """Install the wheel without its requirements, which are installed already, and return the folder."""
    folder = tmp_path_factory.mktemp("site")
    (wheel,) = built.glob("*.whl")
    run(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", folder, wheel)
    return folder


@pytest.fixture
def environment(installed, tmp_path, monkeypatch):
    """Work in a folder outside the clone, where Python finds the installed package first, and return the folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(installed))
    monkeypatch.setenv("FPC_CACHE", str(tmp_path / "cache"))
    return tmp_path


def test_the_wheel_has_library_app_demo_and_command(built):
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        info = f"fpc_explorer-{__version__}.dist-info"
        assert archive.read(f"{info}/entry_points.txt").decode() == "[console_scripts]\nfpc = fpc_core.__main__:run\n"
        needed = [line for line in archive.read(f"{info}/METADATA").decode().splitlines() if "Requires-Dist" in line]
    assert "fpc_explorer/streamlit_app.py" in names
    assert "fpc_explorer/.streamlit/config.toml" in names
    assert "fpc_explorer/assets/demo/model.safetensors" in names
    tops = {name.split("/")[0] for name in names}
    assert tops == {"fpc_core", "fpc_explorer", info}
    pinned = [line.split("#")[0].strip() for line in (ROOT / "requirements.txt").read_text("utf-8").splitlines()]
    assert len(needed) == len([line for line in pinned if line])


def test_neither_wheel_nor_sdist_has_a_gallery_memory(built):
    (wheel,), (sdist,) = built.glob("*.whl"), built.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive, tarfile.open(sdist) as packed:
        assert not [name for name in (*archive.namelist(), *packed.getnames()) if "demo/memory" in name]


def test_the_installed_command_line_finds_its_demo(environment, installed):
    code = "import fpc_core.workspace as w; print(w.DEMO_ROOT); print(len(w.Places().open_dataset().gallery))"
    folder, images = run(sys.executable, "-P", "-c", code).split()
    assert Path(folder) == installed / "fpc_explorer/assets/demo"
    assert int(images) == len(list((ROOT / "assets/demo/bounding_box_test").iterdir()))
    assert f"FPC Explorer {__version__}" in run(installed / "bin/fpc", "--version")


def test_the_installed_app_starts(environment, installed):
    with server(folder=environment, script=installed / "fpc_explorer/streamlit_app.py") as (address, _, _):
        assert address

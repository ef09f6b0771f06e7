"""Every command of the tutorial runs, in order, and every message it explains exists."""

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
import torch

from fpc_core.cli import COMMANDS, arguments, main
from fpc_core.workspace import DEMO_ROOT
from fpc_core.workspace.allowed_roots import OutsideRootsError, discover, named_roots, resolve
from tests.support.released_workspace import QUERY, build_released_world

ROOT = Path(__file__).resolve().parents[2]
TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
LINES = [line for block in re.findall(r"```sh\n(.*?)```", TUTORIAL, re.DOTALL) for line in block.strip().splitlines()]
CLI = "python -m fpc_core "
SHORTER = {  # These options shorten commands that take long.
    "evaluate": ["--resamples", "20"],
    "train": ["--holistic-steps", "1", "--fpc-steps", "1", "--identities", "2", "--images", "2"],
}


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """Return the working folder that a reader of the tutorial has after steps 1 and 2."""
    build_released_world(tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FPC_CACHE", str(tmp_path / "cache"))
    return tmp_path


def test_every_command_of_the_tutorial_runs(clone, monkeypatch, capsys):
    for name, recipe in re.findall(r"`(data/\w+\.json)`:\n\n```json\n(.*?)```", TUTORIAL, re.DOTALL):
        Path(name).write_text(recipe.replace("QUERY.jpg", QUERY))
    ran = []
    for line in LINES:
        words = shlex.split(line.replace("QUERY.jpg", QUERY))
        if line.startswith("export "):
            monkeypatch.setenv(*words[1].split("="))
        elif line.startswith("unset "):
            monkeypatch.delenv(words[1])
        elif line.startswith(CLI):
            command_line = words[3:]
            arguments.build_parser(COMMANDS).parse_args(command_line)
            if "cuda" in command_line and not torch.cuda.is_available():
                continue
            assert main([*command_line, *SHORTER.get(command_line[0], [])]) == 0, f"{line}: {capsys.readouterr().err}"
            ran.append(command_line[0])
        else:
            assert line == 'FPC_ROOTS="$PWD/data" make app', f"nothing runs {line}"
    output = capsys.readouterr().out
    assert set(ran) == {"memory", "doctor", "query", "evaluate", "sweep", "figure", "explain", "lesson", "train"}
    assert "a gallery image is at rank 1 of 64 in a search for itself" in output
    for written in ("tables/table-4.tex", "sweep.csv", "figures/dropping.pdf", "report.html", "lesson.html"):
        assert (clone / "data" / written).stat().st_size
    for shown in re.findall(r"^ok +(\w+): ", TUTORIAL, re.MULTILINE):
        assert f" {shown}: " in output


def test_the_app_finds_the_files_of_the_tutorial(clone):
    sights = discover(named_roots(DEMO_ROOT, str(clone / "data")))
    assert "data/Occluded_Duke" in sights.datasets
    assert "data/weights/FPC_Occ_Duke_reconstruction.pth" in sights.checkpoints


def test_every_explained_message_exists(clone, capsys):
    weights = Path("data/weights/FPC_Occ_Duke_reconstruction.pth")
    usual = ["--data", "data/Occluded_Duke", "--weights", str(weights), "--memory", "data/memory"]

    def error_of(command, *instead):
        assert main([*command, *usual, *instead]) == 2
        return capsys.readouterr().err

    messages = [error_of(["evaluate"])]
    Path("data/half.partial").mkdir()
    messages.append(error_of(["evaluate"], "--memory", "data/half"))
    assert main(["memory", "build", *usual]) == 0
    messages.append(
        error_of(["evaluate"], "--weights", str(DEMO_ROOT / "model.safetensors"), "--precision", "bfloat16")
    )
    messages.append(error_of(["evaluate"], "--cameras", "none"))
    extra = Path("data/Occluded_Duke/bounding_box_test/0001_c4_f9999999.jpg")
    shutil.copy(f"data/Occluded_Duke/query/{QUERY}", extra)
    messages.append(error_of(["evaluate"]))
    extra = extra.rename(extra.with_name("0001_c9_f9999999.jpg"))
    messages.append(error_of(["evaluate"]))
    extra.unlink()
    Path("page.pth").write_text("<html>too large for a virus scan</html>")
    messages.append(error_of(["evaluate"], "--weights", "page.pth"))
    torch.save({"conv1.weight": torch.zeros(3)}, "resnet.pth")
    messages.append(error_of(["evaluate"], "--weights", "resnet.pth"))
    Path("data/Occluded_Duke/query").rename("data/Occluded_Duke/queries")
    messages.append(error_of(["evaluate"]))
    if not torch.cuda.is_available():
        Path("data/Occluded_Duke/queries").rename("data/Occluded_Duke/query")
        messages.append(error_of(["evaluate"], "--device", "cuda"))
    with pytest.raises(OutsideRootsError) as refused:
        resolve("/elsewhere", named_roots(DEMO_ROOT, str(clone / "data")))
    messages.append(str(refused.value))

    _, table = TUTORIAL.split("## Troubleshooting")
    explained = [
        cell for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for cell in re.findall("`(.+?)`", row)
    ]
    assert len(explained) >= 10
    for message in explained:
        if torch.cuda.is_available() and "CUDA" in message:
            continue
        assert any(message in each for each in messages), message


def test_a_recipe_of_the_tutorial_is_json():
    for recipe in re.findall(r"```json\n(.*?)```", TUTORIAL, re.DOTALL):
        assert json.loads(recipe)["format"] == 1

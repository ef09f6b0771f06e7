"""The notebook in the docs runs from start to end and shows the figures that its text describes."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_the_notebook_runs_and_shows_rankings_masks_and_transport(monkeypatch):
    nbformat = pytest.importorskip("nbformat", reason="the notebook needs nbformat")
    client = pytest.importorskip("nbclient", reason="the notebook needs nbclient")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(ROOT / "docs/notebook.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)  # It is committed without outputs.
    client.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(ROOT)}}).execute()
    shown = [output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", ())]
    assert sum("image/png" in each for each in shown) == 2
    assert sum('alt="Rankings by cosine' in "".join(each.get("text/html", "")) for each in shown) == 1
    printed = [output["text"] for cell in notebook.cells for output in cell.get("outputs", ()) if "text" in output]
    assert any(text.startswith("1.0 {") for text in printed)

"""Under torchrun, evaluations and sweeps give the same bytes as in one process."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from fpc_core.cli import main
from fpc_core.evaluation.engine.passes import UNKNOWN, PassResult

ROOT = Path(__file__).resolve().parents[3]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def run_in_two_processes(arguments, folder):
    return subprocess.run(
        [*TORCHRUN, "-m", "fpc_core", *arguments],
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
        cwd=ROOT,
        env={**os.environ, "FPC_CACHE": str(folder), "OMP_NUM_THREADS": "1"},
    )


def test_two_processes_write_the_tables_of_one(tmp_path, monkeypatch):
    """Table 7 has deferred points and the demo several batches of queries, so all kinds of work are divided."""
    arguments = ["evaluate", "--tables", "7", "--resamples", "20", "--out"]
    done = run_in_two_processes([*arguments, str(tmp_path / "two")], tmp_path / "cache")
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("wrote") == len(list((tmp_path / "two").iterdir()))  # Only one process writes.
    monkeypatch.setenv("FPC_CACHE", str(tmp_path / "cache of one"))
    assert main([*arguments, str(tmp_path / "one")]) == 0
    for path in (tmp_path / "one").iterdir():
        assert (tmp_path / "two" / path.name).read_bytes() == path.read_bytes()


def result(known, value):
    known = np.array(known)
    scores = np.where(known[:, None], value, np.nan)
    first = np.where(known[:, None], int(value), UNKNOWN)
    return PassResult(scores, first, known, {"feature": np.where(known[:, None], np.float32(value), np.nan)})


def test_merged_results_keep_their_own_images_and_take_the_others():
    merged = result([True, False, False, True], 1.0).merge(result([True, True, False, False], 2.0))
    assert merged.known.tolist() == [True, True, False, True]
    np.testing.assert_array_equal(merged.average_precision[:, 0], [1, 2, np.nan, 1])
    assert merged.first_match[:, 0].tolist() == [1, 2, UNKNOWN, 1]
    np.testing.assert_array_equal(merged.features["feature"][:, 0], [1, 2, np.nan, 1])

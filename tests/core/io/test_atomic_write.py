"""Files are complete or unchanged, whatever interrupts their writing."""

import os
import subprocess
import sys
import threading

import pytest

from fpc_core.io.atomic_write import atomic_write


def names(folder):
    return sorted(each.name for each in folder.iterdir())


def test_a_file_gets_its_name_when_it_is_complete(tmp_path):
    path = tmp_path / "it.json"
    path.write_text("old")
    with atomic_write(path) as partial:
        partial.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert names(tmp_path) == ["it.json"]


def test_a_file_is_flushed_before_it_gets_its_name(tmp_path, monkeypatch):
    path, seen = tmp_path / "it.json", []
    monkeypatch.setattr(os, "fsync", lambda file: seen.append((os.fstat(file).st_size, path.exists())))
    with atomic_write(path) as partial:
        partial.write_text("12345")
    assert seen == [(5, False)]


def test_a_failed_write_leaves_only_the_old_file(tmp_path):
    path = tmp_path / "it.json"
    path.write_text("old")

    def fail():
        with atomic_write(path) as partial:
            partial.write_text("ne")
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        fail()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["it.json"]


def test_concurrent_writes_leave_one_complete_file(tmp_path):
    path, both = tmp_path / "it.json", threading.Barrier(2)

    def write(text):
        with atomic_write(path) as partial:
            partial.write_text(text)
            both.wait(10)

    threads = [threading.Thread(target=write, args=(text,)) for text in ("one" * 1000, "other" * 10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_text() in ("one" * 1000, "other" * 10)
    assert names(tmp_path) == ["it.json"]


def test_leftovers_of_a_killed_exclusive_writer_are_overwritten(tmp_path):
    path = tmp_path / "it.json"
    killed = (
        "import os, pathlib, sys; from fpc_core.io.atomic_write import atomic_write\n"
        "with atomic_write(pathlib.Path(sys.argv[1]), exclusive=True) as place: place.write_text('half'); os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", killed, str(path)], check=False).returncode == 9
    assert names(tmp_path) == [".it.json.tmp"]
    with atomic_write(path, exclusive=True) as partial:
        partial.write_text("whole")
    assert path.read_text() == "whole"
    assert names(tmp_path) == ["it.json"]

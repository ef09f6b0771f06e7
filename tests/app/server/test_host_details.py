"""Details of the host that Streamlit would send to visitors: repository, file names and folder."""

import shutil
import subprocess
from types import SimpleNamespace

import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.runtime.app_session import AppSession

from app.server import host_details
from tests.support.server import ROOT, server
from tests.support.stream_client import answer, connected, request_page

SECRET = "notes-on-patients.txt"
GIT = shutil.which("git")
needs_git = pytest.mark.skipif(GIT is None, reason="git is not installed")


def git(folder, *words):
    """Run git in a folder, without the settings of the machine.

    Args:
        folder: Folder of the repository.
        words: Arguments of git.
    """
    own = ["-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run([GIT, "-C", str(folder), *own, *words], check=True, capture_output=True)


@pytest.fixture
def clone(tmp_path):
    """Create a clone of a GitHub repository with the app and an untracked file, and return its folder."""
    for name in ("app", "fpc_core", ".streamlit"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "streamlit_app.py", tmp_path)
    (tmp_path / "assets").mkdir()
    shutil.copy(ROOT / "assets" / "icon.png", tmp_path / "assets")
    git(tmp_path, "init", "-q", "-b", "secret-branch")
    git(tmp_path, "remote", "add", "origin", "https://github.com/secret-owner/secret-repository.git")
    git(tmp_path, "add", "streamlit_app.py")
    git(tmp_path, "commit", "-q", "-m", "app")
    git(tmp_path, "update-ref", "refs/remotes/origin/secret-branch", "HEAD")
    git(tmp_path, "branch", "--set-upstream-to", "origin/secret-branch")
    (tmp_path / SECRET).touch()
    return tmp_path


def git_request():
    message = BackMsg()
    message.load_git_info = True
    return message


def handled(script):
    """Return the messages that a session of this script sends after a request for Git information."""
    sent = []
    methods = {name: getattr(AppSession, name) for name in ("handle_backmsg", host_details.GIT)}
    session = type("Session", (), methods)()
    session._script_data = SimpleNamespace(main_script_path=str(script))
    session._enqueue_forward_msg = sent.append
    session.handle_backmsg(git_request())
    return sent


@needs_git
def test_streamlit_sends_file_names_and_this_app_does_not(clone, monkeypatch):
    """If the asserts on `git_info` fail, Streamlit has changed: check app/server/host_details.py."""
    monkeypatch.setattr(AppSession, host_details.NEW_SESSION, getattr(AppSession, host_details.NEW_SESSION))
    monkeypatch.setattr(AppSession, host_details.GIT, getattr(AppSession, host_details.GIT))
    (git_info,) = handled(clone / "streamlit_app.py")
    assert SECRET in str(git_info)
    assert "secret-branch" in str(git_info)
    host_details.hide_host_details()
    host_details.hide_host_details()
    assert handled(clone / "streamlit_app.py") == []


@pytest.mark.parametrize("name", [host_details.GIT, host_details.NEW_SESSION])
def test_a_streamlit_without_the_methods_starts_no_server(monkeypatch, name):
    monkeypatch.delattr(AppSession, name)
    with pytest.raises(RuntimeError, match=rf"no AppSession\.{name}; install the version listed in requirements\.txt"):
        host_details.hide_host_details()


@needs_git
@pytest.mark.parametrize("public", ["0", "1"])
def test_a_server_sends_neither_repository_nor_folder(clone, public):
    """The client requests Git information before and after it opens the first page."""
    with server(settings={"FPC_PUBLIC": public}, folder=clone) as (address, _, _), connected(address) as socket:
        socket.send(git_request().SerializeToString())
        request_page(socket, page="evaluate" if public == "1" else "data")
        messages = answer(socket)
        socket.send(git_request().SerializeToString())
        request_page(socket)
        messages += answer(socket)
    kinds = [each.WhichOneof("type") for each in messages]
    assert "new_session" in kinds
    assert "git_info_changed" not in kinds
    session = next(each.new_session for each in messages if each.WhichOneof("type") == "new_session")
    assert session.main_script_path == "streamlit_app.py"
    for secret in (SECRET, "secret-owner", "secret-branch", "secret-repository"):
        assert not any(secret in str(each) for each in messages), secret

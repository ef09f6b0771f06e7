"""Answers of the running server to requests from outside the app, which `.streamlit/config.toml` restricts."""

import http.client
from urllib.parse import urlsplit

import pytest

from tests.support.server import server

UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


@pytest.fixture
def send(url):
    """Return a function that sends one request and returns the status and the first bytes of the answer."""

    def send(method, path, headers, body=None):
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, b"" if answer.status == 101 else answer.read(300)
        finally:
            connection.close()

    return send


@pytest.mark.parametrize("origin", ["http://elsewhere.example", "null"])
def test_a_page_of_another_site_gets_no_connection(send, url, origin):
    assert send("GET", "/_stcore/stream", {**UPGRADE, "Origin": url})[0] == 101
    assert send("GET", "/_stcore/stream", {**UPGRADE, "Origin": origin})[0] == 403


def test_an_upload_needs_the_token_of_a_visitor(send):
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    assert send("PUT", "/_stcore/upload_file/session/file", kind, b"--b--")[0] == 403


def test_the_agent_api_is_off(send):
    kind = {"Content-Type": "application/json"}
    assert b"does not serve the agent API" in send("POST", "/_stcore/agent/interact", kind, b"{}")[1]
    assert b"does not serve the agent API" in send("POST", "/_stcore/agent/mcp", kind, b"{}")[1]


@pytest.mark.parametrize("path", ["/app/static/../../requirements.txt", "/media/../../../etc/passwd", "/README.md"])
def test_no_file_of_the_project_is_served(send, path):
    body = send("GET", path, {})[1]
    assert b"torch==" not in body
    assert b"root:" not in body
    assert b"FPC Explorer" not in body


def test_a_server_that_ends_before_it_answers_is_reported(tmp_path):
    (tmp_path / "streamlit.py").write_text("raise SystemExit(3)")
    with (
        pytest.raises(RuntimeError, match="the server ended with 3 before it answered"),
        server(settings={"PYTHONPATH": str(tmp_path)}),
    ):
        pass

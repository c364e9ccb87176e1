"""What a server says is what the user reads."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from hpedit.scorers.http import JSONClient, ServerError


@contextmanager
def replying(*replies: tuple[int, str, dict[str, str]]) -> Iterator[tuple[str, list[str]]]:
    """Serve the replies in turn, the last one for ever; yields the address and the paths asked for."""
    paths: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, text, headers = replies[min(len(paths), len(replies) - 1)]
            paths.append(self.path)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(text))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", paths
    server.shutdown()
    server.server_close()


def client(retries: int = 3) -> JSONClient:
    return JSONClient(None, timeout=5.0, max_in_flight=1, retries=retries, backoff=0.001)


@pytest.mark.parametrize(
    "text",
    ['{"error": {"message": "no such engine"}}', '{"error": "no such engine"}', "<b>no such engine</b>"],
)
def test_the_servers_words_are_found_in_any_shape(text: str) -> None:
    with replying((400, text, {})) as (url, _), pytest.raises(ServerError, match=r"400.*no such engine"):
        client().request("GET", url)


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_passing_trouble_is_waited_out(status: int) -> None:
    with replying((status, "busy", {}), (status, "busy", {}), (200, '{"ok": 1}', {})) as (url, paths):
        assert client().request("GET", url) == {"ok": 1}
        assert len(paths) == 3


@pytest.mark.parametrize("status", [400, 401, 404, 422])
def test_a_lasting_trouble_is_not(status: int) -> None:
    with replying((status, "no", {})) as (url, paths), pytest.raises(ServerError) as raised:
        client().request("GET", url)
    assert len(paths) == 1
    assert raised.value.status == status
    assert not raised.value.passing


def test_attempts_end(monkeypatch: pytest.MonkeyPatch) -> None:
    with replying((500, "down", {})) as (url, paths), pytest.raises(ServerError, match="down"):
        client(retries=2).request("GET", url)
    assert len(paths) == 3


def test_the_server_may_ask_for_a_longer_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("hpedit.scorers.http.time.sleep", pauses.append)
    with replying((429, "slow down", {"Retry-After": "7"}), (200, "{}", {})) as (url, _):
        client().request("GET", url)
    assert pauses == [7.0]


def test_a_reply_that_is_no_json_is_quoted() -> None:
    with (
        replying((200, "<html>a proxy's page</html>", {})) as (url, _),
        pytest.raises(ServerError, match="a proxy"),
    ):
        client().request("GET", url)


def test_nobody_there_is_a_passing_trouble_with_the_address() -> None:
    with replying((200, "{}", {})) as (url, _):
        pass
    with pytest.raises(ServerError, match=url) as raised:
        client(retries=0).request("GET", url)
    assert raised.value.passing
    assert raised.value.status is None


def test_loopback_is_reached_past_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")  # the discard port: nothing listens
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with replying((200, '{"ok": 1}', {})) as (url, _):
        assert client(retries=0).request("GET", url) == {"ok": 1}

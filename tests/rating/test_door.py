"""Strangers stay out: no token, no other site, no rebound name, no path."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from hpedit.rating.app import make_app
from hpedit.rating.door import choose_token, is_loopback, own_names
from tests.rating.support import make_desk

TOKEN = "correct-horse-battery"
ROUTES = ("/", "/agreement", "/rate.js", "/page.css", "/api/agreement", "/picture/0", "/nothing")


def visitor(folder: Path, token: str | None = TOKEN, site: str | None = None) -> TestClient:
    app = make_app(make_desk(folder), token, own_names("127.0.0.1", site))
    return TestClient(app, base_url="http://localhost", follow_redirects=False)


@pytest.mark.parametrize("route", ROUTES)
def test_every_route_wants_the_token(tmp_path: Path, route: str):
    client = visitor(tmp_path)
    assert client.get(route).status_code == 401
    assert client.get(f"{route}?token=wrong-horse-battery").status_code == 401
    assert client.post("/api/state", json={"rater": "ann"}).status_code == 401


def test_the_token_is_asked_once_and_leaves_the_address(tmp_path: Path):
    client = visitor(tmp_path)
    first = client.get(f"/agreement?token={TOKEN}")
    assert (first.status_code, first.headers["location"]) == (303, "/agreement")
    cookie = first.headers["set-cookie"]
    assert TOKEN not in cookie
    assert "HttpOnly" in cookie
    assert client.get("/agreement").status_code == 200
    assert client.post("/api/state", json={"rater": "ann"}).status_code == 200


def test_another_servers_cookie_opens_nothing(tmp_path: Path):
    client = visitor(tmp_path)
    (tmp_path / "other").mkdir()
    other = visitor(tmp_path / "other", "another-horse-battery")
    other.get("/?token=another-horse-battery")
    client.cookies.update(other.cookies)
    assert client.get("/").status_code == 401


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "", "127.0.0.1.evil.example:80", "["]
)
def test_a_name_that_was_rebound_to_this_machine_is_refused(tmp_path: Path, host: str):
    answer = visitor(tmp_path, token=None).get("/", headers={"host": host})
    assert answer.status_code == 421


@pytest.mark.parametrize(
    "host", ["localhost:8080", "127.0.0.1", "[::1]:8080", "192.168.7.9:1", "Rate.Example:8080"]
)
def test_addresses_and_own_names_are_answered(tmp_path: Path, host: str):
    client = visitor(tmp_path, token=None, site="rate.example")
    assert client.get("/", headers={"host": host}).status_code == 200


def test_another_sites_page_cannot_answer_for_a_rater(tmp_path: Path):
    client = visitor(tmp_path, token=None)
    told = {"rater": "ann"}
    assert client.post("/api/state", json=told, headers={"origin": "http://localhost"}).status_code == 200
    for origin in ("http://evil.example", "http://localhost:81", "null"):
        assert client.post("/api/state", json=told, headers={"origin": origin}).status_code == 403
    # What a form of another site can send without asking first.
    plain = client.post("/api/state", content='{"rater": "ann"}', headers={"content-type": "text/plain"})
    assert plain.status_code == 400


@pytest.mark.parametrize(
    "path",
    [
        *("/picture/../../etc/passwd", "/picture/%2e%2e%2f%2e%2e%2fetc%2fpasswd", "/picture/%2Fetc%2Fpasswd"),
        *("/..%2fapp.py", "/static/rate.js", "/r.sqlite", "//etc/passwd", "/picture/", "/picture/r.sqlite"),
    ],
)
def test_no_path_leads_to_a_file(tmp_path: Path, path: str):
    client = visitor(tmp_path, token=None)
    client.post("/api/state", json={"rater": "ann"})
    assert client.get(path).status_code == 404


@pytest.mark.parametrize("route", [*ROUTES, "/?token=wrong"])
def test_every_answer_carries_the_headers_that_keep_it_to_itself(tmp_path: Path, route: str):
    headers = visitor(tmp_path, token=None).get(route).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cache-control"] == "no-store"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "::1", "localhost"])
def test_the_loopback_needs_no_token(host: str):
    assert is_loopback(host)
    assert choose_token(host, None) is None


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.2", "::", "rate.example", "127.0.0.1.evil.example"])
def test_anything_else_gets_one_that_cannot_be_guessed(host: str):
    tokens = {choose_token(host, None) for _ in range(3)}
    assert len(tokens) == 3
    assert all(token and len(token) >= 32 for token in tokens)


def test_a_token_that_can_be_guessed_is_refused():
    with pytest.raises(ValueError, match=r"^token: wanted 12 characters or more, got 5"):
        choose_token("127.0.0.1", "short")
    assert choose_token("127.0.0.1", TOKEN) == TOKEN

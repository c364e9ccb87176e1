"""Who may come in: the token, the Host header, and the headers that keep a page to itself."""

from __future__ import annotations

import hashlib
import ipaddress
import re
import secrets
import socket
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import URL, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SHORTEST_TOKEN = 12
_DAYS = 90
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # The address may hold the token: no other site is told it.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def is_loopback(host: str) -> bool:
    """Say whether only this machine can reach what is bound to ``host``."""
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def choose_token(host: str, token: str | None) -> str | None:
    """Return the token to ask for: the given one, none on the loopback, else a new one.

    Raises ValueError on a token that could be guessed.
    """
    if token is None:
        return None if is_loopback(host) else secrets.token_urlsafe(24)
    if len(token) < SHORTEST_TOKEN:
        raise ValueError(f"token: wanted {SHORTEST_TOKEN} characters or more, got {len(token)}")
    return token


def own_names(host: str, site: str | None) -> frozenset[str]:
    """Return the names under which a browser may ask for the page; addresses need no name."""
    names = {"localhost", host, socket.gethostname(), socket.getfqdn()} | ({site} if site else set())
    return frozenset(name.lower() for name in names)


@dataclass
class Door:
    """Middleware: refuses strangers, and marks every answer.

    Attributes:
        app: what lies behind.
        token: asked of everyone, None where the loopback is protection enough.
        names: names of this server (own_names).
    """

    app: ASGIApp
    token: str | None
    names: Collection[str]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(_HEADERS)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        answer = self._stop(Request(scope)) or self.app
        await answer(scope, receive, send_marked)

    def _stop(self, request: Request) -> Response | None:
        """Return what a request is told at the door, None if it may come in."""
        if not self._knows(request.headers.get("host", "")):
            # A stranger's domain that resolves to this machine (DNS rebinding) would read the page with our cookie.
            return PlainTextResponse("Unknown host name. Start the page with --site NAME to allow it.", 421)
        if not _same_origin(request):
            return PlainTextResponse("Requests of other sites are refused.", 403)
        return self._ask(request)

    def _knows(self, host: str) -> bool:
        name = re.sub(r":\d+$", "", host).strip("[]").lower()
        return name in self.names or _is_address(name)

    def _ask(self, request: Request) -> Response | None:
        if self.token is None:
            return None
        shown, cookie = request.query_params.get("token"), f"hpedit_rate_{_hash(self.token, 'name')[:8]}"
        ticket = _hash(self.token, "ticket")
        if shown is not None and secrets.compare_digest(shown.encode(), self.token.encode()):
            # On without the token, so that it stays neither in the history nor on the screen.
            answer = RedirectResponse(_without_token(request.url), 303)
            answer.set_cookie(cookie, ticket, max_age=_DAYS * 86400, httponly=True, samesite="lax")
            return answer
        if secrets.compare_digest(request.cookies.get(cookie, "").encode(), ticket.encode()):
            return None
        return PlainTextResponse("This page wants its token: open the link that you were given.", 401)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _same_origin(request: Request) -> bool:
    """Say whether a request comes from the page itself, or from nobody's page."""
    origin = request.headers.get("origin")
    if origin is not None:
        return urlsplit(origin).netloc == request.headers.get("host")
    return True


def _without_token(url: URL) -> str:
    rest = url.remove_query_params("token")
    return rest.path + (f"?{rest.query}" if rest.query else "")


def _hash(token: str, purpose: str) -> str:
    return hashlib.sha256(f"hpedit rate {purpose} {token}".encode()).hexdigest()

"""Runs the web application on a socket of its own."""

from __future__ import annotations

import ipaddress
import socket
from contextlib import suppress
from urllib.parse import quote

import uvicorn

from hpedit.rating.app import make_app
from hpedit.rating.deck import Deck
from hpedit.rating.desk import Desk
from hpedit.rating.door import choose_token, own_names
from hpedit.rating.store import Ratings


def run(deck: Deck, ratings: Ratings, host: str, port: int, token: str | None, site: str | None) -> None:
    """Serve until Ctrl-C, after printing the links.

    Raises ValueError that names the flag on a token that is too short, or an address that cannot be had.
    """
    token = choose_token(host, token)
    app = make_app(Desk(deck, ratings), token, own_names(host, site))
    # Quiet: an access log would hold the token of everyone's first visit.
    config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False, lifespan="off")
    with _listen(host, port) as sock, suppress(KeyboardInterrupt):
        print(_links(site or host, sock.getsockname()[1], token), flush=True)
        uvicorn.Server(config).run(sockets=[sock])


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        raise ValueError(f"host, port: cannot listen on {host} port {port}: {error}") from error


def _links(host: str, port: int, token: str | None) -> str:
    name = socket.gethostname() if _is_any(host) else host
    base = f"http://{f'[{name}]' if ':' in name else name}:{port}"
    tail = f"?token={quote(token)}" if token else ""
    return f"raters:    {base}/{tail}\nagreement: {base}/agreement{tail}\nCtrl-C ends; nothing is lost."


def _is_any(host: str) -> bool:
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_unspecified
    return False

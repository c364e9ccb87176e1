"""The real server on a thread, whose every byte to the browser is kept."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hpedit.rating.app import make_app
from hpedit.rating.desk import Desk
from hpedit.rating.door import own_names

TOKEN = "correct-horse-battery"


class Tape:
    """Keeps what an application sends."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.sent = bytearray()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def keep(message: Message) -> None:
            for name, value in message.get("headers", []):
                self.sent += name + b": " + value + b"\n"
            self.sent += message.get("body", b"")
            await send(message)

        await self.app(scope, receive, keep)


class Served:
    """A page under ``link``, and the tape of what browsers were sent."""

    def __init__(self, link: str, tape: Tape) -> None:
        self.link = link
        self.tape = tape


@contextmanager
def serving(desk: Desk) -> Iterator[Served]:
    tape = Tape(make_app(desk, TOKEN, own_names("127.0.0.1", None)))
    server = uvicorn.Server(uvicorn.Config(tape, log_level="warning", access_log=False, lifespan="off"))
    with socket.create_server(("127.0.0.1", 0)) as sock:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]})
        thread.start()
        try:
            yield Served(f"http://127.0.0.1:{sock.getsockname()[1]}/?token={TOKEN}", tape)
        finally:
            server.should_exit = server.force_exit = True
            thread.join()

"""The web application: pages, items, pictures, answers."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from hpedit.pictures import BadPicture
from hpedit.rating.agreement import summary
from hpedit.rating.desk import Desk
from hpedit.rating.door import Door

_STATIC = Path(__file__).parent / "static"
_PAGES = {"/": "rate.html", "/agreement": "agreement.html"}
_PARTS = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_LONGEST_REQUEST = 4096

Work = Callable[[Mapping[str, Any]], dict[str, Any]]


def make_app(desk: Desk, token: str | None, names: frozenset[str]) -> Starlette:
    """Return the web application.

    Args:
        desk: hands out items and takes answers.
        token: asked of every request; None asks nothing.
        names: host names of this server (hpedit.rating.door.own_names).
    """

    def picture(request: Request) -> Response:
        return _picture(desk, request.path_params["name"])

    def agreement(_: Request) -> Response:
        return JSONResponse(summary(desk.ratings.answers(desk.deck.mode), desk.deck.mode))

    routes = [
        *(_file(path, name, "text/html") for path, name in _PAGES.items()),
        *(_file(f"/{f.name}", f.name, _PARTS[f.suffix]) for f in _STATIC.iterdir() if f.suffix in _PARTS),
        _post("/api/state", desk.state),
        _post("/api/answer", desk.answer),
        _post("/api/undo", desk.undo),
        Route("/api/agreement", agreement),
        Route("/picture/{name}", picture),
    ]
    return Starlette(routes=routes, middleware=[Middleware(Door, token=token, names=names)])


def _file(path: str, name: str, kind: str) -> Route:
    """Serve one file, read at the start: no request ever names a path."""
    content = (_STATIC / name).read_bytes()

    async def endpoint(_: Request) -> Response:
        return Response(content, media_type=kind)

    return Route(path, endpoint)


def _post(path: str, work: Work) -> Route:
    """Serve what ``work`` makes of a JSON object; what makes no sense is status 400 with the reason."""

    async def endpoint(request: Request) -> Response:
        try:
            told = await _object(request)
            return JSONResponse(await run_in_threadpool(work, told))
        except ValueError as error:
            return PlainTextResponse(str(error), 400)

    return Route(path, endpoint, methods=["POST"])


async def _object(request: Request) -> Mapping[str, Any]:
    length = request.headers.get("content-length", "")
    if not length.isdecimal() or int(length) > _LONGEST_REQUEST:
        raise ValueError(f"wanted a request of at most {_LONGEST_REQUEST} bytes")
    if request.headers.get("content-type") != "application/json":
        raise ValueError("wanted the content type application/json")
    try:
        told = json.loads(await request.body())
    except RecursionError as error:
        raise ValueError("wanted a flat JSON object") from error
    if not isinstance(told, dict):
        raise ValueError("wanted a JSON object")
    return told


def _picture(desk: Desk, name: str) -> Response:
    picture = desk.picture(name)
    if picture is None:
        return PlainTextResponse("No such picture.", 404)
    try:
        image = picture.decode()
    except BadPicture:
        return PlainTextResponse("The picture cannot be read.", 404)
    # Encoded anew, from the pixels that the scorer sees: a file's metadata often name the model that made it.
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=1)
    return Response(
        out.getvalue(), media_type="image/png", headers={"Cache-Control": "private, max-age=3600"}
    )

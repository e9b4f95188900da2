"""A real browser before a real service; whatever goes wrong on the page fails the test that looked at it."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, expect, sync_playwright

from app.client import Client, NoServerError
from tests.support.keys import write_keys
from tests.support.paths import INKBLOT, ROOT
from tests.support.service import free_port

CHROMIUM = next((path for path in map(Path, ("/usr/bin/chromium", "/usr/bin/chromium-browser")) if path.exists()), None)
expect.set_options(timeout=60_000)  # a busy machine is no fault of the page
FLAGS = ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]


@dataclass
class Service:
    """`inkblot serve` in a process of its own, which can be ended and started again on the same data."""

    data: Path
    extra: dict[str, str]
    port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        ours = {
            "DATA_DIR": str(self.data),
            "ENGINE": "torch",
            "WORKER_THREADS": "1",
            "LOG_LEVEL": "warning",
            **self.extra,
        }
        environ = os.environ | {f"INKBLOT_{name}": value for name, value in ours.items()}
        self.process = subprocess.Popen([*INKBLOT, "serve", "--port", str(self.port)], cwd=ROOT, env=environ)
        with Client(self.url) as client:
            while True:
                try:
                    if client.ready()["jobs"] == "ready":
                        return
                except NoServerError:
                    assert self.process.poll() is None
                time.sleep(0.1)

    def stop(self) -> None:
        if self.process is None:  # a test ended it already
            return
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(40) == 0
        self.process = None


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    service = Service(tmp_path_factory.mktemp("var"), {})
    service.start()
    yield service
    service.stop()


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One that wants a key."""
    folder = tmp_path_factory.mktemp("locked")
    service = Service(folder / "var", {"API_KEYS": str(write_keys(folder / "keys.json"))})
    service.start()
    yield service
    service.stop()


@pytest.fixture
def own_site(tmp_path: Path) -> Iterator[Service]:
    """One for a single test, which takes one job at a time of a client."""
    service = Service(tmp_path, {"JOBS_PER_CLIENT": "1"})
    service.start()
    yield service
    service.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("needs Chromium (apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@dataclass
class Watch:
    """What a page must not do: speak on the console, or ask anybody but its own origin."""

    origin: str
    complaints: list[str] = field(default_factory=list)
    expected: tuple[str, ...] = ()
    """Parts of messages that a test provokes: the browser itself reports every answer of 400 and above."""

    def listen(self, page: Page) -> None:
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        page.on("request", self._request)

    def _console(self, message: ConsoleMessage) -> None:
        self.complaints.append(f"{message.type}: {message.text}")

    def _request(self, request: Request) -> None:
        if not request.url.startswith((self.origin, f"blob:{self.origin}", "data:")):
            self.complaints.append(f"off the origin: {request.url}")

    def check(self) -> None:
        assert [one for one in self.complaints if not any(part in one for part in self.expected)] == []


Opener = Callable[..., Page]


@pytest.fixture
def opened(browser: Browser) -> Iterator[Opener]:
    """Opens a page of a service; at the end, it must have been silent."""
    contexts: list[BrowserContext] = []
    watches: list[Watch] = []

    def open_page(service: Service, path: str = "", *, expected: tuple[str, ...] = (), **context: Any) -> Page:
        made = browser.new_context(
            **{"viewport": {"width": 1280, "height": 900}, "locale": "en", "reduced_motion": "reduce", **context}
        )
        made.set_default_timeout(30_000)
        contexts.append(made)
        page = made.new_page()
        watch = Watch(service.url, expected=expected)
        watch.listen(page)
        watches.append(watch)
        page.goto(f"{service.url}/{path}")
        return page

    yield open_page
    for made in contexts:
        made.close()
    for watch in watches:
        watch.check()

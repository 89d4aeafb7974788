# SPDX-License-Identifier: MIT OR Apache-2.0
"""A server with and without keys, and Debian's Chromium in front of it, which reaches no other address."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "build/console"
SIZES = {"wide": {"width": 1280, "height": 800}, "narrow": {"width": 390, "height": 844}}
KEY = "a-key-of-the-tests"
#: Read before the fixtures of all tests remove such variables.
FROM_DISK = bool(os.environ.get("UNSANDBOX_CONSOLE_FILES"))
#: A quiet browser: none of its own services is asked.
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-default-apps", "--no-pings", "--disable-domain-reliability",
    # A name that an attacker lets lead to this machine, and no other name at all.
    "--host-resolver-rules=MAP rebind.test 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
]  # fmt: skip


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        pytest.skip("chromium is not installed (`make deps` does)")
    PICTURES.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        # Its user data is a new folder, which Playwright makes and removes.
        browser = playwright.chromium.launch(executable_path=program, headless=True, args=FLAGS)
        yield browser
        browser.close()


def serve(tmp: Path, *options: str) -> Iterator[str]:
    """A server; its address, as it tells it."""
    program = os.environ.get("UNSANDBOX_COMMAND") or str(ROOT / "target/debug/unsandbox")
    command = [program, "serve", "--listen", "127.0.0.1:0", "--store", "memory", "--isolation", "auto", *options]
    with (tmp / "server.log").open("w") as log:
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, cwd=tmp)
    try:
        assert server.stdout
        line = server.stdout.readline()
        assert line.startswith("listening on "), (tmp / "server.log").read_text()
        yield line.removeprefix("listening on ").strip()
    finally:
        server.terminate()
        server.wait(30)
        server.stdout.close()
        sys.stderr.write((tmp / "server.log").read_text())


@pytest.fixture(scope="session")
def open_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server without keys."""
    yield from serve(tmp_path_factory.mktemp("open"))


@pytest.fixture(scope="session")
def keyed_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that takes KEY alone."""
    folder = tmp_path_factory.mktemp("keyed")
    keys = folder / "keys"
    keys.touch(mode=0o600)
    keys.write_text(f"{KEY}\n")
    yield from serve(folder, "--keys", str(keys))


class Watched:
    """A page, and everything that it asked for or complained of."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.address = address
        self.asked: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _console(self, message: object) -> None:
        text = message.text  # type: ignore[attr-defined]
        # A refusal is what some tests ask for; a violation of the policy never is.
        if message.type == "error" and "Failed to load resource" not in text:  # type: ignore[attr-defined]
            self.complaints.append(f"{text} ({message.location})")  # type: ignore[attr-defined]

    def foreign(self) -> list[str]:
        """What was asked of anybody but the server."""
        return [url for url in self.asked if not url.startswith((f"{self.address}/", "data:", "blob:"))]


@pytest.fixture
def console(browser: Browser, request: pytest.FixtureRequest) -> Iterator[object]:
    """Opens the console of a server: `console(address, size="wide", scheme="light")`. At the end it has asked nobody else and broken no rule."""
    opened: list[Watched] = []
    contexts = []

    def open_page(address: str, size: str = "wide", scheme: str = "light") -> Watched:
        context = browser.new_context(viewport=SIZES[size], color_scheme=scheme, accept_downloads=True, reduced_motion="reduce")
        contexts.append(context)
        context.set_default_timeout(20_000)
        watched = Watched(context.new_page(), address)
        if FROM_DISK:
            serve_from_disk(watched.page)
        opened.append(watched)
        watched.page.goto(f"{address}/")
        return watched

    yield open_page
    for watched in opened:
        assert watched.foreign() == []
        assert watched.complaints == []
    for context in contexts:
        context.close()


class Other:
    """A server of somebody else at another port: what it was asked, and a page that it gives."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        #: Connections, whatever came over them.
        self.connections = 0
        self.page = ""
        other = self

        class Handler(BaseHTTPRequestHandler):
            def setup(self) -> None:
                other.connections += 1
                super().setup()

            def do_GET(self) -> None:
                other.asked.append(self.path)
                body = other.page.encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def other() -> Iterator[Other]:
    other = Other()
    yield other
    other.close()


def type_program(watched: Watched, text: str) -> None:
    """Replaces the program in the editor, as by hand."""
    watched.page.get_by_role("textbox", name="Program").click()
    watched.page.keyboard.press("Control+a")
    watched.page.keyboard.press("Delete")
    watched.page.keyboard.insert_text(text)


def serve_from_disk(page: Page) -> None:
    """For work on the files: they are read anew with each page, without a build."""
    folder = ROOT / "crates/unsandbox-server/console"

    def answer(route: object) -> None:
        response = route.fetch()  # type: ignore[attr-defined]
        name = response.url.rpartition("/")[2] or "index.html"
        path = next((found for found in (folder / name, folder / "codemirror" / name) if found.exists()), None)
        route.fulfill(response=response, body=path.read_bytes() if path else None)  # type: ignore[attr-defined]

    page.route("**/console/*", answer)
    page.route(lambda url: url.endswith("/"), answer)

# SPDX-License-Identifier: MIT OR Apache-2.0
"""A recorder of HTTP connections, and the requests and replies that it recorded.

The recorder passes bytes on as they come, in both directions, so that neither side notices it: a client that leaves
still leaves, and a reply that is cut off is still cut off.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Exchange:
    """One request, and its reply."""

    method: str
    #: Path and query.
    target: str
    headers: dict[str, str]
    body: bytes
    status: int
    reply_headers: dict[str, str]
    reply: bytes

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        return self.target.partition("?")[2]

    def json(self) -> Any:
        return json.loads(self.reply)


class Recorder:
    """Listens, passes each connection on to a server, and writes what came from either side into a directory."""

    def __init__(self, target: str, directory: Path) -> None:
        host, _, port = target.removeprefix("http://").rpartition(":")
        self.target = (host, int(port))
        self.directory = directory
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.threads: list[threading.Thread] = []

    def __enter__(self) -> Recorder:
        self.directory.mkdir(parents=True, exist_ok=True)
        self._begin(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        # Wakes the thread in accept, which `close` alone does not.
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for thread in self.threads:
            thread.join(30)
            assert not thread.is_alive(), "a recorded connection is still open"

    def _begin(self, function: Any, *arguments: object) -> threading.Thread:
        thread = threading.Thread(target=function, args=arguments, daemon=True)
        self.threads.append(thread)
        thread.start()
        return thread

    def _accept(self) -> None:
        number = 0
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            number += 1
            self._begin(self._serve, client, self.directory / f"{number:05}")

    def _serve(self, client: socket.socket, name: Path) -> None:
        with client, socket.create_connection(self.target) as server:
            for side in (client, server):
                side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            up = self._begin(_pump, client, server, name.with_suffix(".requests"))
            _pump(server, client, name.with_suffix(".replies"))
            up.join()


def _pump(source: socket.socket, sink: socket.socket, name: Path) -> None:
    with name.open("wb") as record:
        try:
            while data := source.recv(1 << 18):
                record.write(data)
                sink.sendall(data)
        except OSError:
            # One side is gone: the other has to notice.
            for side in (source, sink):
                _shut(side, socket.SHUT_RDWR)
        _shut(sink, socket.SHUT_WR)


def _shut(side: socket.socket, how: int) -> None:
    try:
        side.shutdown(how)
    except OSError:
        pass


class Cut(Exception):
    """The bytes end before the message does."""


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def ended(self) -> bool:
        return self.at >= len(self.data)

    def line(self) -> str:
        end = self.data.find(b"\r\n", self.at)
        if end < 0:
            raise Cut
        line = self.data[self.at : end].decode("latin-1")
        self.at = end + 2
        return line

    def take(self, length: int) -> bytes:
        if self.at + length > len(self.data):
            raise Cut
        self.at += length
        return self.data[self.at - length : self.at]

    def head(self) -> tuple[str, dict[str, str]]:
        first, headers = self.line(), {}
        while line := self.line():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        return first, headers

    def body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while length := int(self.line().partition(";")[0], 16):
                body += self.take(length)
                self.take(2)
            self.line()
            return body
        return self.take(int(headers.get("content-length", 0)))


def recorded(directory: Path) -> Iterator[Exchange | str]:
    """Each exchange of a directory, or of a request without its reply its first line."""
    for name in sorted(directory.glob("*.requests")):
        requests, replies = _Reader(name.read_bytes()), _Reader(name.with_suffix(".replies").read_bytes())
        while not requests.ended():
            try:
                first, headers = requests.head()
            except Cut:
                yield "a request that was cut off"
                break
            try:
                body, begun = requests.body(headers), True
            except Cut:
                # A refusal may come before the body is complete.
                body, begun = b"", False
            method, target, _ = first.split(" ")
            try:
                status, reply_headers = replies.head()
                while status.split(" ")[1].startswith("1"):
                    status, reply_headers = replies.head()
                reply = b"" if method == "HEAD" else replies.body(reply_headers)
            except Cut:
                yield f"{method} {target.partition('?')[0]}"
                break
            yield Exchange(method, target, headers, body, int(status.split(" ")[1]), reply_headers, reply)
            if not begun:
                break

# SPDX-License-Identifier: MIT OR Apache-2.0
"""A server that misbehaves as scripted: the first part of a path names the scenario of scenarios.toml.

Prints its plain and its TLS address in one line and serves until it is ended.
"""

from __future__ import annotations

import json
import socket
import ssl
import threading
import tomllib
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SCENARIOS = tomllib.loads((HERE / "scenarios.toml").read_text())


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.turns: Counter[str] = Counter()
        self.lock = threading.Lock()

    def turn(self, key: str) -> int:
        """How often this was asked before."""
        with self.lock:
            self.turns[key] += 1
            return self.turns[key] - 1

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is what some scenarios are for."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """Silent: the runner tells what failed."""

    def do_GET(self) -> None:
        _, name, path = self.path.split("?")[0].split("/", 2)
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        # What follows a "~" tells runs apart that go on at the same time.
        scenario = SCENARIOS[name.split("~")[0]]
        asked = f"{self.command} /{path}"
        reply = scenario.get(asked) or scenario.get("*")
        if reply and "times" in reply:
            # The replies in their order; the last one stays.
            assert isinstance(self.server, Server)
            turn = self.server.turn(f"{name} {asked}")
            reply = reply["times"][min(turn, len(reply["times"]) - 1)]
        if reply is None:
            self.answer({"status": 404, "json": {"success": False, "error": "not_found", "message": asked}})
        else:
            self.answer(reply)

    do_POST = do_DELETE = do_HEAD = do_GET

    def answer(self, reply: dict[str, Any]) -> None:
        if reply.get("hang"):
            # Until the client gives up, or for as long as no case waits.
            self.connection.settimeout(60)
            self.connection.recv(1)
            self.close_connection = True
            return
        if "raw" in reply:
            self.connection.sendall(reply["raw"].encode("latin-1"))
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        body = json.dumps(reply["json"]).encode() if "json" in reply else reply.get("body", "").encode()
        body *= reply.get("repeat", 1)
        self.send_response(reply.get("status", 200))
        for name, value in reply.get("headers", {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body) + reply.get("missing", 0)))
        self.end_headers()
        self.wfile.write(body)
        if reply.get("missing"):
            self.wfile.flush()
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)


def main() -> None:
    plain, tls = Server(), Server()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(HERE / "localhost.pem")
    # The handshake is made in the connection's own thread, when it is first read.
    tls.socket = context.wrap_socket(tls.socket, server_side=True, do_handshake_on_connect=False)
    print(
        f"http://127.0.0.1:{plain.server_port} https://127.0.0.1:{tls.server_port}", flush=True
    )
    threading.Thread(target=tls.serve_forever, daemon=True).start()
    plain.serve_forever()


if __name__ == "__main__":
    main()

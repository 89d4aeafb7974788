# SPDX-License-Identifier: MIT OR Apache-2.0
"""A server with a fault for every request in turn, and a search for keys in what a client logged.

At trace the HTTP library dumps the bytes that it sends and receives, sixteen in a line, so that a key may
stand in two lines: dumps are put together before they are searched.
"""

from __future__ import annotations

import json
import re
import socket
import threading

#: What every key of these tests has in it.
KEY = "unsb-key-5ecre7"


def _answer(status: int, body: str, *headers: str) -> bytes:
    # The server closes after each: a client that is not told so may still send into it.
    length = f"Content-Length: {len(body)}"
    head = [f"HTTP/1.1 {status} Word", "Connection: close", length, *headers]
    return "\r\n".join([*head, "", body]).encode()


#: A raw answer each; the connection is closed after it. Nothing at all is one too.
FAULTS = [
    b"",
    b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{",
    b"SSH-2.0-OpenSSH\r\n\r\n",
    _answer(200, "<html>"),
    _answer(200, '{"success":true,"stdout":"hi"}', "Content-Encoding: gzip"),
    _answer(307, "", "Location: https://example.com/"),
    _answer(400, '{"error":"invalid_request"}'),
    _answer(401, '{"error":"invalid_api_key"}'),
    _answer(401, '{"error":"invalid_timestamp"}', "Date: Fri, 01 Jan 2100 00:00:00 GMT"),
    _answer(429, "", "Retry-After: 600"),
    _answer(500, "oops"),
    _answer(200, '{"success":true,"stdout":"hi","exit_code":0}'),
]


#: Sizes at the limits: of all input files together, and of one stream of output.
INPUT_BYTES, OUTPUT_BYTES = 10 << 20, 16 << 20


class Faulty:
    """Serves the faults on a free port of the loopback interface; a context manager."""

    def __init__(self, answers: list[bytes] = FAULTS) -> None:
        self._answers = answers

    def __enter__(self) -> Faulty:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        #: The heads of the requests, each with its key.
        self.heads: list[bytes] = []
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection = self._listener.accept()[0]
            except OSError:
                return
            with connection, connection.makefile("rb") as reader:
                head = b""
                while not head.endswith(b"\r\n\r\n") and (line := reader.readline()):
                    head += line
                length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
                reader.read(int(length[1]) if length else 0)
                fault = self._answers[len(self.heads) % len(self._answers)]
                self.heads.append(head)
                connection.sendall(fault)


def large(output_bytes: int) -> Faulty:
    """A server that is healthy, and whose second reply has so much output."""
    result = json.dumps({"success": True, "stdout": "x" * output_bytes, "exit_code": 0})
    return Faulty([_answer(200, '{"status":"ok"}'), _answer(200, result)])


def keys_in(lines: list[str]) -> list[str]:
    """Lines and dumps that have a key in them."""
    rows = [re.match(r"((?:[0-9a-f-]{4} ){8})", line) for line in lines]
    dumped = "".join(row[1].replace(" ", "").replace("-", "") for row in rows if row)
    texts = [*lines, bytes.fromhex(dumped).decode("latin-1")]
    return [text for text in texts if "5ecre7" in text]

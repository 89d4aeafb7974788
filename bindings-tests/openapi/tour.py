# SPDX-License-Identifier: MIT OR Apache-2.0
"""Requests for the operations, parameters and refusals of the document that the table of cases has not."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import time
from collections.abc import Iterator

KEYS = ("unsb-pk-test-0000-0000-0001", "unsb-sk-test0-00000-00000-00001")
JSON = {"Content-Type": "application/json"}


class Tour:
    """One connection for each request, to a server with the keys of table/servers.py."""

    def __init__(self, url: str) -> None:
        self.host = url.removeprefix("http://")

    def ask(self, method: str, target: str, body: object = None, headers: dict[str, str] | None = None, key: bool = True) -> tuple[int, bytes]:
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        sent = {"Authorization": f"Bearer {KEYS[1]}"} if key else {}
        connection = http.client.HTTPConnection(self.host, timeout=60)
        connection.request(method, target, data, sent | (headers or {}))
        response = connection.getresponse()
        reply = response.status, response.read()
        connection.close()
        return reply

    def expect(self, status: int, method: str, target: str, body: object = None, headers: dict[str, str] | None = None, key: bool = True) -> dict[str, object]:
        got, reply = self.ask(method, target, body, headers, key)
        assert got == status, f"{method} {target}: {got} {reply[:300]!r}"
        made: dict[str, object] = json.loads(reply) if reply else {}
        return made

    def stream(self, method: str, target: str, body: object = None, headers: dict[str, str] | None = None) -> None:
        got, reply = self.ask(method, target, body, headers)
        assert got == 200 and b"event: finished\n" in reply, f"{method} {target}: {got} {reply[:300]!r}"

    def operations(self) -> None:
        for path in ("/services", "/sessions", "/snapshots", "/images", "/openapi.json", "/health", "/healthz", "/readyz", "/languages", "/jobs", "/usage"):
            self.expect(200, "GET", path)
        self.expect(200, "HEAD", "/health")
        self.expect(200, "GET", "/readyz", key=False)
        got, _ = self.ask("GET", "/metrics")
        assert got == 200
        for path, accept in (("/", "text/html"), ("/console/main.js", "*/*")):
            got, _ = self.ask("GET", path, headers={"Accept": accept}, key=False)
            assert got == 200
        self.expect(404, "GET", "/", key=False)
        self.expect(200, "POST", "/keys/validate")
        program = {"language": "bash", "code": "sleep 60"}
        for method, end, headers in (("DELETE", "", {}), ("POST", "/cancel", {"x-unsandbox-compat": "0"})):
            job = self.expect(200, "POST", "/execute/async", program)["job_id"]
            self.expect(200, "GET", "/jobs")
            assert self.expect(200, "GET", f"/jobs?limit=1&after={job}")["has_more"] is False
            self.expect(200, method, f"/jobs/{job}{end}", headers=headers)
        job = self.expect(200, "POST", "/run/async", b"#!/bin/bash\nsleep 60", {"Content-Type": "text/plain"})["job_id"]
        self.expect(200, "DELETE", f"/jobs/{job}")

    def submissions(self) -> None:
        program = {
            "code": "#!/bin/bash\ncat > kept; echo > left", "stdin": "in", "env": {"A": "b"}, "ttl": 5, "vcpu": 2, "async": False,
            "files": [{"path": "a/b", "content": ""}], "flags": [], "outputs": ["kept"], "limits": {"processes": 16}, "rerun": "never",
            "return_artifact": False, "return_wasm_artifact": False,
        }  # fmt: skip
        query = "env=%7B%22A%22%3A%22b%22%7D&network_mode=zerotrust&ttl=5&return_artifact=false&return_wasm_artifact=0"
        self.expect(400, "POST", "/run/async", program | {"callback_url": "https://receiver.example/"}, JSON)
        for path in ("/run", "/run/async"):
            self.expect(200, "POST", path, program, JSON)
            self.expect(200, "POST", f"{path}?{query}", b"#!/bin/bash\necho here", {"Content-Type": "text/plain"})
        job = self.expect(200, "POST", "/run", program | {"async": True}, JSON)["job_id"]
        self.expect(200, "GET", f"/jobs/{job}?wait=30")
        for path in ("/execute", "/execute/async"):
            self.expect(200, "POST", path, {"language": "bash", "code": "exit 3", "async": True, "vcpu": 2}, JSON)
        bytes_ = {"language": "bash", "code": "cat; printf '\\377' >&2", "stdin_base64": "/w=="}
        self.expect(200, "POST", "/execute", bytes_, JSON | {"x-unsandbox-compat": "0"})
        twice = JSON | {"Idempotency-Key": f"tour-{time.time()}"}
        job = self.expect(200, "POST", "/execute/async", bytes_, twice)["job_id"]
        self.expect(200, "GET", f"/jobs/{job}?wait=30")
        self.stream("GET", f"/jobs/{job}/events?from=0-0", headers={"Last-Event-ID": "0-1"})
        self.stream("POST", "/execute", bytes_, JSON | {"Accept": "text/event-stream", "Last-Event-ID": "0-0"})
        self.expect(404, "GET", "/jobs/unknown/events")
        # It has ended, and is given with its result.
        self.expect(200, "POST", "/execute/async", bytes_, twice)
        self.expect(409, "POST", "/execute/async", program | {"language": "bash"}, twice)
        self.expect(412, "POST", "/execute/async", bytes_, JSON | {"Idempotency-Key": "process:0/1"})

    def signed(self, at: float, secret: str) -> tuple[int, bytes]:
        body, stamp = b"{}", str(int(at))
        text = f"{stamp}:POST:/keys/validate:".encode() + body
        signature = hmac.new(secret.encode(), text, hashlib.sha256).hexdigest()
        headers = {"Authorization": f"Bearer {KEYS[0]}", "X-Timestamp": stamp, "X-Signature": signature}
        return self.ask("POST", "/keys/validate", body, headers, key=False)

    def refusals(self) -> None:
        assert self.signed(time.time(), KEYS[1])[0] == 200
        assert self.signed(time.time() - 3600, KEYS[1])[0] == 401
        assert self.signed(time.time(), "other")[0] == 401
        self.expect(401, "GET", "/openapi.json", key=False)
        self.expect(401, "GET", "/nowhere", key=False)
        self.expect(404, "GET", "/nowhere")
        self.expect(405, "PUT", "/jobs")
        self.expect(404, "DELETE", "/jobs/unknown")
        self.expect(404, "POST", "/jobs/unknown/cancel")
        self.expect(400, "GET", "/jobs/unknown?wait=soon")
        self.expect(400, "GET", "/jobs?after=unknown")
        self.expect(404, "DELETE", "/jobs/unknown/record")
        self.expect(400, "POST", "/execute", {"language": "bash"}, JSON)
        self.expect(415, "POST", "/run", b"a=b", {"Content-Type": "application/x-www-form-urlencoded"})
        self.expect(415, "POST", "/execute", b"x", JSON | {"Content-Encoding": "gzip"})
        # It announces more than it sends: the refusal comes before the body.
        self.expect(413, "POST", "/execute", b"x", JSON | {"Content-Length": str(1 << 30), "Expect": "100-continue"})


def failures(url: str) -> Iterator[tuple[str, list[str]]]:
    """Makes all requests; each part whose status was not the expected one, and what came instead."""
    tour = Tour(url)
    for part in (tour.operations, tour.submissions, tour.refusals):
        try:
            part()
        except (AssertionError, OSError, http.client.HTTPException) as error:
            yield part.__name__, [str(error)]

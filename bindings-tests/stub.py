# SPDX-License-Identifier: MIT OR Apache-2.0
"""A server that answers as told, for tests that need a fault, a delay or an exact reply.

What the program text says is what happens: `slow`, `say WORDS`, `status 429`, `garbage`, `cut`.
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

RESULT = {
    "success": True,
    "stdout": "42\n",
    "stderr": "",
    "exit_code": 0,
    "error": None,
    "language": "python",
    "job_id": "job-1",
    "status": "completed",
    "artifacts": [
        {"filename": "../plot.png", "kind": "file", "content_base64": "AAEC"},
    ],
    "execution_mode": "cold",
    "network_mode": "zerotrust",
    "total_time_ms": 12,
    "of_tomorrow": {"kept": True},
}

USAGE: dict[str, object] = {
    "key": "1a2b3c4d",
    "running": 1,
    "waiting": 0,
    "kept_jobs": 2,
    "kept_bytes": 3,
    "requests_remaining": 4,
    "since": 1764500000,
    "runs": {"completed": 5},
    "cpu_time_ms": 6,
    "wall_time_ms": 7,
    "limits": {
        "concurrency": 8,
        "reserved": 0,
        "queue": 9,
        "weight": 1,
        "requests_per_minute": 60,
        "burst": 10,
        "max_ttl": 30,
        "max_limits": {"processes": 16},
        "network_mode": "zerotrust",
        "languages": ["bash"],
    },
    "of_tomorrow": {"kept": True},
}


class Stub(ThreadingHTTPServer):
    """Listens on a free port of the loopback interface; a context manager."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        #: Set by a test to end every answer that is being slow.
        self.release = threading.Event()
        #: Set when a slow request has arrived.
        self.arrived = threading.Event()
        self.cancelled: list[str] = []
        #: How the job is while it is not over.
        self.state: str | None = None
        #: Set by a test that restarts the server: it knows no job any more.
        self.restarted = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self) -> Stub:
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.release.set()
        self.shutdown()
        self._thread.join()
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is what some tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Stub

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _json(self, status: int, value: object, headers: dict[str, str] | None = None) -> None:
        self._answer(status, json.dumps(value, separators=(",", ":")).encode(), headers)

    def _note(self) -> bytes:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.requests.append((self.command, self.path, dict(self.headers), body))
        return body

    def do_GET(self) -> None:
        self._note()
        path = self.path.split("?")[0]
        if path == "/health":
            self._json(200, {"status": "ok"}, {"X-Unsandbox-Features": "delete"})
        elif path.startswith("/jobs/") and self.server.restarted:
            self._no_job()
        elif path == "/usage":
            self._json(200, USAGE)
        elif path == "/languages":
            self._json(200, {"languages": ["python", "bash"], "aliases": {"py": "python"}})
        elif path == "/jobs":
            job = {"job_id": "job-1", "status": "running", "language": "python"}
            self._json(200, {"jobs": [job]})
        elif path == "/jobs/job-1" and self.server.state:
            job = {"job_id": "job-1", "status": self.server.state, "language": "python"}
            self._json(200, job)
        elif path == "/jobs/job-1":
            self._json(200, {**RESULT, "created_at": 1, "completed_at": 3, "result": RESULT})
        else:
            self._no_job()

    def _no_job(self) -> None:
        self._json(404, {"success": False, "error": "not_found", "message": "no such job"})

    def do_DELETE(self) -> None:
        self._note()
        if self.server.restarted:
            self._no_job()
            return
        if self.path.endswith("/record"):
            self._json(200, {"job_id": "job-1", "deleted": True})
            return
        self.server.cancelled.append(self.path)
        partial = {**RESULT, "success": False, "exit_code": -1, "status": "cancelled"}
        self._json(200, {"message": "Job cancelled", "job_id": "job-1", **partial})

    def do_POST(self) -> None:
        body = self._note()
        path = self.path.split("?")[0]
        if path == "/keys/validate":
            self._json(200, {"valid": True, "tier": 3})
            return
        if path.endswith("/async"):
            self._json(200, {"job_id": "job-1", "status": "pending"})
            return
        code = body.decode()
        if path == "/execute":
            code = json.loads(body)["code"]
        if code == "slow":
            self.server.arrived.set()
            self.server.release.wait(30)
            self._json(200, RESULT)
        elif code.startswith("say "):
            self._json(200, {**RESULT, "stdout": code.removeprefix("say ")})
        elif code.startswith("status "):
            status = int(code.split()[1])
            error = {"success": False, "error": "told_to", "message": f"told to say {status}"}
            self._json(status, error, {"Retry-After": "7"})
        elif code == "garbage":
            self._answer(200, b"<html>")
        elif code == "cut":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b'{"success":')
            self.close_connection = True
        elif code == "bytes":
            self._json(200, {**RESULT, "stdout": "\ufffd", "stdout_base64": "/wA="})
        elif code == "fails":
            self._json(
                200,
                {**RESULT, "success": False, "exit_code": 7, "stderr": "boom\n", "error": "exit 7"},
            )
        else:
            detected = {"detected_language": "python"} if path == "/run" else {}
            self._json(200, {**RESULT, **detected})

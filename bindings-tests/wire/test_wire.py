# SPDX-License-Identifier: MIT OR Apache-2.0
"""The server as curl and other programs see it: bad bodies, keys, signatures, web pages, and the shape of replies."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from openapi.checker import Checker
from openapi.exchanges import Exchange
from table.servers import FOREIGN_KEY, KEYS, PUBLIC_KEY, SECRET_KEY, built_command, child

#: What a server gives and takes is as its document says, here too.
CHECKER = Checker(json.loads((Path(__file__).resolve().parents[2] / "docs/openapi.json").read_text()))
KEY = {"Authorization": f"Bearer {SECRET_KEY}"}
#: The superset of both documents, in the order of their examples.
RESULT = ["success", "stdout", "stderr", "exit_code", "error", "language", "job_id", "status", "artifacts",
          "execution_mode", "network_mode", "total_time_ms"]  # fmt: skip
ENVELOPE = ["success", "error", "message", "stderr"]


class Server:
    """One server, asked with http.client: exact bytes, no help."""

    def __init__(self, address: str) -> None:
        self.url = address if "://" in address else f"http://{address}"
        self.host = self.url.removeprefix("http://")

    def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        connection = http.client.HTTPConnection(self.host, timeout=30)
        connection.request(method, path, data, {**KEY, **(headers or {})})
        response = connection.getresponse()
        text = response.read()
        connection.close()
        sent = {name.lower(): value for name, value in {**KEY, **(headers or {})}.items()}
        replied = {name.lower(): value for name, value in response.getheaders()}
        exchange = Exchange(method, path, sent, data or b"", response.status, replied, text)
        assert CHECKER.check(exchange) == []
        return response.status, json.loads(text)

    def still_serves(self) -> None:
        status, reply = self.ask("POST", "/execute", {"language": "bash", "code": "echo alive"})
        assert (status, reply["stdout"]) == (200, "alive\n")


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Server]]:
    """One with keys, one without."""
    directory = tmp_path_factory.mktemp("servers")
    (directory / "keys.csv").write_text(KEYS)
    (directory / "keys.csv").chmod(0o600)
    words = [str(built_command()), "serve", "--isolation", "auto", "--grace", "0", "--listen", "127.0.0.1:0"]
    with ExitStack() as stack:
        keys, store = str(directory / "keys.csv"), str(directory / "store.db")
        keyed = stack.enter_context(child([*words, "--keys", keys, "--store", store], directory / "keyed.log"))
        keyless = stack.enter_context(child([*words, "--store", "memory"], directory / "keyless.log"))
        yield {"keyed": Server(keyed), "keyless": Server(keyless)}


@pytest.fixture
def server(servers: dict[str, Server]) -> Server:
    return servers["keyed"]


def refused(answer: tuple[int, Any], status: int, word: str, *words: str) -> None:
    got, envelope = answer
    assert (got, envelope["error"]) == (status, word), envelope
    assert list(envelope)[:4] == ENVELOPE
    assert envelope["success"] is False
    for text in words:
        assert text in envelope["message"], envelope


DEEP = b'{"language":"bash","code":"true","env":' + b"[" * 10_000 + b"]" * 10_000 + b"}"
BODIES = [
    (b"{", "JSON"),
    (b"", "language"),
    (b"[]", "object"),
    (b'"text"', "object"),
    (b"\xff\xfe", ""),
    (DEEP, ""),
    (b"[" * 10_000, ""),
    (b'{"language":7,"code":"true"}', "language"),
    (b'{"language":"bash","code":["true"]}', "code"),
    (b'{"language":"bash"}', "code"),
    (b'{"language":"bash","code":"true","ttl":1.5}', "1.5"),
    (b'{"language":"bash","code":"true","ttl":"60"}', "60"),
    (b'{"language":"bash","code":"true","ttl":1e400}', ""),
    (b'{"language":"bash","code":"true","env":["A"]}', "env"),
    (b'{"language":"bash","code":"true","env":{"A":1}}', "env"),
    (b'{"language":"bash","code":"true","input_files":{}}', "input_files"),
    (b'{"language":"bash","code":"true","input_files":[{"filename":"a"}]}', "content"),
    (b'{"language":"bash","code":"true","input_files":[{"filename":"a","content":"not base64!"}]}', "base64"),
    (b'{"language":"bash","code":"true","stdin_base64":"*"}', "stdin_base64"),
    (b'{"language":"bash","code":"true","args":"one"}', "args"),
    (b'{"language":"bash","code":"true","limits":{"memory":1}}', "memory"),
    (b'{"language":"bash","code":"true","return_artifact":"perhaps"}', "return_artifact"),
]


@pytest.mark.parametrize(("body", "word"), BODIES)
@pytest.mark.parametrize("path", ["/execute", "/execute/async"])
def test_a_bad_body_is_refused(server: Server, path: str, body: bytes, word: str) -> None:
    refused(server.ask("POST", path, body, {"Content-Type": "application/json"}), 400, "invalid_request", word)
    server.still_serves()


@pytest.mark.parametrize("query", ["ttl=0", "ttl=1.5", "ttl=x", "env=%7B", "env=%5B%5D", "network_mode=open"])
def test_a_bad_query_is_refused(server: Server, query: str) -> None:
    answer = server.ask("POST", f"/run?{query}", b"#!/bin/bash\ntrue", {"Content-Type": "text/plain"})
    refused(answer, 400, "invalid_request", query.split("=")[0])
    server.still_serves()


def test_a_body_over_the_limit_is_refused(server: Server) -> None:
    body = b'{"language":"bash","code":"' + b"#" * (96 << 20) + b'"}'
    connection = http.client.HTTPConnection(server.host, timeout=30)
    connection.putrequest("POST", "/execute")
    connection.putheader("Authorization", KEY["Authorization"])
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders()
    try:
        connection.send(body)
    except (BrokenPipeError, ConnectionResetError):
        pass  # refused by its announced length, before it was read
    response = connection.getresponse()
    answer = response.status, json.loads(response.read())
    connection.close()
    refused(answer, 413, "too_large", "100663296")
    server.still_serves()


@pytest.mark.parametrize(("method", "path"), [("GET", "/execute"), ("PUT", "/jobs"), ("POST", "/health"), ("PATCH", "/run")])
def test_a_wrong_method_is_refused(server: Server, method: str, path: str) -> None:
    status, envelope = server.ask(method, path)
    assert (status, list(envelope)[:4]) == (405, ENVELOPE)
    assert method in envelope["message"]
    server.still_serves()


@pytest.mark.parametrize("path", ["/", "/v1/execute", "/jobs/nothing", "/jobs/%00", "/jobs/a%2Fb"])
def test_what_is_not_there_is_not_found(server: Server, path: str) -> None:
    refused(server.ask("GET", path), 404, "not_found")
    server.still_serves()


@pytest.mark.parametrize("key", ["", "Bearer", "Bearer wrong", "Basic dXNlcjpwYXNz", f"Bearer {PUBLIC_KEY}", f"Bearer {SECRET_KEY}x"])
@pytest.mark.parametrize(("method", "path"), [("POST", "/execute"), ("GET", "/jobs"), ("GET", "/jobs/x"), ("DELETE", "/jobs/x")])
def test_without_the_right_key_nothing_is_to_be_had(server: Server, method: str, path: str, key: str) -> None:
    body = {"language": "bash", "code": "true"} if method == "POST" else None
    refused(server.ask(method, path, body, {"Authorization": key}), 401, "invalid_api_key")


def signed(method: str, path: str, body: bytes, at: float, secret: str = SECRET_KEY) -> dict[str, str]:
    text = f"{int(at)}:{method}:{path}:".encode() + body
    signature = hmac.new(secret.encode(), text, hashlib.sha256).hexdigest()
    return {"Authorization": f"Bearer {PUBLIC_KEY}", "X-Timestamp": str(int(at)), "X-Signature": signature}


def test_signatures(server: Server) -> None:
    body = b'{"language":"bash","code":"echo signed"}'
    now = time.time()
    status, reply = server.ask("POST", "/execute", body, signed("POST", "/execute", body, now))
    assert (status, reply["stdout"]) == (200, "signed\n")
    for stale in (now - 400, now + 400):
        refused(server.ask("POST", "/execute", body, signed("POST", "/execute", body, stale)), 401, "invalid_timestamp")
    for wrong in (
        signed("GET", "/execute", body, now),
        signed("POST", "/run", body, now),
        signed("POST", "/execute", body + b" ", now),
        signed("POST", "/execute", body, now, "another"),
        signed("POST", "/execute", body, now) | {"X-Signature": "00"},
    ):
        refused(server.ask("POST", "/execute", body, wrong), 401, "invalid_signature")
    # With and without the query, as clients do.
    run = b"#!/bin/bash\necho signed"
    for path in ("/run", "/run?ttl=5"):
        status, reply = server.ask("POST", "/run?ttl=5", run, signed("POST", path, run, now) | {"Content-Type": "text/plain"})
        assert (status, reply["stdout"]) == (200, "signed\n")


def test_a_foreign_job_does_not_exist(server: Server) -> None:
    foreign = {"Authorization": f"Bearer {FOREIGN_KEY}"}
    _, job = server.ask("POST", "/execute/async", {"language": "bash", "code": "sleep 20", "ttl": 30})
    path = f"/jobs/{job['job_id']}"
    refused(server.ask("GET", path, headers=foreign), 404, "not_found")
    refused(server.ask("DELETE", path, headers=foreign), 404, "not_found")
    refused(server.ask("POST", f"{path}/cancel", headers=foreign), 404, "not_found")
    assert job["job_id"] not in json.dumps(server.ask("GET", "/jobs", headers=foreign))
    assert job["job_id"] in json.dumps(server.ask("GET", "/jobs"))
    assert server.ask("GET", path)[1]["status"] in ("pending", "running")
    assert server.ask("DELETE", path)[1]["status"] == "cancelled"


@pytest.mark.parametrize("headers", [
    {"Origin": "https://page.example"},
    {"Origin": "null"},
    {"Origin": "http://localhost:3000"},
    {"Host": "page.example"},
    {"Host": "127.0.0.1.page.example"},
])  # fmt: skip
def test_a_web_page_cannot_use_a_keyless_server(servers: dict[str, Server], tmp_path: Path, headers: dict[str, str]) -> None:
    keyless = servers["keyless"]
    for path, kind in (("/run", "text/plain"), ("/execute", "text/plain")):
        body = b"#!/bin/bash\ntrue" if path == "/run" else b'{"language":"bash","code":"true"}'
        status, envelope = keyless.ask("POST", path, body, {**headers, "Content-Type": kind, "Authorization": ""})
        assert status == 403, envelope
        assert list(envelope)[:4] == ENVELOPE
    keyless.still_serves()


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
def test_a_form_is_no_program(server: Server, kind: str) -> None:
    for path in ("/run", "/run/async"):
        refused(server.ask("POST", path, b"#!/bin/bash\ntrue", {"Content-Type": kind}), 415, "unsupported_media_type", "text/plain")
    server.still_serves()


def test_what_the_service_alone_has_is_an_empty_list(server: Server) -> None:
    for name in ("services", "sessions", "snapshots", "images"):
        assert server.ask("GET", f"/{name}") == (200, {name: [], "count": 0})


# ---- curl on each operation ----


@pytest.fixture
def curl(server: Server) -> Any:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")

    def call(method: str, path: str, *words: str) -> tuple[str, Any]:
        line = ["curl", "-sS", "-f", "-X", method, "-H", f"Authorization: Bearer {SECRET_KEY}", *words, server.url + path]
        done = subprocess.run(line, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout, json.loads(done.stdout)

    return call


JSON = ("-H", "Content-Type: application/json", "-d")


def compact(text: str, reply: Any) -> None:
    assert text == json.dumps(reply, separators=(",", ":"), ensure_ascii=False)


def test_curl_execute(curl: Any) -> None:
    text, reply = curl("POST", "/execute", *JSON, '{"language":"python","code":"print(\'é\')"}')
    compact(text, reply)
    assert list(reply)[: len(RESULT)] == RESULT
    assert (reply["stdout"], reply["error"], reply["exit_code"], reply["artifacts"]) == ("é\n", None, 0, [])
    # A program that failed is a reply like another.
    text, reply = curl("POST", "/execute", *JSON, '{"language":"bash","code":"echo out; exit 3"}')
    compact(text, reply)
    assert (reply["success"], reply["stdout"], reply["exit_code"], reply["status"]) == (False, "out\n", 3, "completed")
    assert isinstance(reply["error"], str)


def test_curl_execute_bytes(curl: Any) -> None:
    _, reply = curl("POST", "/execute", *JSON, '{"language":"bash","code":"printf \'\\\\377a\'"}')
    assert reply["stdout"] == "\ufffda"
    assert base64.b64decode(reply["stdout_base64"]) == b"\xffa"
    _, reply = curl("POST", "/execute", *JSON, '{"language":"bash","code":"printf abc"}')
    assert "stdout_base64" not in reply


def test_curl_run(curl: Any) -> None:
    program = "#!/usr/bin/env python3\nprint('detected')"
    text, reply = curl("POST", "/run?ttl=5", "-H", "Content-Type: text/plain", "--data-binary", program)
    compact(text, reply)
    keys = RESULT[:6] + ["detected_language"] + RESULT[6:]
    assert list(reply)[: len(keys)] == keys
    assert (reply["language"], reply["detected_language"], reply["stdout"]) == ("python", "python", "detected\n")


def test_curl_jobs(curl: Any) -> None:
    program = '{"language":"bash","code":"echo partial; sleep 30","ttl":60}'
    text, reply = curl("POST", "/execute/async", *JSON, program)
    compact(text, reply)
    assert list(reply) == ["job_id", "status", "message"]
    assert reply["status"] == "pending"
    path = f"/jobs/{reply['job_id']}"
    while True:
        text, job = curl("GET", path)
        compact(text, job)
        if job["status"] == "running":
            break
    wanted = ["job_id", "status", "language", "created_at", "started_at"]
    assert [name for name in job if name in wanted] == wanted
    assert not set(job) & {"result", "stdout", "success", "exit_code", "completed_at"}
    text, listed = curl("GET", "/jobs")
    compact(text, listed)
    assert list(listed) == ["jobs", "count"]
    mine = next(it for it in listed["jobs"] if it["job_id"] == job["job_id"])
    assert list(mine) == ["job_id", "status", "language", "network_mode", "submitted_at"]
    assert mine["submitted_at"].endswith("Z")
    text, cancelled = curl("DELETE", path)
    compact(text, cancelled)
    assert list(cancelled)[:4] == ["message", "job_id", "status", "success"]
    assert (cancelled["status"], cancelled["success"]) == ("cancelled", False)
    nested = cancelled["result"]
    assert list(nested)[:6] == RESULT[:6]
    assert (nested["exit_code"], nested["error"]) == (-1, "Job cancelled by user")


def test_curl_a_finished_job_is_flat_and_nested(curl: Any) -> None:
    _, submitted = curl("POST", "/run/async", "-H", "Content-Type: text/plain", "--data-binary", "#!/bin/bash\necho both")
    text, job = curl("GET", f"/jobs/{submitted['job_id']}?wait=20")
    compact(text, job)
    assert job["status"] == "completed"
    for place in (job, job["result"]):
        assert (place["success"], place["stdout"], place["exit_code"], place["detected_language"]) == (True, "both\n", 0, "bash")
    for name in ("created_at", "started_at", "completed_at"):
        assert isinstance(job[name], int)


def test_curl_the_rest(curl: Any) -> None:
    text, languages = curl("GET", "/languages")
    compact(text, languages)
    assert list(languages)[:3] == ["languages", "aliases", "count"]
    assert languages["count"] == len(languages["languages"])
    assert languages["aliases"]["node"] == "javascript" or "javascript" not in languages["languages"]
    text, key = curl("POST", "/keys/validate", *JSON, "{}")
    assert '"valid":true' in text
    assert "error" not in key
    text, health = curl("GET", "/health")
    compact(text, health)
    assert health["status"] == "ok"
    assert "error" not in text


def test_head_of_health(server: Server) -> None:
    connection = http.client.HTTPConnection(server.host, timeout=30)
    connection.request("HEAD", "/health")
    response = connection.getresponse()
    assert (response.status, response.read()) == (200, b"")
    connection.close()

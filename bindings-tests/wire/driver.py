# SPDX-License-Identifier: MIT OR Apache-2.0
"""Drives the table of cases over bare HTTP, with nothing of this project between the case and the server.

So the server's own checks are seen, which a client of ours would have made before it. The form of the
lines is in table/lines.py. At an https URL the requests go by HTTP/2, with curl.
"""

from __future__ import annotations

import base64
import http.client
import json
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from table.lines import decode_blocks, encode_line, usage_lines  # noqa: E402

#: The status and word of a refusal, and the code that every client makes of it.
CODES = {400: "ARGUMENT", 401: "AUTH", 403: "PERMISSION", 404: "NOT_FOUND", 409: "CONFLICT", 413: "ARGUMENT",
         422: "LANGUAGE_UNAVAILABLE", 429: "RATE_LIMITED", 500: "SERVER", 501: "ISOLATION_UNAVAILABLE"}  # fmt: skip
ENVELOPE = ["success", "error", "message", "stderr"]
RESULT = ["success", "stdout", "stderr", "exit_code", "error", "language"]


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=60)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(self.path)


class Refused(Exception):
    def __init__(self, status: int, envelope: dict[str, Any]) -> None:
        self.status, self.envelope = status, envelope


class Inexpressible(Exception):
    """A case that is about a client, not about the wire."""


def connect(url: str) -> http.client.HTTPConnection:
    if url.startswith("unix:"):
        return UnixConnection(url.removeprefix("unix:"))
    return http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)


def exchange(settings: dict[str, str], method: str, path: str, body: bytes | None, headers: dict[str, str]) -> tuple[int, bytes]:
    """The status and the body of the reply to a request with the key."""
    if "api_key" in settings:
        headers["Authorization"] = f"Bearer {settings['api_key']}"
    if settings["base_url"].startswith("https:"):
        return ask_http2(settings, method, path, body, headers)
    connection = connect(settings["base_url"])
    connection.request(method, path, body, headers)
    response = connection.getresponse()
    status, text = response.status, response.read()
    connection.close()
    return status, text


def ask(settings: dict[str, str], method: str, path: str, body: bytes | None = None, kind: str = "application/json") -> dict[str, Any]:
    status, text = exchange(settings, method, path, body, {"Content-Type": kind})
    reply = json.loads(text)
    compact = json.dumps(reply, separators=(",", ":"), ensure_ascii=False)
    assert len(compact.encode()) <= len(text) <= len(compact.encode()) * 1.2 + 8, "the reply is not compact JSON"
    if status != 200:
        assert list(reply)[:4] == ENVELOPE, list(reply)
        raise Refused(status, reply)
    return reply


def events(settings: dict[str, str], path: str) -> list[dict[str, Any]]:
    """The events of a stream in the form of call_json: each has its name as `event`, and those of the job itself have it."""
    status, text = exchange(settings, "GET", path, None, {})
    if status != 200:
        raise Refused(status, json.loads(text))
    found = []
    for block in text.decode().split("\n\n"):
        said = dict(line.split(": ", 1) for line in block.split("\n") if line and not line.startswith(":"))
        if said:
            data = json.loads(said["data"])
            found.append({"event": said["event"], **({"job": data} if "job_id" in data else data)})
    return found


def ask_http2(settings: dict[str, str], method: str, path: str, body: bytes | None, headers: dict[str, str]) -> tuple[int, bytes]:
    """The status and the body of the reply."""
    command = ["curl", "--silent", "--show-error", "--http2", "--noproxy", "*", "--cacert", settings["ca_file"], "--request", method]
    command += ["--max-time", "60", "--path-as-is", "--globoff", "--write-out", "\n%{http_code} %{http_version}"]
    command += [word for name, value in headers.items() for word in ("--header", f"{name}: {value}")]
    command += ["--data-binary", "@-"] if body is not None else []
    done = subprocess.run([*command, settings["base_url"] + path], input=body or b"", capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    text, _, said = done.stdout.rpartition(b"\n")
    status, version = said.split()
    assert version == b"2", f"HTTP/{version.decode()} and not HTTP/2"
    return int(status), text


def body_of(block: list[list[bytes]], with_language: bool) -> tuple[dict[str, Any], dict[str, str]]:
    body: dict[str, Any] = {}
    settings: dict[str, str] = {}
    for key, *words in block:
        text = [word.decode(errors="surrogateescape") for word in words]
        match key.decode():
            case "set":
                settings[text[0]] = text[1]
            case "language" if with_language:
                body["language"] = text[0]
            case "code":
                body["code"] = text[0]
            case "env":
                body.setdefault("env", {})[text[0]] = text[1]
            case "file":
                entry = {"filename": text[0], "content": base64.b64encode(words[1]).decode()}
                body.setdefault("input_files", []).append(entry)
            case "tree_file":
                entry = {"path": text[0], "content": base64.b64encode(words[1]).decode()}
                body.setdefault("files", []).append(entry)
            case "unnamed_file":
                entry = {"content": base64.b64encode(words[0]).decode()}
                body.setdefault("input_files", []).append(entry)
            case "stdin":
                body["stdin_base64"] = base64.b64encode(words[0]).decode()
            case "flag":
                body.setdefault("flags", []).append(text[0])
            case "output":
                body.setdefault("outputs", []).append(text[0])
            case "arg":
                body.setdefault("args", []).append(text[0])
            case "limit":
                body.setdefault("limits", {})[text[0]] = int(text[1])
            case "ttl":
                body["ttl"] = json.loads(text[0])
            case "return_artifact" | "return_wasm_artifact":
                body[key.decode()] = True
            case "network_mode" | "rerun" | "callback_url":
                body[key.decode()] = text[0]
            case "runtime" | "timeout_ms" | "cancel_after_ms" | "close":
                raise Inexpressible(f"{key.decode()} is a matter of the client")
    return body, settings


def submit_run(settings: dict[str, str], body: dict[str, Any], path: str) -> dict[str, Any]:
    """As the specification has it: the program as text, options in the query; else as JSON."""
    if set(body) <= {"code", "env", "network_mode", "ttl", "return_artifact", "return_wasm_artifact"}:
        query = {key: value for key, value in body.items() if key != "code"}
        if "env" in query:
            query["env"] = json.dumps(query["env"])
        words = urlencode({key: str(value).lower() if isinstance(value, bool) else value for key, value in query.items()})
        return ask(settings, "POST", f"{path}?{words}", body["code"].encode(), "text/plain")
    return ask(settings, "POST", path, json.dumps(body).encode())


class Report:
    def __init__(self, name: bytes) -> None:
        self.lines: list[list[Any]] = [["case", name]]

    def value(self, key: str, value: Any) -> None:
        if value is not None:
            self.lines.append([key, int(value) if isinstance(value, bool) else value])

    def result(self, reply: dict[str, Any]) -> None:
        assert list(reply)[:6] == RESULT, f"keys are not in the order of the specification: {list(reply)}"
        for name in ("success", "status", "exit_code", "signal", "limit", "language", "detected_language",
                     "job_id", "execution_mode", "runtime", "network_mode", "total_time_ms", "truncated"):  # fmt: skip
            self.value(name, reply.get(name))
        for name in ("stdout", "stderr"):
            packed = reply.get(f"{name}_base64")
            data = base64.b64decode(packed) if packed else reply[name].encode()
            self.value(name, data[:65_536])
            self.value(f"{name}_len", len(data))
        self.value("error_text", reply["error"])
        self.value("isolation", (reply.get("isolation") or {}).get("level"))
        for name in ("cpu_time_ms", "peak_memory_bytes", "wall_time_ms"):
            self.value(name, (reply.get("usage") or {}).get(name))
            self.value(f"compile_{name}", (reply.get("compile") or {}).get(name))
        for it in reply["artifacts"]:
            data = base64.b64decode(it["content_base64"])
            self.lines.append(["artifact", it["filename"], it["kind"], len(data), data[:4]])
        self.lines += [["left_file", name] for name in reply.get("left_files", ())]

    def events(self, told: list[dict[str, Any]]) -> None:
        """What happened to the job itself, and the output in one piece."""
        self.value("event_kinds", " ".join(it["event"] for it in told if "job" in it))
        for name in ("stdout", "stderr"):
            pieces = [it for it in told if it["event"] == name]
            data = b"".join(base64.b64decode(it["base64"]) if "base64" in it else it["text"].encode() for it in pieces)
            self.value(name, data[:65_536])
            self.value(f"{name}_len", len(data))
        job = told[-1]["job"]
        self.job(job)
        self.value("exit_code", job["result"]["exit_code"])

    def job(self, reply: dict[str, Any]) -> None:
        for name in ("job_id", "status", "language", "detected_language", "network_mode", "created_at", "started_at", "completed_at"):
            self.value(f"job.{name}", reply.get(name))


def wait(settings: dict[str, str], job_id: str) -> dict[str, Any]:
    while True:
        job = ask(settings, "GET", f"/jobs/{quote(job_id)}?wait=30")
        if "result" in job:
            return job


def submit(settings: dict[str, str], block: list[list[bytes]], said: dict[str, str]) -> str:
    body, _ = body_of(block, said["submit"] == "execute_async")
    if said["submit"] == "execute_async":
        job_id = ask(settings, "POST", "/execute/async", json.dumps(body).encode())["job_id"]
    else:
        job_id = submit_run(settings, body, "/run/async")["job_id"]
    while said.get("until") == "running" and ask(settings, "GET", f"/jobs/{job_id}")["status"] == "pending":
        time.sleep(0.01)
    if said.get("until") == "ended":
        wait(settings, job_id)
    time.sleep(int(said.get("settle_ms", 0)) / 1000)
    return str(job_id)


def play(block: list[list[bytes]], report: Report) -> None:
    said = {key.decode(): words[0].decode(errors="surrogateescape") for key, *words in block if words}
    operation = said["do"]
    body, settings = body_of(block, operation.startswith("execute"))
    reached = {"base_url", "api_key"} | ({"ca_file"} if settings.get("base_url", "").startswith("https:") else set())
    if not set(settings) <= reached:
        raise Inexpressible("settings are a matter of the client")
    job_id = submit(settings, block, said) if "submit" in said else said.get("job_id", "")
    path = f"/jobs/{quote(job_id, safe='')}"
    match operation:
        case "execute":
            report.result(ask(settings, "POST", "/execute", json.dumps(body).encode()))
        case "run":
            report.result(submit_run(settings, body, "/run"))
        case "execute_async" | "run_async":
            if operation == "execute_async":
                job = ask(settings, "POST", "/execute/async", json.dumps(body).encode())
            else:
                job = submit_run(settings, body, "/run/async")
            assert list(job)[:3] == ["job_id", "status", "message"], list(job)
            report.job(job)
            report.result(wait(settings, job["job_id"])["result"] | {"status": wait(settings, job["job_id"])["status"], "job_id": job["job_id"]})
        case "get_job":
            job = ask(settings, "GET", path)
            report.job(job)
            if "result" in job:
                report.result(job["result"] | {"status": job["status"], "job_id": job["job_id"]})
        case "wait_job":
            job = wait(settings, job_id)
            report.result(job["result"] | {"status": job["status"], "job_id": job["job_id"]})
        case "job_events":
            report.events(events(settings, f"{path}/events" + (f"?from={said['from']}" if "from" in said else "")))
        case "cancel_job":
            job = ask(settings, "DELETE", path)
            assert list(job)[:4] == ["message", "job_id", "status", "success"], list(job)
            report.result(job["result"] | {"status": job["status"], "job_id": job["job_id"]})
        case "delete_job":
            try:
                reply = ask(settings, "DELETE", f"{path}/record")
            except Refused:
                if "submit" in said:
                    ask(settings, "DELETE", path)
                raise
            assert reply == {"job_id": job_id, "deleted": True}, reply
            try:
                ask(settings, "GET", path)
                report.value("found", True)
            except Refused as refused:
                report.value("found", refused.status != 404)
        case "list_jobs":
            page = {name: said[f"page_{name}"] for name in ("limit", "after") if f"page_{name}" in said}
            if page.get("after") == "submitted":
                page["after"] = job_id
            reply = ask(settings, "GET", f"/jobs?{urlencode(page)}" if page else "/jobs")
            assert list(reply) == ["jobs", "count", *(["has_more"] if page else [])], list(reply)
            report.value("count", reply["count"])
            for job in [job for job in reply["jobs"] if job_id in ("", job["job_id"])][:1]:
                assert list(job)[:3] == ["job_id", "status", "language"], list(job)
                report.job(job)
        case "languages":
            reply = ask(settings, "GET", "/languages")
            report.value("count", len(reply["languages"]))
            raise_for_offers(reply, report)
        case "validate_key":
            reply = ask(settings, "POST", "/keys/validate", b"{}")
            report.value("valid", reply["valid"])
            report.value("tier", reply.get("tier"))
        case "usage":
            report.lines += usage_lines(ask(settings, "GET", "/usage"))
        case "health":
            report.value("healthy", True)
            report.value("health", ask(settings, "GET", "/health")["status"])
    if "submit" in said and operation not in ("wait_job", "cancel_job", "delete_job"):
        ask(settings, "DELETE", path)


def raise_for_offers(reply: dict[str, Any], report: Report) -> None:
    for name in reply["languages"]:
        report.lines.append(["offers", name if isinstance(name, str) else name["name"], "1"])


def main() -> None:
    for block in decode_blocks(sys.stdin):
        report = Report(block[0][1])
        begun = time.monotonic()
        try:
            play(block, report)
        except Refused as refused:
            report.value("error", CODES.get(refused.status, "API"))
            report.value("message", refused.envelope["message"])
            report.value("http_status", refused.status)
        except Inexpressible as why:
            report.value("skip", str(why))
        report.value("elapsed_ms", int((time.monotonic() - begun) * 1000))
        report.value("ended_at_ms", int(time.time() * 1000))
        print("".join(encode_line(line) + "\n" for line in report.lines) + "end", flush=True)


if __name__ == "__main__":
    main()

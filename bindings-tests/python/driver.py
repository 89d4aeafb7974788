# SPDX-License-Identifier: MIT OR Apache-2.0
"""Drives the table of cases through the Python package; the form of the lines is in table/lines.py."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import unsandbox
from unsandbox._native import CancelToken

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from table.lines import decode_blocks, encode_line, usage_lines  # noqa: E402

SHOWN_MAX_BYTES = 65_536
Line = list[bytes]


class Report:
    def __init__(self, name: str) -> None:
        self.lines: list[list[Any]] = [["case", name]]

    def value(self, key: str, value: Any) -> None:
        if value is not None:
            self.lines.append([key, int(value) if isinstance(value, bool) else value])

    def result(self, result: unsandbox.ExecutionResult) -> None:
        self.value("success", result.success)
        self.value("status", result.status)
        for name, data in (("stdout", result.stdout_bytes), ("stderr", result.stderr_bytes)):
            self.value(name, data[:SHOWN_MAX_BYTES])
            self.value(f"{name}_len", len(data))
        self.value("error_text", result.error)
        for name in (
            "exit_code", "signal", "limit", "language", "detected_language", "job_id",
            "execution_mode", "network_mode", "total_time_ms", "truncated", "runtime",
        ):  # fmt: skip
            self.value(name, getattr(result, name))
        if result.usage:
            self.value("cpu_time_ms", result.usage.cpu_time_ms)
            self.value("peak_memory_bytes", result.usage.peak_memory_bytes)
            self.value("wall_time_ms", result.usage.wall_time_ms)
        if result.compile:
            self.value("compile_cpu_time_ms", result.compile.cpu_time_ms)
            self.value("compile_peak_memory_bytes", result.compile.peak_memory_bytes)
            self.value("compile_wall_time_ms", result.compile.wall_time_ms)
        if result.isolation:
            self.value("isolation", result.isolation.level)
        for it in result.artifacts:
            self.lines.append(["artifact", it.filename, it.kind, len(it.content), it.content[:4]])
        self.lines += [["left_file", name] for name in result.left_files]

    def events(self, events: Iterator[unsandbox.JobEvent]) -> None:
        """What happened to the job itself, and the output in one piece."""
        told = list(events)
        self.value("event_kinds", " ".join(it.kind for it in told if it.job))
        for name in ("stdout", "stderr"):
            data = b"".join(it.data for it in told if it.kind == name)
            self.value(name, data[:SHOWN_MAX_BYTES])
            self.value(f"{name}_len", len(data))
        job = told[-1].job
        assert job and job.result
        self.info(job)
        self.value("exit_code", job.result.exit_code)

    def job(self, job: unsandbox.Job) -> None:
        self.info(job.info)

    def info(self, info: unsandbox.JobInfo) -> None:
        for name in (
            "job_id", "status", "language", "detected_language", "network_mode", "created_at",
            "started_at", "completed_at",
        ):  # fmt: skip
            self.value(f"job.{name}", getattr(info, name))

    def error(self, error: unsandbox.UnsandboxError) -> None:
        self.value("error", error.code)
        # Not the text, which says what to do in Python.
        self.value("message", f"{error.message}: {error.cause}" if error.cause else error.message)
        self.value("http_status", error.http_status)
        if error.retry_after is not None:
            self.value("retry_after_ms", round(error.retry_after * 1000))
        self.value("may_have_run", error.may_have_run)
        self.value("error_job_id", error.job_id)


class Case:
    """One case, read from its lines."""

    def __init__(self, block: list[Line]) -> None:
        self.name = self.op = ""
        self.language: str | None = None
        self.code = ""
        self.options: dict[str, Any] = {}
        self.settings: dict[str, str] = {}
        self.said: dict[str, str] = {}
        for key, *words in block:
            self._take(key.decode(), words)

    def _take(self, key: str, words: list[bytes]) -> None:
        options = self.options
        text = [word.decode(errors="surrogateescape") for word in words]
        match key:
            case "set":
                self.settings[text[0]] = text[1]
            case "env":
                options.setdefault("env", {})[text[0]] = text[1]
            case "file":
                options.setdefault("input_files", []).append((text[0], words[1]))
            case "tree_file":
                options.setdefault("files", {})[text[0]] = words[1]
            case "unnamed_file":
                options.setdefault("input_files", []).append((None, words[0]))
            case "stdin":
                options["stdin"] = words[0]
            case "flag":
                options.setdefault("flags", []).append(text[0])
            case "output":
                options.setdefault("outputs", []).append(text[0])
            case "arg":
                options.setdefault("args", []).append(text[0])
            case "limit":
                options.setdefault("limits", {})[text[0]] = int(text[1])
            case "ttl":
                options["ttl"] = json.loads(text[0])
            case "return_artifact" | "return_wasm_artifact":
                options[key] = True
            case "network_mode" | "rerun" | "callback_url" | "runtime":
                options[key] = text[0]
            case "language" | "code":
                setattr(self, key, text[0])
            case _:
                self.said[key] = text[0] if text else ""


def client_of(case: Case, clients: dict[str, unsandbox.Client]) -> unsandbox.Client:
    key = repr(case.settings)
    if key in clients and "close" not in case.said:
        return clients[key]
    numbers = ("account", "retries", "reply_max_bytes", "concurrency", "queue_max")
    settings: dict[str, Any] = {
        name: int(value) if name in numbers else value for name, value in case.settings.items()
    }
    if "timeout_ms" in settings:
        settings["timeout"] = int(settings.pop("timeout_ms")) / 1000
    if "allow_plain_http_key" in settings:
        settings["allow_plain_http_key"] = True
    client = unsandbox.Client(**settings)
    if "close" in case.said:
        client.close()
    else:
        clients[key] = client
    return client


def submit(client: unsandbox.Client, case: Case) -> str:
    if case.said["submit"] == "execute_async":
        job = client.execute_async(case.language or "", case.code, **case.options)
    else:
        job = client.run_async(case.code, **case.options)
    until = case.said.get("until")
    while until == "running" and client.get_job(job.job_id).status == "pending":
        time.sleep(0.01)
    if until == "ended":
        job.wait()
    time.sleep(int(case.said.get("settle_ms", 0)) / 1000)
    return job.job_id


def execute(client: unsandbox.Client, case: Case, timeout: float | None) -> unsandbox.ExecutionResult:
    language = case.language if case.op == "execute" else None
    if "cancel_after_ms" in case.said:
        token = CancelToken()
        timer = threading.Timer(int(case.said["cancel_after_ms"]) / 1000, token.cancel)
        timer.start()
        return client._execute(language, case.code, case.options, timeout, None, None, token)
    if language is None:
        return client.run(case.code, timeout=timeout, **case.options)
    return client.execute(language, case.code, timeout=timeout, **case.options)


def operate(client: unsandbox.Client, case: Case, job_id: str, report: Report) -> None:
    timeout = int(case.said["timeout_ms"]) / 1000 if "timeout_ms" in case.said else None
    match case.op:
        case "execute" | "run":
            report.result(execute(client, case, timeout))
        case "execute_async" | "run_async":
            call: Callable[..., unsandbox.Job] = getattr(client, case.op)
            words = [case.language or "", case.code] if case.op == "execute_async" else [case.code]
            job = call(*words, timeout=timeout, **case.options)
            report.job(job)
            report.result(job.wait())
        case "get_job":
            job = client.get_job(job_id, timeout=timeout)
            report.job(job)
            if job.result:
                report.result(job.result)
        case "wait_job" | "cancel_job":
            report.result(getattr(client, case.op)(job_id, timeout=timeout))
        case "job_events":
            out, err = map(int, case.said.get("from", "0-0").split("-"))
            report.events(client.job_events(job_id, offsets=(out, err), timeout=timeout))
        case "delete_job":
            client.delete_job(job_id, timeout=timeout)
            try:
                client.get_job(job_id)
                report.value("found", True)
            except unsandbox.NotFoundError:
                report.value("found", False)
        case "list_jobs":
            limit, after = case.said.get("page_limit"), case.said.get("page_after")
            jobs = client.list_jobs(
                limit=int(limit) if limit else None,
                after=job_id if after == "submitted" else after,
                timeout=timeout,
            )
            report.value("count", len(jobs))
            for job in [job for job in jobs if job_id in ("", job.job_id)][:1]:
                report.job(job)
        case "languages":
            languages = client.languages(timeout=timeout)
            report.value("count", len(languages))
            for it in languages:
                available = "-" if it.available is None else int(it.available)
                report.lines.append(["offers", it.name, available])
        case "validate_key":
            key = client.validate_key(timeout=timeout)
            for name in ("valid", "tier", "reason"):
                report.value(name, getattr(key, name))
        case "usage":
            report.lines += usage_lines(dataclasses.asdict(client.usage(timeout=timeout)))
        case "health":
            health = client.health(timeout=timeout)
            report.value("healthy", health.healthy)
            report.value("health", health.status)


def play(case: Case, clients: dict[str, unsandbox.Client], report: Report) -> None:
    client = client_of(case, clients)
    submitted = submit(client, case) if "submit" in case.said else None
    try:
        operate(client, case, submitted or case.said.get("job_id", ""), report)
    finally:
        if submitted and case.op not in ("wait_job", "cancel_job"):
            # One that was deleted is not found.
            with contextlib.suppress(unsandbox.NotFoundError):
                client.cancel_job(submitted)


def main() -> None:
    clients: dict[str, unsandbox.Client] = {}
    for block in decode_blocks(sys.stdin):
        case = Case([line for line in block if line[0] not in (b"case", b"do")])
        case.name, case.op = block[0][1].decode(), block[1][1].decode()
        report = Report(case.name)
        begun = time.monotonic()
        try:
            play(case, clients, report)
        except unsandbox.UnsandboxError as error:
            report.error(error)
        report.value("elapsed_ms", int((time.monotonic() - begun) * 1000))
        report.value("ended_at_ms", int(time.time() * 1000))
        text = "".join(encode_line(line) + "\n" for line in report.lines)
        print(text + "end", flush=True)


if __name__ == "__main__":
    main()

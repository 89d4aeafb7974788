# SPDX-License-Identifier: MIT OR Apache-2.0
"""Stands between the table of cases and a runtime whose program answers calls of the JSON door.

A runtime's `cases` program reads lines `URL KEY METHOD JSON` (tabs between them; the key may be `-`) and
answers each with `ok JSON` or `CODE MESSAGE`. The cases' own form is in ../table/lines.py.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from table.lines import decode_blocks, encode_line, usage_lines  # noqa: E402
from wire.driver import Inexpressible, Report, body_of, raise_for_offers  # noqa: E402

RESULT_FIELDS = ("job_id", "status")


class Failed(Exception):
    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Runtime:
    """The program of one runtime."""

    def __init__(self, command: list[str]) -> None:
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def call(self, settings: dict[str, str], method: str, fields: dict[str, Any]) -> dict[str, Any]:
        words = [settings["base_url"], settings.get("api_key", "-"), method, json.dumps(fields)]
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write("\t".join(words).encode(errors="surrogateescape") + b"\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline().decode()
        assert line.endswith("\n"), f"{self.process.args} ended in the middle of a case"
        word, _, rest = line[:-1].partition("\t")
        if word != "ok":
            raise Failed(word, rest)
        reply: dict[str, Any] = json.loads(rest)
        return reply

    def end(self) -> int:
        assert self.process.stdin
        self.process.stdin.close()
        return self.process.wait(60)


class Call:
    """One case: its request, its settings, and what to do."""

    def __init__(self, runtime: Runtime, block: list[list[bytes]]) -> None:
        self.said = {key.decode(): words[0].decode(errors="surrogateescape") for key, *words in block if words}
        self.operation = self.said["do"]
        maker = self.said.get("submit", self.operation)
        self.body, self.settings = body_of(block, maker.startswith("execute"))
        if not set(self.settings) <= {"base_url", "api_key"}:
            raise Inexpressible("the bindings take endpoint and key alone")
        self.runtime = runtime

    def call(self, method: str, **fields: Any) -> dict[str, Any]:
        return self.runtime.call(self.settings, method, fields)

    def submit(self) -> str:
        job_id = str(self.call(self.said["submit"], **self.body)["job_id"])
        until = self.said.get("until")
        while until == "running" and self.call("get_job", job_id=job_id)["status"] == "pending":
            time.sleep(0.01)
        if until == "ended":
            self.call("wait_job", job_id=job_id)
        time.sleep(int(self.said.get("settle_ms", 0)) / 1000)
        return job_id

    def play(self, report: Report) -> None:
        job_id = self.submit() if "submit" in self.said else self.said.get("job_id", "")
        try:
            self.operate(job_id, report)
        finally:
            if "submit" in self.said and self.operation not in ("wait_job", "cancel_job"):
                # One that was deleted is not found.
                with contextlib.suppress(Failed):
                    self.call("cancel_job", job_id=job_id)

    def events(self, job_id: str) -> list[dict[str, Any]]:
        told: list[dict[str, Any]] = []
        place = {"from": self.said["from"]} if "from" in self.said else {}
        while not told or told[-1]["event"] != "finished":
            reply = self.call("job_events", job_id=job_id, **place)
            told += reply["events"]
            place = {"from": reply["from"]}
        return told

    def operate(self, job_id: str, report: Report) -> None:
        match self.operation:
            case "execute" | "run":
                result(report, self.call(self.operation, **self.body))
            case "execute_async" | "run_async":
                job = self.call(self.operation, **self.body)
                report.job(job)
                result(report, self.call("wait_job", job_id=job["job_id"]))
            case "get_job":
                job = self.call("get_job", job_id=job_id)
                report.job(job)
                if "result" in job:
                    result(report, job)
            case "wait_job" | "cancel_job":
                result(report, self.call(self.operation, job_id=job_id))
            case "job_events":
                report.events(self.events(job_id))
            case "delete_job":
                self.call("delete_job", job_id=job_id)
                try:
                    self.call("get_job", job_id=job_id)
                    report.value("found", True)
                except Failed as failed:
                    report.value("found", failed.code != "NOT_FOUND")
            case "list_jobs":
                page: dict[str, Any] = {}
                if "page_limit" in self.said:
                    page["limit"] = int(self.said["page_limit"])
                if "page_after" in self.said:
                    after = self.said["page_after"]
                    page["after"] = job_id if after == "submitted" else after
                reply = self.call("list_jobs", **page)
                report.value("count", len(reply["jobs"]))
                for job in [job for job in reply["jobs"] if job_id in ("", job["job_id"])][:1]:
                    report.job(job)
            case _:
                facts(report, self.operation, self.call(self.operation))


def result(report: Report, reply: dict[str, Any]) -> None:
    """A result, or a job that holds one: at the server's word both are one object."""
    inner = reply.get("result")
    if isinstance(inner, dict):
        reply = inner | {name: reply[name] for name in RESULT_FIELDS if name in reply}
    report.result(reply)


def facts(report: Report, operation: str, reply: dict[str, Any]) -> None:
    if operation == "languages":
        report.value("count", len(reply["languages"]))
        raise_for_offers(reply, report)
    elif operation == "validate_key":
        report.value("valid", reply["valid"])
        report.value("tier", reply.get("tier"))
    elif operation == "usage":
        report.lines += usage_lines(reply)
    else:
        report.value("healthy", True)
        report.value("health", reply["status"])


def main() -> int:
    runtime = Runtime(sys.argv[1:])
    for block in decode_blocks(sys.stdin):
        report = Report(block[0][1])
        begun = time.monotonic()
        try:
            Call(runtime, block).play(report)
        except Failed as failed:
            report.value("error", failed.code)
            report.value("message", str(failed))
        except Inexpressible as why:
            report.value("skip", str(why))
        report.value("elapsed_ms", int((time.monotonic() - begun) * 1000))
        report.value("ended_at_ms", int(time.time() * 1000))
        print("".join(encode_line(line) + "\n" for line in report.lines) + "end", flush=True)
    return runtime.end()


if __name__ == "__main__":
    sys.exit(main())

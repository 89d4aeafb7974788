# SPDX-License-Identifier: MIT OR Apache-2.0
"""The table of cases: read from cases/*.toml, checked for its form, and turned into lines."""

from __future__ import annotations

import base64
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .lines import Repeat, Word, encode_line

CASES = Path(__file__).resolve().parent.parent / "cases"
FACES = ("rust", "c", "cpp", "python", "shell", "wire")
#: What a case may be for. `tls` is the server at `http` again, over TLS.
ENDPOINTS = ("local", "http", "unix")
REACHED = (*ENDPOINTS, "tls")
OPERATIONS = (
    "execute", "run", "execute_async", "run_async", "get_job", "wait_job", "job_events", "cancel_job", "delete_job",
    "list_jobs", "languages", "validate_key", "usage", "health",
)  # fmt: skip
OPTIONS = (
    "env", "network_mode", "ttl", "return_artifact", "return_wasm_artifact", "input_files", "files", "stdin",
    "args", "flags", "outputs", "limits", "rerun", "callback_url", "runtime",
)  # fmt: skip
KNOWN = frozenset(
    "name op request settings stub call job page result error message only faces not_faces reason bounds "
    "needs".split()
)


@dataclass(frozen=True)
class Case:
    """One row. `result` has what is expected of it, or `error` its code."""

    name: str
    op: str
    request: Mapping[str, Any] = field(default_factory=dict)
    #: Settings of the client, beside its endpoint and key.
    settings: Mapping[str, Any] = field(default_factory=dict)
    #: The scenario of the scripted server that is talked to, in place of the endpoint.
    stub: str | None = None
    #: timeout_ms, cancel_after_ms, close (the client first), panic (inside the library).
    call: Mapping[str, Any] = field(default_factory=dict)
    #: The job that an operation is about: submit, until, settle_ms; or id. `from` is the place in its output behind which
    #: job_events begins, as "6-0".
    job: Mapping[str, Any] = field(default_factory=dict)
    #: The part of a list: limit, and after, which is an id or "submitted", the job of the case.
    page: Mapping[str, Any] = field(default_factory=dict)
    result: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None
    message: tuple[str, ...] = ()
    only: tuple[str, ...] = ENDPOINTS
    faces: tuple[str, ...] = FACES
    not_faces: tuple[str, ...] = ()
    #: Why it is not for every face and endpoint.
    reason: str = ""
    #: Most milliseconds: elapsed_ms of the call, after_print_ms since the time that the program printed.
    bounds: Mapping[str, int] = field(default_factory=dict)
    #: Languages whose runtime has to be on this machine.
    needs: tuple[str, ...] = ()

    def is_for(self, face: str, endpoint: str) -> bool:
        """The scripted server is another one's endpoint: its rows are not repeated over TLS."""
        at = "http" if endpoint == "tls" and not self.stub else endpoint
        return at in self.only and face in self.faces and face not in self.not_faces

    @property
    def everywhere(self) -> bool:
        return self.only == ENDPOINTS and self.faces == FACES and not self.not_faces


def load() -> list[Case]:
    """All rows, those of the language matrix included."""
    cases = []
    for path in sorted(CASES.glob("*.toml")):
        document = tomllib.loads(path.read_text())
        rows = document.get("case", []) + list(_matrix(document))
        for row in rows:
            cases.append(_case(path.name, row))
    names = [case.name for case in cases]
    twice = {name for name in names if names.count(name) > 1}
    assert not twice, f"cases have the same name: {twice}"
    return cases


def sample(cases: list[Case]) -> list[Case]:
    """Two rows of each operation: enough to see that a face reaches an endpoint."""
    taken: list[Case] = []
    for operation in OPERATIONS:
        rows = [case for case in cases if case.op == operation and case.result and "http" in case.only and not case.stub]
        taken += rows[:2]
    return taken


def _matrix(document: Mapping[str, Any]) -> Any:
    """Each scenario with the code of each language."""
    for scenario, row in document.get("scenario", {}).items():
        for language, codes in document["code"].items():
            made = json.loads(json.dumps(row))
            made["name"] = f"{language}: {row['name']}"
            made["op"] = "execute"
            made.setdefault("request", {}).update(language=language, code=codes[scenario])
            made["needs"] = [language]
            yield made


def _case(file: str, row: dict[str, Any]) -> Case:
    where = f"{file}: {row.get('name')}"
    unknown = set(row) - KNOWN
    assert not unknown, f"{where} has unknown fields {unknown}"
    for name in ("only", "faces", "not_faces", "message", "needs"):
        if name in row:
            row[name] = tuple(row[name])
    case = Case(**row)
    assert case.op in OPERATIONS, f"{where}: no operation {case.op}"
    assert bool(case.error) != bool(case.result), f"{where}: give a result or an error"
    assert case.everywhere or case.reason, f"{where} is not for all and has no reason"
    return case


def content(value: Any) -> Word:
    """Content as the data writes it: text, {base64 = …} or {text = …, repeat = N}."""
    if isinstance(value, str):
        return value
    if "base64" in value:
        return base64.b64decode(value["base64"])
    return Repeat(value["repeat"], value["text"].encode())


def plain(value: Any) -> bytes:
    """Content in full."""
    word = content(value)
    if isinstance(word, Repeat):
        return word.expanded
    return word if isinstance(word, bytes) else str(word).encode()


def lines(case: Case, settings: Mapping[str, Any]) -> str:
    """The block that a driver reads."""
    rows: list[list[Word]] = [["case", case.name], ["do", case.op]]
    rows += [["set", name, str(value)] for name, value in settings.items()]
    for name, value in case.request.items():
        rows += _request_rows(name, value)
    for name in ("timeout_ms", "cancel_after_ms"):
        if name in case.call:
            rows.append([name, case.call[name]])
    rows += [[name] for name in ("close", "panic") if case.call.get(name)]
    for name, key in (("submit", "submit"), ("until", "until"), ("settle_ms", "settle_ms"), ("id", "job_id"), ("from", "from")):
        if name in case.job:
            rows.append([key, case.job[name]])
    rows += [[f"page_{name}", str(value)] for name, value in case.page.items()]
    rows.append(["end"])
    return "".join(encode_line(row) + "\n" for row in rows)


def _request_rows(name: str, value: Any) -> list[list[Word]]:
    match name:
        case "env":
            return [["env", key, content(text)] for key, text in value]
        case "input_files":
            return [
                ["file", content(file["filename"]), content(file["content"])]
                if "filename" in file
                else ["unnamed_file", content(file["content"])]
                for file in _files(value)
            ]
        case "files":
            return [["tree_file", content(file["path"]), content(file["content"])] for file in value]
        case "args":
            return [["arg", content(arg)] for arg in value]
        case "flags" | "outputs":
            return [[name.removesuffix("s"), content(text)] for text in value]
        case "limits":
            return [["limit", key, number] for key, number in value.items()]
        case "ttl":
            return [["ttl", json.dumps(value)]]
        case "return_artifact" | "return_wasm_artifact":
            return [[name, "1"]] if value else []
        case _:
            return [[name, content(value)]]


def _files(value: Any) -> list[dict[str, Any]]:
    """A list of files; {count = N, content = …} stands for N of them without names."""
    if isinstance(value, dict):
        return [{"content": value["content"]}] * value["count"]
    return list(value)


def options_used(case: Case) -> set[str]:
    return {name for name in OPTIONS if name in case.request}

# SPDX-License-Identifier: MIT OR Apache-2.0
"""Holds what a driver printed against what the table expects; the same rules for every face."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .table import Case, plain

#: What a shell sees of an error: the exit code of DESIGN's table.
SHELL_USAGE, SHELL_FAILED, SHELL_INTERRUPTED = 2, 125, 130
#: Fields of a result that a shell does not see.
SHELL_BLIND = frozenset(
    "success status signal limit error_text language detected_language job_id execution_mode "
    "network_mode total_time_ms truncated runtime isolation usage stdout_len stderr_len left_files".split()
)
TEXTS = frozenset({"stdout", "stderr"})


@dataclass
class Seen:
    """What one case gave: fields by name, and those that come more than once."""

    name: str
    fields: dict[str, bytes] = field(default_factory=dict)
    artifacts: list[tuple[str, str, int, bytes]] = field(default_factory=list)
    offers: dict[str, str] = field(default_factory=dict)
    left_files: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, block: list[list[bytes]]) -> Seen:
        seen = cls(block[0][1].decode())
        for key, *words in block[1:]:
            if key == b"artifact":
                name, kind, length, head = words
                seen.artifacts.append((name.decode(), kind.decode(), int(length), head))
            elif key == b"left_file":
                seen.left_files.append(words[0].decode())
            elif key == b"offers":
                seen.offers[words[0].decode()] = words[1].decode()
            else:
                seen.fields[key.decode()] = words[0]
        return seen

    def text(self, key: str) -> str | None:
        value = self.fields.get(key)
        return None if value is None else value.decode(errors="backslashreplace")

    def number(self, key: str) -> int:
        return int(self.fields[key])


def judge(case: Case, seen: Seen, face: str) -> list[str]:
    """What is wrong; nothing for a case that passed."""
    wrong = _bounds(case, seen)
    if face == "shell":
        return wrong + _judge_shell(case, seen)
    if case.error:
        return wrong + _judge_error(case, seen)
    if "error" in seen.fields:
        return [*wrong, f"error {seen.text('error')}: {seen.text('message')}"]
    return wrong + _judge_result(case.result, seen) + _judge_always(case, seen)


def _judge_error(case: Case, seen: Seen) -> list[str]:
    if seen.text("error") != case.error:
        return [f"expected error {case.error}, got {_short(seen)}"]
    message = seen.text("message") or ""
    wrong = [f"message lacks {word!r}: {message}" for word in case.message if word not in message]
    if not message or message[0].isupper() or message.rstrip().endswith("."):
        # The words of a server are its own.
        if case.stub is None:
            wrong.append(f"message is not in the house's form: {message!r}")
    return wrong


def _judge_result(expected: Mapping[str, Any], seen: Seen) -> list[str]:
    wrong = []
    for key, value in expected.items():
        problem = _compare(key, value, seen)
        if problem:
            wrong.append(problem)
    return wrong


def _compare(key: str, value: Any, seen: Seen) -> str | None:
    if key == "artifacts":
        return _compare_artifacts(value, seen)
    if key == "left_files":
        return None if seen.left_files == value else f"left_files: expected {value}, got {seen.left_files}"
    if key == "offers":
        got = {name: seen.offers.get(name) for name in value}
        return None if got == value else f"offers: expected {value}, got {got}"
    if key.endswith("_present"):
        name = key.removesuffix("_present")
        there = bool(seen.fields.get(name))
        return None if there == value else f"{name} is {'there' if there else 'missing'}"
    if key.endswith("_contains"):
        name = key.removesuffix("_contains")
        words = [value] if isinstance(value, str) else value
        text = seen.text(name) or ""
        return next((f"{name} lacks {word!r}: {text[:300]!r}" for word in words if word not in text), None)
    for suffix, fits in (("_max", int.__le__), ("_min", int.__ge__)):
        if key.endswith(suffix):
            name = key.removesuffix(suffix)
            got = seen.number(name) if name in seen.fields else None
            return None if got is not None and fits(got, value) else f"{key} {value}, got {got}"
    got = seen.fields.get(key)
    wanted = str(int(value)).encode() if isinstance(value, bool) else plain_or_text(value)
    return None if got == wanted else f"{key}: expected {wanted!r}, got {got[:300] if got else got!r}"


def plain_or_text(value: Any) -> bytes:
    return plain(value) if isinstance(value, (str, dict)) else str(value).encode()


def _compare_artifacts(value: list[dict[str, Any]], seen: Seen) -> str | None:
    got = {name: (kind, length, head) for name, kind, length, head in seen.artifacts}
    if len(got) != len(value):
        return f"artifacts: expected {len(value)}, got {sorted(got)}"
    for wanted in value:
        kind, length, head = got.get(wanted["filename"], ("", 0, b""))
        fits = (
            kind == wanted.get("kind", kind)
            and length == wanted.get("length", length)
            and head.startswith(plain(wanted.get("head", "")))
            and length > 0
        )
        if not fits:
            return f"artifact {wanted} is not among {seen.artifacts}"
    return None


def _judge_always(case: Case, seen: Seen) -> list[str]:
    """What holds for every result of an execution, whatever the case says."""
    if "success" not in seen.fields or case.stub:
        return []
    wrong = []
    always = ("language", "job_id", "execution_mode", "network_mode", "total_time_ms", "isolation", "runtime")
    for name in always:
        if not seen.fields.get(name):
            wrong.append(f"the result has no {name}")
    success = seen.fields["success"] == b"1"
    if success != (seen.text("status") == "completed" and seen.text("exit_code") == "0"):
        wrong.append("success does not fit status and exit code")
    # A run that went well may tell of what could not be had; the case says so then.
    told = any(name.startswith("error_text_contains") for name in case.result)
    if success == ("error_text" in seen.fields) and not (success and told):
        wrong.append(f"error text {seen.text('error_text')!r} with success {success}")
    return wrong


def _judge_shell(case: Case, seen: Seen) -> list[str]:
    exit_code, stderr = seen.number("exit_code"), seen.text("stderr") or ""
    if case.error:
        wanted = {"ARGUMENT": SHELL_USAGE, "CANCELLED": SHELL_INTERRUPTED}.get(case.error, SHELL_FAILED)
        wrong = [] if exit_code == wanted else [f"expected exit {wanted}, got {exit_code}: {stderr[:300]}"]
        return wrong + [f"stderr lacks {word!r}: {stderr}" for word in case.message if word not in stderr]
    expected = {
        key: value
        for key, value in case.result.items()
        if not any(key == blind or key.startswith(f"{blind}_") for blind in SHELL_BLIND)
        and not key.startswith("job.")
    }
    if case.op == "cancel_job":
        # The exit code tells of the cancelling, not of the program.
        expected["exit_code"] = 0
    return _judge_result(expected, seen)


def _bounds(case: Case, seen: Seen) -> list[str]:
    wrong = []
    for name, most in case.bounds.items():
        if name == "after_print_ms":
            printed = (seen.text("stdout") or "").split()
            if not printed or not printed[0].isdigit():
                wrong.append(f"the program printed no time: {printed[:1]}")
                continue
            got = seen.number("ended_at_ms") - int(printed[0])
        else:
            got = seen.number(name)
        if got > most:
            wrong.append(f"{name} is {got}, the bound is {most}")
    return wrong


def _short(seen: Seen) -> str:
    shown = {key: value[:120] for key, value in seen.fields.items() if key in ("error", "message", "status", "stdout", "stderr", "exit_code")}
    return str(shown)

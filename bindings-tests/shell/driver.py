# SPDX-License-Identifier: MIT OR Apache-2.0
"""Drives the table of cases through the `unsandbox` command: arguments, streams and exit codes.

UNSANDBOX_COMMAND names the command. What a command line cannot say is a line `skip`, with the reason.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from table.lines import decode_blocks, encode_line  # noqa: E402

COMMAND = os.environ.get("UNSANDBOX_COMMAND", "unsandbox")
SETTINGS = {"base_url": "--url", "api_key": "--key", "account": "--account", "isolation": "--isolation",
            "public_key": "--public-key", "secret_key": "--secret-key", "ca_file": "--ca-file"}  # fmt: skip


class Inexpressible(Exception):
    """A case that a command line cannot say."""


def command_of(block: list[list[bytes]], directory: Path) -> tuple[list[str], bytes | None]:
    """The arguments of `unsandbox run` or of another command, and its standard input."""
    operation, stdin = "", None
    options, args, connection = list[str](), list[str](), list[str]()
    source = directory / "program"
    for raw_key, *raw in block:
        key = raw_key.decode()
        words = [os.fsdecode(word) for word in raw]
        if any("\0" in word for word in words) and key not in ("code", "stdin", "file"):
            raise Inexpressible("an argument of a process holds no NUL")
        match key:
            case "do":
                operation = words[0]
            case "set":
                if words[0] not in SETTINGS:
                    raise Inexpressible(f"the command has no option for {words[0]}")
                connection += [SETTINGS[words[0]], words[1]]
            case "language":
                options += ["-l", words[0]]
            case "code":
                source.write_bytes(raw[0])
            case "env":
                if "=" in words[0]:
                    raise Inexpressible('NAME=VALUE ends the name at the first "="')
                options += ["-e", f"{words[0]}={words[1]}"]
            case "file" | "tree_file":
                options += ["-f", file_option(words[0], raw[1], directory)]
            case "unnamed_file":
                raise Inexpressible("a file given to the command has a name")
            case "stdin":
                stdin = raw[0]
            case "flag":
                options += [f"--flag={words[0]}"]
            case "output":
                options += [f"--output={words[0]}"]
            case "arg":
                args.append(words[0])
            case "limit":
                options += ["--limit", f"{words[0]}={words[1]}"]
            case "ttl":
                options += ["--ttl", words[0].strip('"')]
            case "network_mode":
                options += ["-n", words[0]]
            case "return_artifact":
                options += ["--artifacts", str(directory / "artifacts")]
            case "return_wasm_artifact":
                options += ["--wasm", "--artifacts", str(directory / "artifacts")]
            case "rerun" | "callback_url" | "runtime":
                options += [f"--{key.replace('_', '-')}", words[0]]
            case "timeout_ms" if operation == "wait_job":
                raise Inexpressible("--timeout takes whole seconds")
            case "case" | "submit" | "until" | "settle_ms" | "job_id" | "cancel_after_ms":
                pass
            case _:
                raise Inexpressible(f"the command has no option for {key}")
    if "--isolation" in connection and connection[:2] != ["--url", "local:"]:
        raise Inexpressible("--isolation is for local:")
    rest = [str(source), *(["--", *args] if args else [])]
    if operation in ("execute", "run"):
        return ["run", "-q", *connection, *options, *rest], stdin
    if operation in ("execute_async", "run_async"):
        return ["run", "-q", "--async", *connection, *options, *rest], stdin
    raise Inexpressible(f"the command has no {operation}")


def file_option(name: str, content: bytes, directory: Path) -> str:
    if "\0" in name or "=" in name:
        raise Inexpressible('NAME=PATH holds no NUL and no further "="')
    path = directory / f"content-{len(list(directory.iterdir()))}"
    path.write_bytes(content)
    return f"{name}={path}"


def call(words: list[str], stdin: bytes | None, interrupt_after: float | None = None) -> subprocess.CompletedProcess[bytes]:
    process = subprocess.Popen(
        [COMMAND, *words],
        stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    if interrupt_after is not None:
        time.sleep(interrupt_after)
        process.send_signal(signal.SIGINT)
    out, err = process.communicate(stdin, timeout=120)
    return subprocess.CompletedProcess(words, process.returncode, out, err)


def said(block: list[list[bytes]], key: str) -> str | None:
    return next((os.fsdecode(words[0]) for name, *words in block if name == key.encode()), None)


def connection_of(block: list[list[bytes]]) -> list[str]:
    pairs = [(os.fsdecode(line[1]), os.fsdecode(line[2])) for line in block if line[0] == b"set"]
    for name, _ in pairs:
        if name not in SETTINGS:
            raise Inexpressible(f"the command has no option for {name}")
    return [word for name, value in pairs for word in (SETTINGS[name], value)]


def play(block: list[list[bytes]], directory: Path) -> subprocess.CompletedProcess[bytes]:
    operation = said(block, "do") or ""
    connection = connection_of(block)
    if operation in ("health", "validate_key", "usage") and not said(block, "close"):
        return call([operation.replace("_", "-"), *connection], None)
    command = {"get_job": "job", "wait_job": "wait", "cancel_job": "cancel", "delete_job": "delete"}.get(operation)
    if operation in ("execute", "run"):
        words, stdin = command_of(block, directory)
        after = said(block, "cancel_after_ms")
        return call(words, stdin, int(after) / 1000 if after else None)
    if operation in ("execute_async", "run_async"):
        words, stdin = command_of(block, directory)
        submitted = call(words, stdin)
        if submitted.returncode:
            return submitted
        return call(["wait", "-q", submitted.stdout.decode().strip(), *connection], None)
    if operation in ("list_jobs", "languages"):
        if said(block, "submit"):
            raise Inexpressible("the list is for people here; --json is held by the command's own tests")
        options = [word for name in ("limit", "after") if (value := said(block, f"page_{name}")) for word in (f"--{name}", value)]
        return call([{"list_jobs": "jobs"}.get(operation, operation), *options, *connection], None)
    if command is None:
        raise Inexpressible(f"the command has no {operation}")
    if "timeout_ms" in {name.decode() for name, *_ in block}:
        raise Inexpressible("--timeout takes whole seconds")
    job_id = said(block, "job_id")
    if job_id is None:
        job_id = submit(block, directory, connection)
        if operation == "get_job":
            done = call([command, job_id, *connection], None)
            call(["cancel", job_id, *connection], None)
            return done
    return call([command, job_id, *connection], None)


def submit(block: list[list[bytes]], directory: Path, connection: list[str]) -> str:
    rows = [line for line in block if line[0] != b"do"]
    words, stdin = command_of([[b"do", said(block, "submit").encode()], *rows], directory)
    job_id = call(words, stdin).stdout.decode().strip()
    while said(block, "until") == "running":
        if b"pending" not in call(["job", job_id, *connection], None).stdout:
            break
    if said(block, "until") == "ended":
        call(["wait", job_id, *connection], None)
    time.sleep(int(said(block, "settle_ms") or 0) / 1000)
    return job_id


def main() -> None:
    for block in decode_blocks(sys.stdin):
        lines: list[list[object]] = [["case", block[0][1]]]
        begun = time.monotonic()
        with tempfile.TemporaryDirectory() as directory:
            try:
                done = play(block, Path(directory))
                lines += [["exit_code", done.returncode], ["stdout", done.stdout[:65_536]], ["stderr", done.stderr[:65_536]]]
                artifacts = Path(directory) / "artifacts"
                for path in sorted(artifacts.iterdir()) if artifacts.exists() else []:
                    kind = "wasm" if path.suffix == ".wasm" else "binary"
                    lines.append(["artifact", path.name, kind, path.stat().st_size, path.read_bytes()[:4]])
            except Inexpressible as why:
                lines.append(["skip", str(why)])
        lines += [["elapsed_ms", int((time.monotonic() - begun) * 1000)], ["ended_at_ms", int(time.time() * 1000)]]
        print("".join(encode_line(line) + "\n" for line in lines) + "end", flush=True)


if __name__ == "__main__":
    main()

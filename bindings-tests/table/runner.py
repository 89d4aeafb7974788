# SPDX-License-Identifier: MIT OR Apache-2.0
"""Starts the servers and one driver for each face and endpoint, feeds them the cases, and tells how it went.

One line for each face and endpoint, then what the table leaves uncovered. It ends what it started, by id.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from openapi import tour
from openapi.exchanges import Recorder

from . import coverage
from .judge import Seen, judge
from .lines import decode_blocks
from .servers import SECRET_KEY, Servers, clean_environment, servers
from .table import FACES, REACHED, Case, lines, load, sample

ROOT = Path(__file__).resolve().parent.parent.parent
#: A driver that is silent for so long hangs.
SILENCE_SECONDS = 90
#: Faces whose exchanges are recorded: bare HTTP, and a client of ours, which asks for replies of another shape.
RECORDED = ("wire", "rust")


@dataclass
class Outcome:
    """One face at one endpoint."""

    face: str
    endpoint: str
    passed: list[Case] = field(default_factory=list)
    failed: dict[str, list[str]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    def line(self) -> str:
        reasons = Counter(self.skipped.values())
        why = "; ".join(f"{count} x {reason}" for reason, count in sorted(reasons.items()))
        skips = f"{len(self.skipped)} skipped" + (f" ({why})" if why else "")
        return f"{self.face} {self.endpoint}: {len(self.passed)} passed, {len(self.failed)} failed, {skips}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", type=Path, default=ROOT / "target/debug", help="where cargo put unsandbox and unsandbox-cases")
    parser.add_argument("--c", type=Path, help="the built C driver")
    parser.add_argument("--c-panicking", type=Path, help="the C driver over the library with panic-injection")
    parser.add_argument("--cpp", type=Path, help="the built C++ driver")
    parser.add_argument("--python", type=Path, help="a Python that has the package")
    parser.add_argument("--wrap", default="", help="words before the C and C++ drivers, such as valgrind and its options")
    parser.add_argument("--face", action="append", choices=FACES, help="only this face; may be repeated")
    parser.add_argument("--endpoint", action="append", choices=REACHED)
    parser.add_argument("--case", help="only cases whose names have this text; a pipe separates several")
    parser.add_argument("--jobs", type=int, default=max(2, (os.cpu_count() or 2)), help="drivers at once")
    parser.add_argument("--record", type=Path, help="an empty directory for what the server at http is asked and answers")
    parser.add_argument("--slow", type=int, default=1, help="factor for bounds of time, under valgrind")
    args = parser.parse_args()
    cases = load()
    if args.case:
        cases = [case for case in cases if any(part in case.name for part in args.case.split("|"))]
    drivers = drivers_of(args)
    with tempfile.TemporaryDirectory(prefix="unsandbox-cases-") as directory:
        with servers(args.bin / "unsandbox", Path(directory)) as running:
            with recorder(running, args.record) as http:
                outcomes = run_all(cases, drivers, running, replace(running, http=http), args)
                if args.record:
                    outcomes.append(toured(http))
    return report(outcomes, cases, whole=not (args.case or args.face or args.endpoint))


@contextmanager
def recorder(running: Servers, directory: Path | None) -> Iterator[str]:
    """The address of the server at http, or of the recorder of its exchanges."""
    if directory is None:
        yield running.http
        return
    with Recorder(running.http, directory) as between:
        yield between.url


def toured(http: str) -> Outcome:
    """The requests that the table has not; only what fails is counted."""
    return Outcome("tour", "http", failed=dict(tour.failures(http)))


def drivers_of(args: argparse.Namespace) -> dict[str, list[str]]:
    here = ROOT / "bindings-tests"
    wrap = args.wrap.split()
    drivers = {
        "rust": [str(args.bin / "unsandbox-cases")],
        "c": [*wrap, str(args.c)] if args.c else [],
        "cpp": [*wrap, str(args.cpp)] if args.cpp else [],
        "python": [str(args.python), str(here / "python/driver.py")] if args.python else [],
        "shell": [sys.executable, str(here / "shell/driver.py")],
        "wire": [sys.executable, str(here / "wire/driver.py")],
    }
    wanted = args.face or FACES
    return {face: command for face, command in drivers.items() if command and face in wanted}


def run_all(cases: list[Case], drivers: Mapping[str, list[str]], running: Servers, recorded: Servers, args: argparse.Namespace) -> list[Outcome]:
    machine = Machine.look(args.bin / "unsandbox")
    jobs = [
        (face, endpoint)
        for face in drivers
        for endpoint in args.endpoint or REACHED
        if not (face == "wire" and endpoint == "local")
    ]
    environment = {**clean_environment(), "UNSANDBOX_COMMAND": str(args.bin / "unsandbox")}

    # A panic is for the library that has been built to panic.
    calm = [case for case in cases if not case.call.get("panic")]
    panics = [case for case in cases if case.call.get("panic")]

    def one(job: tuple[str, str]) -> Outcome:
        at = recorded if job[0] in RECORDED else running
        # Over TLS one face has all of it, with HTTP/2; the others see that they reach it.
        rows = sample(calm) if job[1] == "tls" and job[0] != "wire" else calm
        outcome = play(*job, drivers[job[0]], rows, at, machine, environment, args.slow)
        if job[0] == "c" and args.c_panicking and job[1] != "tls":
            more = play(*job, [str(args.c_panicking)], panics, running, machine, environment, args.slow)
            outcome.passed += more.passed
            outcome.failed |= more.failed
        print(outcome.line(), flush=True)
        return outcome

    with ThreadPoolExecutor(args.jobs) as pool:
        return list(pool.map(one, jobs))


@dataclass(frozen=True)
class Machine:
    """What runs here."""

    available: frozenset[str]
    missing_language: str | None

    @classmethod
    def look(cls, command: Path) -> Machine:
        done = subprocess.run(
            [command, "languages", "--json", "--url", "local:"], env=clean_environment(), capture_output=True, check=True
        )
        details = json.loads(done.stdout)
        available = {it["name"] for it in details if it.get("available")}
        missing = [it["name"] for it in details if it.get("available") is False]
        return cls(frozenset(available), missing[0] if missing else None)


def play(
    face: str,
    endpoint: str,
    command: list[str],
    cases: list[Case],
    running: Servers,
    machine: Machine,
    environment: Mapping[str, str],
    slow: int,
) -> Outcome:
    outcome = Outcome(face, endpoint)
    chosen: list[Case] = []
    words = placeholders(running, machine)
    for case in cases:
        if not case.is_for(face, endpoint):
            continue
        absent = [name for name in case.needs if name not in machine.available]
        if absent:
            outcome.skipped[case.name] = f"no runtime for {', '.join(absent)} on this machine"
        elif "{missing_language}" in str(case.request) and machine.missing_language is None:
            outcome.skipped[case.name] = "every language is installed on this machine"
        else:
            bounds = {name: most * slow for name, most in case.bounds.items()}
            chosen.append(replace(fill(case, words), bounds=bounds))
    text = [lines(case, settings(case, face, endpoint, running)) for case in chosen]
    for case, seen in zip(chosen, answers(command, text, environment), strict=False):
        if seen is None:
            outcome.failed[case.name] = ["the driver ended, or was silent for too long"]
            break
        if "skip" in seen.fields:
            outcome.skipped[case.name] = seen.text("skip") or ""
            continue
        assert seen.name == case.name, f"{seen.name} is not {case.name}"
        wrong = judge(case, seen, face)
        if wrong:
            outcome.failed[case.name] = wrong
        else:
            outcome.passed.append(case)
    return outcome


def answers(command: list[str], text: list[str], environment: Mapping[str, str]) -> Iterator[Seen | None]:
    """Feeds a driver and reads what it prints; None where it fails us."""
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=dict(environment), text=True
    )
    assert process.stdin and process.stdout
    blocks = decode_blocks(process.stdout)
    try:
        for block in text:
            guard = threading.Timer(SILENCE_SECONDS, process.kill)
            guard.start()
            try:
                process.stdin.write(block)
                process.stdin.flush()
                got = next(blocks, None)
            except BrokenPipeError:
                got = None
            finally:
                guard.cancel()
            yield Seen.of(got) if got else None
    finally:
        process.stdin.close()
        ended = process.wait(SILENCE_SECONDS)
    if ended:
        raise SystemExit(f"{command} ended with {ended}")


def settings(case: Case, face: str, endpoint: str, running: Servers) -> dict[str, Any]:
    """The client's settings: where to, with which key, and what the case sets."""
    if case.stub:
        chosen: dict[str, Any] = {"base_url": f"{running.stub}/{case.stub}~{face}-{endpoint}"}
    else:
        chosen = {"base_url": running.url(endpoint)}
        own_key = {"api_key", "public_key", "accounts_file"} & set(case.settings)
        if endpoint != "local" and not own_key and "base_url" not in case.settings:
            chosen["api_key"] = SECRET_KEY
        if endpoint == "tls" and "ca_file" not in case.settings:
            chosen["ca_file"] = str(running.certificate)
    return chosen | dict(case.settings)


def placeholders(running: Servers, machine: Machine) -> dict[str, str]:
    return {
        "{accounts}": str(running.accounts),
        "{ca}": str(ROOT / "bindings-tests/stub/localhost-ca.pem"),
        "{stub_tls}": running.stub_tls,
        "{stub_as_https}": running.stub.replace("http://", "https://"),
        "{closed}": running.closed,
        "{missing_language}": machine.missing_language or "",
    }


def fill(case: Case, words: Mapping[str, str]) -> Case:
    """The case with the addresses of this run."""

    def filled(value: Any) -> Any:
        match value:
            case str():
                for name, text in words.items():
                    value = value.replace(name, text)
                return value
            case dict():
                return {name: filled(inner) for name, inner in value.items()}
            case list() | tuple():
                return type(value)(filled(inner) for inner in value)
            case _:
                return value

    return replace(
        case, request=filled(case.request), settings=filled(case.settings), message=filled(case.message)
    )


def report(outcomes: list[Outcome], cases: list[Case], whole: bool) -> int:
    failed = 0
    for outcome in outcomes:
        for name, wrong in outcome.failed.items():
            failed += 1
            print(f"FAILED {outcome.face} {outcome.endpoint}: {name}")
            for text in wrong:
                print(f"       {text}")
        for name, reason in outcome.skipped.items():
            print(f"SKIPPED {outcome.face} {outcome.endpoint}: {name}: {reason}")
    passed = sum(len(outcome.passed) for outcome in outcomes)
    skipped = sum(len(outcome.skipped) for outcome in outcomes)
    if whole:
        uncovered = coverage.uncovered([case for outcome in outcomes for case in outcome.passed])
        print(f"table: {len(cases)} cases; uncovered: {', '.join(uncovered) or 'nothing'}")
        failed += len(uncovered)
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0

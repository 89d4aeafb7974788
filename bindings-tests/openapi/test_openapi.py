# SPDX-License-Identifier: MIT OR Apache-2.0
"""The OpenAPI document: it is valid, a server gives it, the check against it notices what is wrong, and a generated client works.

`bindings-tests/openapi/run` checks what the table of cases has recorded.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from table.servers import SECRET_KEY, Servers, built_command, servers

from .checker import Checker
from .exchanges import Exchange, Recorder, recorded
from .tour import Tour

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs/openapi.json"
EXTRAS = ROOT / "build/venv-extras/bin"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with servers(built_command(), tmp_path_factory.mktemp("servers")) as all_of_them:
        yield all_of_them


@pytest.fixture(scope="module")
def exchanges(running: Servers, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Exchange]:
    """Some exchanges, by the path of each."""
    directory = tmp_path_factory.mktemp("recorded")
    with Recorder(running.http, directory) as recorder:
        tour = Tour(recorder.url)
        tour.expect(200, "POST", "/execute", {"language": "bash", "code": "echo here; touch left"})
        tour.expect(200, "GET", "/languages")
        tour.expect(404, "GET", "/jobs/unknown?wait=1")
        job = tour.expect(200, "POST", "/execute/async", {"language": "bash", "code": "sleep 60"})["job_id"]
        tour.expect(200, "GET", "/jobs")
        tour.expect(200, "DELETE", f"/jobs/{job}")
    found = {it.path: it for it in recorded(directory) if isinstance(it, Exchange)}
    assert {RUN, LANGUAGES, JOB, JOBS} < found.keys()
    return found


def extra(name: str) -> Path:
    if not (EXTRAS / name).exists():
        pytest.skip("build/venv-extras is not there (`make deps` makes it)")
    return EXTRAS / name


def run(command: list[object], **options: Any) -> str:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=120, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_document_is_valid_openapi(tmp_path: Path) -> None:
    validator = extra("openapi-spec-validator")
    run([validator, DOCUMENT])
    document = json.loads(DOCUMENT.read_text())
    document["paths"]["/run"]["post"]["responses"]["200"].pop("description")
    (tmp_path / "wrong.json").write_text(json.dumps(document))
    done = subprocess.run([validator, tmp_path / "wrong.json"], capture_output=True, text=True)
    assert done.returncode != 0


def test_a_server_gives_the_committed_document(running: Servers) -> None:
    tour = Tour(running.http)
    assert tour.expect(200, "GET", "/openapi.json") == json.loads(DOCUMENT.read_text())
    tour.expect(401, "GET", "/openapi.json", key=False)


def change(path: str, how: Callable[[Any], object]) -> Callable[[dict[str, Exchange]], Exchange]:
    """An exchange whose reply is changed."""

    def changed(exchanges: dict[str, Exchange]) -> Exchange:
        reply = exchanges[path].json()
        how(reply)
        return replace(exchanges[path], reply=json.dumps(reply).encode())

    return changed


def other(path: str, **fields: Any) -> Callable[[dict[str, Exchange]], Exchange]:
    return lambda exchanges: replace(exchanges[path], **fields)


RUN, LANGUAGES, JOB, JOBS = "/execute", "/languages", "/jobs/unknown", "/jobs"
WRONG = [
    (change(RUN, lambda it: it.pop("exit_code")), "exit_code"),
    (change(RUN, lambda it: it.update(extra=1)), "extra"),
    (change(RUN, lambda it: it["usage"].update(extra=1)), "extra"),
    (change(RUN, lambda it: it.update(exit_code="0")), "'0'"),
    (change(RUN, lambda it: it.update(status="done")), "'done'"),
    (change(RUN, lambda it: it.update(stdout_base64="*")), "base64"),
    (change(RUN, lambda it: it.update(artifacts=[{}])), "filename"),
    (change(LANGUAGES, lambda it: it["details"][0].pop("name")), "name"),
    (change(LANGUAGES, lambda it: it["aliases"].update(py=7)), "7"),
    (change(JOB, lambda it: it.update(error="gone")), "gone"),
    (change(JOB, lambda it: it.pop("message")), "message"),
    (change(JOBS, lambda it: it["jobs"][0].update(submitted_at="yesterday")), "date-time"),
    (other(RUN, status=418), "418"),
    (other(RUN, target="/executed"), "no operation"),
    (other(RUN, reply_headers={"content-type": "application/json"}), "x-unsandbox-features"),
    (other(RUN, reply_headers={"content-type": "text/plain", "x-unsandbox-features": ""}), "text/plain"),
    (other(RUN, headers={}), "no key"),
    (other(RUN, body=b'{"language": "bash"}'), "code"),
    (other(RUN, body=b'{"language": "bash", "code": "", "ttl": 901}'), "901"),
    (other(RUN, body=b'{"language": "bash", "code": "", "limits": {"memory": 1}}'), "memory"),
]


@pytest.mark.parametrize(("broken", "word"), WRONG)
def test_what_is_not_as_described_is_noticed(exchanges: dict[str, Exchange], broken: Callable[[dict[str, Exchange]], Exchange], word: str) -> None:
    checker = Checker(json.loads(DOCUMENT.read_text()))
    for exchange in exchanges.values():
        assert checker.check(exchange) == []
    wrong = checker.check(broken(exchanges))
    assert wrong and word in "; ".join(wrong), wrong


def test_what_was_not_seen_is_named(exchanges: dict[str, Exchange]) -> None:
    checker = Checker(json.loads(DOCUMENT.read_text()))
    for exchange in exchanges.values():
        checker.check(exchange)
    unseen = set(checker.unseen())
    assert {"operation run", "status 401", "parameter wait of get_job", "member Health.status"} <= unseen
    assert not {"operation execute", "status 404", "member ExecutionResult.stdout", "member Error.message"} & unseen


#: What a caller of the generated client writes.
MAIN_JOB = """
import sys
from unsandbox_client import AuthenticatedClient
from unsandbox_client.api.execution import execute, execute_async, run
from unsandbox_client.api.jobs import cancel_job, get_job, list_jobs
from unsandbox_client.api.server import health, languages
from unsandbox_client.models import Error, ExecuteRequest, ExecutionResult, JobStatus, Limits, RunRequest, SubmittedJob

client = AuthenticatedClient(sys.argv[1], token=sys.argv[2], raise_on_unexpected_status=True)
result = execute.sync(client=client, body=ExecuteRequest(language="python", code="print('hello')"))
assert isinstance(result, ExecutionResult) and result.success and result.stdout == "hello\\n", result

limits = Limits(processes=64)
failed = run.sync(client=client, body=RunRequest(code="#!/bin/bash\\nexit 3", ttl=5, args=["a"], limits=limits))
assert isinstance(failed, ExecutionResult) and not failed.success and failed.exit_code == 3, failed
assert failed.detected_language == "bash"

submitted = execute_async.sync(client=client, body=ExecuteRequest(language="bash", code="echo done"))
assert isinstance(submitted, SubmittedJob), submitted
job = get_job.sync(submitted.job_id, client=client, wait=30)
assert job.status == JobStatus.COMPLETED and job.result.stdout == "done\\n", job

lasting = execute_async.sync(client=client, body=ExecuteRequest(language="bash", code="sleep 60"))
assert [it.job_id for it in list_jobs.sync(client=client).jobs] == [lasting.job_id]
assert cancel_job.sync(lasting.job_id, client=client).status == JobStatus.CANCELLED

refused = execute.sync_detailed(client=client, body=ExecuteRequest(language="pyhton", code=""))
assert refused.status_code == 400 and isinstance(refused.parsed, Error), refused
assert refused.parsed.error == "invalid_request" and "did you mean python" in refused.parsed.message
stranger = execute.sync(client=AuthenticatedClient(sys.argv[1], token="wrong"), body=ExecuteRequest(language="bash", code=""))
assert isinstance(stranger, Error) and stranger.error == "invalid_api_key", stranger

assert health.sync(client=client).status == "ok"
assert "bash" in languages.sync(client=client).languages
"""


def test_a_generated_client_runs_the_main_job(running: Servers, tmp_path: Path) -> None:
    generator = extra("openapi-python-client")
    printed = run([generator, "generate", "--path", DOCUMENT, "--meta", "none", "--output-path", tmp_path / "unsandbox_client"])
    # It knows no bodies of plain text: `run` of its client takes JSON.
    warnings = re.findall(r"^(?:WARNING|ERROR) .*\n+(.*)$", printed, re.MULTILINE)
    assert warnings == ["Unsupported content type text/plain"] * 2, printed
    (tmp_path / "main_job.py").write_text(MAIN_JOB)
    run([extra("python"), tmp_path / "main_job.py", running.http, SECRET_KEY], cwd=tmp_path)
    page = (ROOT / "docs/reference/openapi.md").read_text()
    [block] = re.findall(r"^```python[^\n]*\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    block = block.replace("http://127.0.0.1:8080", running.http).replace("KEY", SECRET_KEY)
    assert run([extra("python"), "-c", block], cwd=tmp_path) == "42\n\n"

# SPDX-License-Identifier: MIT OR Apache-2.0
"""What comes back: plain values that compare, pickle, match and print."""

from __future__ import annotations

import dataclasses
import json
import pickle
from pathlib import Path

import pytest
import unsandbox
from faulty import Faulty


def test_every_field(client: unsandbox.Client) -> None:
    result = client.execute("python", "fine")
    assert result.ok and result.success and result.check() is result
    assert (result.status, result.exit_code, result.signal, result.limit) == (
        "completed",
        0,
        None,
        None,
    )
    assert (result.stdout, result.stderr) == ("42\n", "")
    assert (result.language, result.detected_language) == ("python", None)
    assert (result.execution_mode, result.network_mode) == ("cold", "zerotrust")
    assert (result.job_id, result.total_time_ms, result.usage) == ("job-1", 12, None)
    assert result.raw["of_tomorrow"] == {"kept": True}
    assert client.run("#!/usr/bin/env python3\n").detected_language == "python"


def test_bytes_are_kept(client: unsandbox.Client) -> None:
    result = client.execute("python", "bytes")
    assert result.stdout_bytes == b"\xff\x00"
    assert result.stdout == "\ufffd\x00"


def test_a_failed_program_is_a_result(client: unsandbox.Client) -> None:
    result = client.execute("python", "fails")
    assert not result.ok and result.exit_code == 7
    with pytest.raises(unsandbox.ExecutionError, match="boom") as caught:
        result.check()
    error = caught.value
    assert error.result is result
    assert (error.returncode, error.stderr, error.job_id) == (7, "boom\n", "job-1")


def test_artifacts_are_saved_under_a_safe_name(client: unsandbox.Client, tmp_path: Path) -> None:
    (artifact,) = client.execute("python", "fine").artifacts
    assert (artifact.filename, artifact.safe_filename) == ("../plot.png", "plot.png")
    assert artifact.content == b"\x00\x01\x02"
    path = artifact.save(tmp_path / "new" / "directory")
    assert path == tmp_path / "new" / "directory" / "plot.png"
    assert path.read_bytes() == b"\x00\x01\x02"
    link = dataclasses.replace(artifact, content=b"", url="https://example.invalid/x")
    with pytest.raises(unsandbox.InvalidRequestError, match="link"):
        link.save(tmp_path)


def test_all_artifacts_are_saved_or_named(client: unsandbox.Client, tmp_path: Path) -> None:
    result = client.execute("python", "fine")
    (artifact,) = result.artifacts
    names = ["a_", "a\x01/b", "a_", "../a_"]
    several = [dataclasses.replace(artifact, filename=name, content=name.encode()) for name in names]
    paths = dataclasses.replace(result, artifacts=tuple(several)).save_artifacts(tmp_path / "new")
    assert [path.relative_to(tmp_path / "new").as_posix() for path in paths] == ["a_", "a_-2/b", "a_-3", "a_-4"]
    assert [path.read_bytes() for path in paths] == [name.encode() for name in names]
    link = dataclasses.replace(artifact, filename="gone", url="https://example.invalid/x")
    mixed = dataclasses.replace(result, artifacts=(link, artifact))
    with pytest.raises(unsandbox.InvalidRequestError, match='1 of 2 .*"gone"'):
        mixed.save_artifacts(tmp_path)
    assert (tmp_path / "plot.png").read_bytes() == artifact.content


def test_saving_takes_a_directory_and_gives_no_hidden_name(client: unsandbox.Client, tmp_path: Path) -> None:
    result = client.execute("python", "fine")
    (artifact,) = result.artifacts
    for save in (artifact.save, result.save_artifacts):
        with pytest.raises(TypeError, match="directory"):
            save()  # type: ignore[call-arg]
    hostile = dataclasses.replace(artifact, filename="a/.git/config")
    (path,) = dataclasses.replace(result, artifacts=(hostile,)).save_artifacts(tmp_path)
    assert path == tmp_path / "a" / "_git" / "config"
    assert dataclasses.replace(artifact, filename=".envrc").save(tmp_path) == tmp_path / "_envrc"


def test_values_behave_as_values(client: unsandbox.Client) -> None:
    one, two = client.execute("python", "fine"), client.execute("python", "fine")
    assert one == two and hash(one) == hash(two) and one is not two
    assert pickle.loads(pickle.dumps(one)) == one
    assert pickle.loads(pickle.dumps(one)).raw == one.raw
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.status = "other"  # type: ignore[misc]
    assert not hasattr(one, "__dict__")
    match one:
        case unsandbox.ExecutionResult(success=True, exit_code=code):
            assert code == 0
        case _:
            pytest.fail("did not match")


def test_a_repr_fits_a_screen(client: unsandbox.Client) -> None:
    text = repr(client.execute("python", "fine"))
    assert "exit_code=0" in text and "plot.png" in text
    long = unsandbox.ExecutionResult(success=True, status="completed", stdout_bytes=b"x" * 10**6)
    assert len(repr(long)) < 500
    artifact = unsandbox.Artifact("a", "a", "file", b"x" * 10**6)
    assert repr(artifact) == "Artifact('a', 'file', 1000000 bytes)"


def test_what_endpoints_say(client: unsandbox.Client) -> None:
    assert client.health().healthy
    key = client.validate_key()
    assert (key.valid, key.tier) == (True, "3")
    usage = client.usage()
    assert (usage.key, usage.running, usage.requests_remaining, usage.runs) == ("1a2b3c4d", 1, 4, {"completed": 5})
    assert (usage.limits.max_limits, usage.limits.languages) == ({"processes": 16}, ("bash",))
    assert usage.json is not None and "of_tomorrow" in usage.json
    python = client.languages()[0]
    assert (python.name, python.aliases, python.available) == ("python", ("py",), None)
    with pytest.raises(unsandbox.InvalidRequestError):
        client.probe()


def test_jobs(client: unsandbox.Client) -> None:
    job = client.execute_async("python", "fine")
    assert (job.job_id, job.status, job.done, job.result) == ("job-1", "pending", False, None)
    assert job.refresh() is job
    assert job.done and job.info.created_at == 1
    result = job.result
    assert result is not None and job.wait() is result
    assert client.wait_job("job-1").stdout == "42\n"
    cancelled = client.run_async("#!/bin/sh\n").cancel()
    assert (cancelled.status, cancelled.exit_code) == ("cancelled", -1)
    assert client.cancel_job("job-1").status == "cancelled"
    assert [it.status for it in client.list_jobs()] == ["running"]
    assert client.get_job("job-1").done
    assert repr(job) == "Job('job-1', status='completed')"
    with pytest.raises(unsandbox.NotFoundError) as caught:
        client.get_job("none")
    assert isinstance(caught.value, LookupError)


def test_a_waited_job_knows_its_end(client: unsandbox.Client) -> None:
    job = client.execute_async("python", "fine")
    assert job.wait().ok
    assert job.done and job.status == "completed"


def test_saving_one_by_one_keeps_folders_and_replaces_none(local: unsandbox.Client, tmp_path: Path) -> None:
    code = "cd artifacts; mkdir -p a b c/d; for it in a/x.txt b/x.txt c/d/x.txt x.txt .x.txt _x.txt; do echo $it > $it; done"
    artifacts = local.execute("bash", code).artifacts
    for _ in range(2):
        paths = [artifact.save(tmp_path) for artifact in artifacts]
        assert len(set(paths)) == 6
        assert [path.read_text().strip() for path in paths] == [it.filename for it in artifacts]
    assert {"a/x.txt", "b/x.txt", "c/d/x.txt", "x.txt", "_x.txt", "_x-2.txt"} == {
        path.relative_to(tmp_path).as_posix() for path in paths
    }


def test_artifacts_of_one_name_do_not_replace_each_other(tmp_path: Path) -> None:
    files = ["plot.png", "plot.png", "d/plot.png", "../d/plot.png", ".git/x", "_git/x"]
    reply = {
        "success": True, "stdout": "", "stderr": "", "exit_code": 0, "status": "completed",
        "artifacts": [{"filename": name, "content_base64": "AA==", "kind": "file"} for name in files],
    }  # fmt: skip
    body = json.dumps(reply)
    answer = f"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    with Faulty([answer.encode()]) as server, unsandbox.Client(base_url=server.url, retries=0) as client:
        artifacts = client.execute("python", "fine").artifacts
    saved = [artifact.save(tmp_path).relative_to(tmp_path).as_posix() for artifact in artifacts]
    assert saved == ["plot.png", "plot-2.png", "d/plot.png", "d/plot-2.png", "_git/x", "_git/x-2"]
    assert [artifact.saved_as for artifact in artifacts] == saved
    copy = pickle.loads(pickle.dumps(artifacts[1]))
    assert copy.saved_as == "plot-2.png" and dataclasses.replace(copy, filename="y").saved_as is None

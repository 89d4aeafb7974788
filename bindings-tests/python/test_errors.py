# SPDX-License-Identifier: MIT OR Apache-2.0
"""The classes of the errors are those of the one table, and carry what is known."""

from __future__ import annotations

import builtins
import json
import pickle
import subprocess
import sys

import pytest
import unsandbox
from faulty import Faulty
from stub import Stub
from unsandbox import _native


def test_every_row_of_the_table_has_its_class_and_every_class_its_row() -> None:
    rows = _native.error_table()
    for code, name, base in rows:
        kind = getattr(unsandbox, name)
        assert kind.code == code
        assert issubclass(kind, unsandbox.UnsandboxError)
        expected = {unsandbox.UnsandboxError} | ({getattr(builtins, base)} if base else set())
        assert set(kind.__bases__) == expected, name
        assert name in unsandbox.__all__
    kinds = {kind.__name__ for kind in unsandbox.UnsandboxError.__subclasses__()}
    assert kinds == {name for _, name, _ in rows} | {"ExecutionError"}


def test_an_error_of_the_server_keeps_all_that_it_said(client: unsandbox.Client) -> None:
    with pytest.raises(unsandbox.RateLimitError) as caught:
        client.execute("python", "status 429")
    error = caught.value
    assert (error.http_status, error.retry_after) == (429, 7.0)
    assert error.body is not None and "told to say 429" in error.body
    assert error.job_id is None


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, unsandbox.AuthenticationError),
        (403, unsandbox.PermissionDeniedError),
        (404, unsandbox.NotFoundError),
        (409, unsandbox.ConflictError),
        (418, unsandbox.ApiError),
        (500, unsandbox.ServerError),
    ],
)
def test_statuses(client: unsandbox.Client, status: int, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        client.execute("python", f"status {status}")


def test_replies_that_make_no_sense(client: unsandbox.Client) -> None:
    with pytest.raises(unsandbox.ProtocolError):
        client.execute("python", "garbage")
    with pytest.raises(unsandbox.UnsandboxError) as caught:
        client.execute("python", "cut")
    assert caught.value.may_have_run


def test_nobody_listens() -> None:
    with Stub() as stub:
        url = stub.url
    with pytest.raises(unsandbox.ConnectError) as caught:
        unsandbox.Client(base_url=url, retries=0).health()
    assert isinstance(caught.value, ConnectionError)
    assert not caught.value.may_have_run


def test_an_unusable_configuration() -> None:
    for settings in ({"base_url": "gopher://x"}, {"base_url": "local:", "public_key": "only"}):
        with pytest.raises(unsandbox.ConfigError):
            unsandbox.Client(**settings)  # type: ignore[arg-type]
    with pytest.raises(unsandbox.InvalidRequestError, match="isolation must be"):
        unsandbox.Client(isolation="strong")


def test_a_deadline(client: unsandbox.Client) -> None:
    with pytest.raises(unsandbox.RequestTimeoutError) as caught:
        client.execute("python", "slow", timeout=0.05)
    assert isinstance(caught.value, TimeoutError)


def test_errors_travel_by_pickle() -> None:
    error = unsandbox.RateLimitError("too many", http_status=429, retry_after=1.5, body="x")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is unsandbox.RateLimitError
    assert (copy.message, copy.http_status, copy.retry_after, copy.body) == ("too many", 429, 1.5, "x")
    result = unsandbox.ExecutionResult(success=False, status="completed", exit_code=3)
    failed = pickle.loads(pickle.dumps(unsandbox.ExecutionError(result)))
    assert failed.result == result and failed.returncode == 3


def test_the_text_of_an_error_has_its_cause_and_what_to_do() -> None:
    assert str(unsandbox.ProtocolError("no way", cause="cut off")) == "no way: cut off"
    assert str(unsandbox.ProtocolError("no way")) == "no way"
    refused = unsandbox.ConnectError("no way", cause="refused")
    assert str(refused).startswith("no way: refused; check that the server runs and that the URL (base_url")
    assert str(unsandbox.ConnectError("lost", may_have_run=True)) == "lost"
    assert "api_key, or in UNSANDBOX_API_KEY" in str(unsandbox.AuthenticationError("unknown key"))
    assert "languages()" in str(unsandbox.LanguageUnavailableError("no dart"))


def test_a_traceback_names_errors_as_users_do() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import unsandbox; unsandbox.Client(base_url='local:').execute('pyhton', '')"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    last = done.stderr.strip().splitlines()[-1]
    assert last == 'unsandbox.InvalidRequestError: language "pyhton" is unknown; did you mean python?'


def test_words_of_a_server_cannot_obey_a_terminal() -> None:
    hostile = "A\x1b]0;t\x07\x9b2J\u202e\nunsandbox: forged"
    body = json.dumps({"error": "invalid_request", "message": hostile})
    answer = f"HTTP/1.1 400 Word\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    escaped = "A\\u{1b}]0;t\\u{7}\\u{9b}2J\\u{202e}\\nunsandbox: forged"
    with Faulty([answer.encode()]) as server:
        with unsandbox.Client(base_url=server.url) as client, pytest.raises(unsandbox.InvalidRequestError) as caught:
            client.get_job("x")
        assert str(caught.value) == caught.value.message == escaped
        assert json.loads(caught.value.body or "")["message"] == hostile, "the body is kept as it came"
        command = [sys.executable, "-m", "unsandbox", "job", "x", "--url", server.url]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr == f"unsandbox: {escaped}\n"

# SPDX-License-Identifier: MIT OR Apache-2.0
"""Options of any value: they arrive as they were given, or are refused in words; nothing else happens."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
import unsandbox
from stub import Stub
from unsandbox import _options

pytest.importorskip("hypothesis", reason="hypothesis is not installed")
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from pathlib import Path

QUICK = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
OPTIONS = (
    "env", "network_mode", "ttl", "return_artifact", "return_wasm_artifact", "input_files", "stdin",
    "args", "outputs", "limits", "runtime", "timeout",
)  # fmt: skip

SETTINGS = ("api_key", *unsandbox.ClientSettings.__annotations__)

# As a locale that is not UTF-8 gives them, text may hold lone surrogates.
text = st.text(st.characters(exclude_categories=[]), max_size=8)
plain = st.none() | st.booleans() | st.integers() | st.floats() | text | st.binary(max_size=8)
anything = st.recursive(
    plain,
    lambda inner: st.lists(inner, max_size=3)
    | st.tuples(inner, inner)
    | st.dictionaries(text | st.integers(), inner, max_size=3)
    | st.frozensets(plain, max_size=3),
    max_leaves=6,
)
names = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=20)
contents = st.binary(max_size=50) | st.text(max_size=50)


@pytest.fixture(scope="module")
def server() -> Iterator[Stub]:
    with Stub() as stub:
        yield stub


@pytest.fixture
def client(server: Stub) -> Iterator[unsandbox.Client]:
    with unsandbox.Client(base_url=server.url, retries=0) as client:
        yield client


@QUICK
@given(st.dictionaries(st.sampled_from(OPTIONS), anything, max_size=3))
def test_any_options_are_taken_or_refused(client: unsandbox.Client, options: dict[str, Any]) -> None:
    try:
        assert client.execute("python", "fine", **options).ok
    except (unsandbox.InvalidRequestError, unsandbox.RequestTimeoutError):
        pass
    except OSError as error:
        # A path that is not there: only text in a series of files is a path.
        assert options["input_files"], error
    except ValueError as error:
        assert "input_files" in options and "null byte" in str(error)


@QUICK
@given(st.dictionaries(st.sampled_from(SETTINGS), anything, max_size=3))
def test_any_settings_are_taken_or_refused(settings: dict[str, Any]) -> None:
    try:
        unsandbox.Client(**settings).close()
    except (unsandbox.InvalidRequestError, unsandbox.ConfigError):
        pass


@QUICK
@given(anything, anything)
def test_any_program_is_taken_or_refused(client: unsandbox.Client, language: Any, code: Any) -> None:
    for call in (client.execute, client.execute_async):
        try:
            call(language, code)
        except unsandbox.UnsandboxError as error:
            assert isinstance(error, (unsandbox.InvalidRequestError, unsandbox.ApiError))


@QUICK
@given(
    st.dictionaries(names, st.text(st.characters(exclude_characters="\0", codec="utf-8"))),
    # Longer ones are sent as jobs.
    st.integers(1, 100),
    st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8")), max_size=5),
    st.dictionaries(names, contents, max_size=5),
    contents,
)
def test_good_options_arrive_as_they_were_given(
    client: unsandbox.Client,
    server: Stub,
    env: dict[str, str],
    ttl: int,
    args: list[str],
    files: dict[str, bytes | str],
    stdin: bytes | str,
) -> None:
    server.requests.clear()
    client.execute("python", "fine", env=env, ttl=ttl, args=args, input_files=files, stdin=stdin)
    body = json.loads(server.requests[-1][3])
    assert (body.get("env", {}), body["ttl"], body.get("args", [])) == (env, ttl, args)
    got = [(it["filename"], base64.b64decode(it["content"])) for it in body.get("input_files", [])]
    assert got == [(name, as_bytes(content)) for name, content in files.items()]
    sent = body.get("stdin")
    given_back = base64.b64decode(body["stdin_base64"]) if sent is None else sent.encode()
    assert given_back == as_bytes(stdin)


def as_bytes(content: bytes | str) -> bytes:
    return content.encode() if isinstance(content, str) else content


@QUICK
@given(st.lists(st.tuples(st.none() | names, contents), max_size=5))
def test_files_are_the_same_in_every_form(tmp_path: Path, files: list[tuple[str | None, Any]]) -> None:
    expected = [(name, as_bytes(content)) for name, content in files]
    assert _options.input_files(files) == expected
    opened = [(name, io.BytesIO(as_bytes(content))) for name, content in files]
    assert _options.input_files(opened) == expected
    assert _options.input_files(data for _, data in expected) == [(None, it) for _, it in expected]
    for index, (name, content) in enumerate(expected):
        path = tmp_path / (name or f"file{index}")
        path.write_bytes(content)
        for form in (path, str(path)):
            assert _options.input_files([form]) == [(path.name, content)]
        with path.open("rb") as file:
            assert _options.input_files([file]) == [(path.name, content)]
        assert _options.input_files({"other": path}) == [("other", content)]


@QUICK
@given(st.binary(max_size=60), st.lists(st.integers(0, 60)))
def test_text_of_output_does_not_depend_on_the_cuts(data: bytes, cuts: list[int]) -> None:
    seen: list[str] = []
    output = _options.TextOutput(seen.append, None)
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    for start, end in zip(edges, edges[1:], strict=False):
        output(False, data[start:end])
    output.finish()
    assert "".join(seen) == data.decode("utf-8", "replace")


@QUICK
@given(st.binary(max_size=200), text, text)
def test_any_output_is_drawn(data: bytes, word: str, other: str) -> None:
    artifact = unsandbox.Artifact(word, "safe", other, data)
    result = unsandbox.ExecutionResult(
        False, word, data, data, error=other, language=word, artifacts=(artifact,)
    )
    html = result._repr_html_()
    assert html.count("<div") == html.count("</div>") == 3
    assert len(repr(result)) < 4000

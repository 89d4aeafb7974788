# SPDX-License-Identifier: MIT OR Apache-2.0
"""Wrong values are refused before anything runs or is sent, in the words of the protocol."""

from __future__ import annotations

import io
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import unsandbox
from stub import Stub

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"ttl": 0}, "ttl must be an integer number of seconds from 1 to 900, got 0"),
    ({"ttl": -1}, "got -1"),
    ({"ttl": 901}, "got 901"),
    ({"ttl": 900.5}, "got 900.5"),
    ({"ttl": 0.0}, "got 0.0"),
    ({"ttl": -0.5}, "got -0.5"),
    ({"ttl": "60"}, 'got "60"'),
    ({"ttl": True}, "got True"),
    ({"ttl": None, "timeout": True}, "got True"),
    ({"ttl": 10**40}, "ttl must be an integer"),
    ({"ttl": 10**400}, "ttl must be an integer"),
    ({"ttl": float("nan")}, "ttl must be .* got nan"),
    ({"ttl": float("inf")}, "ttl must be .* got inf"),
    ({"ttl": float("-inf")}, "ttl must be .* got -inf"),
    ({"ttl": [1]}, "got a value of type list"),
    ({"network_mode": "open"}, "network_mode must be"),
    ({"network_mode": "semitrust"}, "network_mode must be"),
    ({"network_mode": 3}, "network_mode must be"),
    ({"env": {"": "x"}}, "env"),
    ({"env": {"a=b": "x"}}, "a=b"),
    ({"env": {"a": 1}}, "env"),
    ({"env": "a"}, "env must be a mapping"),
    ({"args": "a"}, "args must be an iterable of str"),
    ({"args": ["a", b"b"]}, r"args\[1\] must be text"),
    ({"args": ["a\0b"]}, "NUL"),
    ({"limits": {"colour": 1}}, "colour"),
    ({"limits": {"memory_bytes": -1}}, "memory_bytes"),
    ({"limits": {"memory_bytes": 1.5}}, "memory_bytes"),
    ({"limits": 5}, "limits must be a mapping"),
    ({"input_files": {f"f{i}": b"" for i in range(11)}}, "10"),
    ({"input_files": {"a": bytes(5 * 1024 * 1024 + 1)}}, "5242880"),
    ({"input_files": {"a/b": b""}}, "a/b"),
    ({"input_files": {"..": b""}}, r"\.\."),
    ({"input_files": {"": b""}}, "filename"),
    ({"input_files": [("a", b""), ("a", b"")]}, "a"),
    ({"input_files": {"a": 7}}, "must be bytes, text, a path or an open file, got int"),
    ({"input_files": "a.txt"}, "input_files must be a mapping or a series"),
    ({"input_files": [3.5]}, "an entry of input_files"),
    ({"input_files": [(7, b"")]}, "filename must be text"),
    ({"stdin": 5}, "stdin must be bytes, text, a path or an open file, got int"),
    ({"outputs": "*.png"}, r"outputs must be an iterable of str, got \"\*.png\""),
    ({"outputs": ["a", 3]}, r"outputs\[1\] must be text, got 3"),
    ({"outputs": ["../x"]}, r'outputs\[0\] "../x" leaves the working directory by ".."'),
    ({"outputs": ["*"] * 101}, "outputs has 101 patterns, the limit is 100"),
    ({"outputs": ["x" * 4097]}, "outputs has 4097 bytes together, the limit is 4096"),
    ({"return_artifact": "yes"}, "return_artifact must be True or False"),
    ({"timeout": 0}, "timeout must be a number of seconds above 0"),
    ({"timeout": "soon"}, "timeout must be a number"),
    ({"timeout": float("nan")}, "timeout must be a number of seconds above 0, got nan"),
    ({"timeout": float("inf")}, "timeout must be a finite number of seconds, got inf"),
    ({"timeout": -1.5}, "got -1.5"),
    ({"limits": {"memory_bytes": None}}, "got None"),
    ({"limits": {"memory_bytes": True}}, "got True"),
]


@pytest.mark.parametrize(("options", "words"), WRONG)
def test_wrong_values(
    client: unsandbox.Client, stub: Stub, options: dict[str, Any], words: str
) -> None:
    for call in (client.execute, client.execute_async):
        with pytest.raises(unsandbox.InvalidRequestError, match=words) as caught:
            call("python", "fine", **options)
        assert isinstance(caught.value, ValueError)
    assert stub.requests == []


def test_wrong_programs(client: unsandbox.Client, stub: Stub) -> None:
    with pytest.raises(unsandbox.InvalidRequestError, match="did you mean python"):
        client.execute("pyhton", "x")
    with pytest.raises(unsandbox.InvalidRequestError, match="language must be text, got 5"):
        client.execute(5, "x")  # type: ignore[arg-type]
    with pytest.raises(unsandbox.InvalidRequestError, match="code must be text"):
        client.execute("python", b"x")  # type: ignore[arg-type]
    with pytest.raises(unsandbox.InvalidRequestError, match="surrogate"):
        client.execute("python", "\ud800")
    with pytest.raises(TypeError):
        client.execute("python", "x", colour="red")  # type: ignore[call-arg]
    assert stub.requests == []


WRONG_SETTINGS: list[tuple[dict[str, Any], str]] = [
    ({"retries": "3"}, 'retries must be a whole number of at least 0, got "3"'),
    ({"retries": -1}, "got -1"),
    ({"retries": True}, "got True"),
    ({"retries": 1 << 40}, "retries must be a whole number"),
    ({"account": 1.5}, "account must be a whole number of at least 0, got 1.5"),
    ({"job_threshold": -0.5}, "job_threshold must be a number of seconds of at least 0, got -0.5"),
    ({"job_threshold": float("nan")}, "got nan"),
    ({"concurrency": 0}, "concurrency must be a whole number of at least 1, or None for the default, got 0"),
    ({"concurrency": -1}, "got -1"),
    ({"connect_timeout": float("inf")}, "connect_timeout must be a finite number"),
    ({"base_url": "local:", "egress_allow": ["a b"]}, "egress_allow entry \"a b\" is invalid"),
    ({"base_url": "local:", "egress_allow": ["*.10.0.0.1"]}, "an address has no suffix"),
    ({"concurrency": None, "queue_max": "all"}, "queue_max must be a whole number"),
    ({"cancel_jobs": "yes"}, "cancel_jobs must be True or False"),
    ({"egress_allow": "pypi.org"}, 'egress_allow must be an iterable of str, got "pypi.org"'),
    ({"egress_allow": ["pypi.org", 3]}, "egress_allow must be an iterable of str, got an item of type int"),
    ({"base_url": 5}, "base_url must be text, got int"),
    ({"accounts_file": 5}, "accounts_file must be a path, got int"),
    ({"timeout": 0}, "timeout must be a number of seconds above 0, got 0"),
    ({"connect_timeout": "soon"}, "connect_timeout must be a number of seconds"),
    ({"isolation": "strong"}, "isolation must be"),
]


@pytest.mark.parametrize(("settings", "words"), WRONG_SETTINGS)
def test_wrong_settings(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(unsandbox.InvalidRequestError, match=words):
        unsandbox.Client(**{"base_url": "http://127.0.0.1:1", **settings})


def test_a_key_of_the_wrong_kind_is_not_shown() -> None:
    for name in ("api_key", "public_key", "secret_key", "proxy"):
        with pytest.raises(unsandbox.InvalidRequestError, match=f"{name} must be text, got bytes") as caught:
            unsandbox.Client(**{name: b"hunter2"})  # type: ignore[arg-type]
        assert "hunter2" not in repr(caught.value)


def test_an_unknown_setting() -> None:
    with pytest.raises(TypeError):
        unsandbox.Client(colour="red")  # type: ignore[call-arg]


def test_every_option_arrives(client: unsandbox.Client, stub: Stub, tmp_path: Path) -> None:
    path = tmp_path / "from_path.bin"
    path.write_bytes(b"\x00path")
    named = tmp_path / "open.txt"
    named.write_text("open")
    with named.open() as file:
        client.execute(
            "python",
            "fine",
            env={"A": "ä"},
            network_mode="semitrusted",
            ttl=5,
            return_artifact=True,
            return_wasm_artifact=True,
            input_files=[str(path), file, ("pair", "text"), (None, io.BytesIO(b"four"))],
            stdin="in",
            args=("x", "y"),
            outputs=iter(["*.png", "out/**"]),
            limits={"memory_bytes": 64 << 20},
        )
    body = json.loads(stub.requests[0][3])
    files = body.pop("input_files")
    assert [file.get("filename") for file in files] == ["from_path.bin", "open.txt", "pair", None]
    assert [file["content"] for file in files] == ["AHBhdGg=", "b3Blbg==", "dGV4dA==", "Zm91cg=="]
    assert body == {
        "language": "python",
        "code": "fine",
        "env": {"A": "ä"},
        "network_mode": "semitrusted",
        "ttl": 5,
        "return_artifact": True,
        "return_wasm_artifact": True,
        "stdin": "in",
        "args": ["x", "y"],
        "outputs": ["*.png", "out/**"],
        "limits": {"memory_bytes": 64 << 20},
    }


def test_a_mapping_of_files(client: unsandbox.Client, stub: Stub, tmp_path: Path) -> None:
    path = tmp_path / "on_disk"
    path.write_bytes(b"disk")
    client.execute(
        "python", "fine", input_files={"a": b"a", "b": "b", "c": path, "d": memoryview(b"d")}
    )
    files = json.loads(stub.requests[0][3])["input_files"]
    assert [file["content"] for file in files] == ["YQ==", "Yg==", "ZGlzaw==", "ZA=="]


def test_standard_input_in_every_form(client: unsandbox.Client, stub: Stub) -> None:
    for stdin in ("text", b"text", bytearray(b"text"), io.StringIO("text"), io.BytesIO(b"text")):
        client.execute("python", "fine", stdin=stdin)
    client.execute("python", "fine", stdin=b"\xff")
    bodies = [json.loads(body) for _, _, _, body in stub.requests]
    assert [body.get("stdin") for body in bodies] == ["text"] * 5 + [None]
    assert bodies[5]["stdin_base64"] == "/w=="


@pytest.mark.parametrize("base_url", ["local:", "http://127.0.0.1:1", "unix:/nowhere"])
def test_what_cannot_be_used_is_refused_when_the_client_is_made(base_url: str, tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("")
    for settings, words in [
        ({"ca_file": tmp_path / "gone.pem"}, "ca_file .*gone.pem.* cannot be read"),
        ({"ca_file": tmp_path / "empty.pem"}, "holds no certificate"),
        ({"proxy": "gopher://me:hunter2@h"}, "proxy is not a supported proxy URL"),
        ({"proxy": "http://h:99999"}, "proxy is not a supported proxy URL"),
        ({"proxy": "http://me:hunter2@:80"}, "proxy is not a supported proxy URL"),
        ({"proxy": "socks5://h:port"}, "proxy is not a supported proxy URL"),
    ]:
        with pytest.raises(unsandbox.ConfigError, match=words) as caught:
            unsandbox.Client(base_url=base_url, **settings)  # type: ignore[arg-type]
        assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(("ttl", "sent"), [(1.5, 2), (0.001, 1), (60.0, 60), (899.1, 900), (Decimal("2.5"), 3)])
def test_a_ttl_of_any_kind_is_rounded_up(client: unsandbox.Client, stub: Stub, ttl: Any, sent: int) -> None:
    client.execute("python", "fine", ttl=ttl, timeout=20.5)
    assert json.loads(stub.requests[0][3])["ttl"] == sent

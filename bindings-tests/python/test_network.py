# SPDX-License-Identifier: MIT OR Apache-2.0
"""The way to a server: its time limits, proxies and jobs, and that no key is seen on it."""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest
import unsandbox
from faulty import FAULTS, INPUT_BYTES, KEY, OUTPUT_BYTES, Faulty, keys_in, large
from stub import Stub


@pytest.fixture
def silent() -> Iterator[str]:
    """A server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def test_a_server_that_does_not_begin_its_reply(silent: str) -> None:
    begun = time.monotonic()
    with unsandbox.Client(base_url=f"http://{silent}", first_byte_timeout=0.2) as client:
        with pytest.raises(unsandbox.RequestTimeoutError, match=r"did not answer within 0\.2 s") as caught:
            client.execute("python", "")
    assert caught.value.may_have_run
    assert 0.2 <= time.monotonic() - begun < 5


def test_a_server_that_does_not_go_on() -> None:
    def begin(listener: socket.socket) -> None:
        with listener.accept()[0] as connection:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{")
            while connection.recv(1 << 16):
                pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=begin, args=(listener,), daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with unsandbox.Client(base_url=url, read_timeout=0.2, retries=0) as client:
            with pytest.raises(unsandbox.RequestTimeoutError, match="sent no more of its reply"):
                client.execute("python", "")
        thread.join(20)


def test_every_limit_is_checked() -> None:
    for name in ("resolve", "connect", "send", "first_byte", "read"):
        settings = {f"{name}_timeout": 0}
        with pytest.raises(unsandbox.InvalidRequestError, match=f"{name}_timeout must be a number of seconds"):
            unsandbox.Client(base_url="http://127.0.0.1:1", **settings)


def test_a_proxy_is_gone_through_and_named(silent: str) -> None:
    settings = {"base_url": "https://server.test", "api_key": "k", "timeout": 0.3}
    for scheme in ("http", "socks5"):
        with unsandbox.Client(proxy=f"{scheme}://me:hunter2@{silent}", **settings) as client:
            with pytest.raises(unsandbox.RequestTimeoutError):
                client.health()
    with pytest.raises(unsandbox.ConfigError, match="proxy is not a supported proxy URL") as caught:
        unsandbox.Client(proxy="ftp://me:hunter2@h", **settings)
    assert "hunter2" not in repr(caught.value)


def test_no_proxy_at_all(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "all_proxy"):
        monkeypatch.setenv(name, "nonsense://")
    with unsandbox.Client(base_url=stub.url, proxy="") as client:
        assert client.execute("python", "fine").success
    with pytest.raises(unsandbox.ConfigError):
        unsandbox.Client(base_url="http://192.0.2.1")
    unsandbox.Client(base_url="http://192.0.2.1", proxy="").close()


def test_executions_as_jobs(stub: Stub) -> None:
    with unsandbox.Client(base_url=stub.url, cancel_jobs=True) as client:
        assert client.execute("python", "fine").success
    with unsandbox.Client(base_url=stub.url, job_threshold=3) as client:
        assert client.execute("python", "fine", ttl=4).success
        assert client.execute("python", "fine", ttl=3).success
    posted = [path for method, path, _, _ in stub.requests if method == "POST"]
    assert posted == ["/execute/async", "/execute/async", "/execute"]


def test_a_list_of_hosts_is_for_the_local_engine() -> None:
    with pytest.raises(unsandbox.ConfigError, match="egress_allow works only with local:"):
        unsandbox.Client(base_url="http://127.0.0.1:1", egress_allow=["pypi.org"])
    unsandbox.Client(base_url="local:", egress_allow=["pypi.org", "*.example.com"]).close()


def test_no_key_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    shown = []
    with Faulty() as server, caplog.at_level(1, logger="unsandbox"):
        unsandbox.enable_logging(1)
        try:
            with unsandbox.Client(KEY, base_url=server.url, retries=0) as client:
                shown.append(repr(client))
                for _ in FAULTS:
                    try:
                        shown.append(repr(client.execute("python", "print(1)")))
                    except unsandbox.UnsandboxError as error:
                        shown.append(f"{error} {error!r} {error.__cause__}")
        finally:
            unsandbox.enable_logging(logging.CRITICAL + 1)
    assert len(server.heads) == len(FAULTS) and all(KEY.encode() in head for head in server.heads)
    lines = [record.getMessage() for record in caplog.records]
    assert sum(line.startswith("POST /execute") for line in lines) == len(FAULTS)
    assert keys_in([*lines, *shown]) == []


#: A process of its own, which prints by how much the peak of its memory is above what it had before.
LARGE = """
import sys, unsandbox
way, url, size = sys.argv[1], sys.argv[2], int(sys.argv[3])

def resident(field):
    with open("/proc/self/status") as status:
        return 1024 * next(int(line.split()[1]) for line in status if line.startswith(field))

client = unsandbox.Client(base_url=url)
client.health()
with open("/proc/self/clear_refs", "w") as refs:
    refs.write("5")
before = resident("VmRSS")
files = {"a": b"a" * (size // 2), "b": b"b" * (size // 2)} if way == "in" else None
result = client.execute("python", "print(1)", input_files=files)
print(resident("VmHWM") - before, len(result.stdout))
"""


@pytest.mark.parametrize(("way", "payload"), [("in", INPUT_BYTES), ("out", OUTPUT_BYTES)])
def test_large_payloads_are_not_copied_over_and_over(way: str, payload: int) -> None:
    output = payload if way == "out" else 1
    with large(output) as server:
        command = [sys.executable, "-c", LARGE, way, server.url, str(payload)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    peak, received = map(int, done.stdout.split())
    assert received == output
    print(f"{way}: {peak / payload:.2f} times the payload")
    assert peak <= 4 * payload, f"{peak / payload:.2f} times"

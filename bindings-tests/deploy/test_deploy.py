# SPDX-License-Identifier: MIT OR Apache-2.0
"""The files of deploy/: the unit is one that systemd reads, and nginx and Caddy as configured there pass on what clients need."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from table.servers import built_command

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
KEY = "a-key-of-the-tests"
ENDLESS = {"language": "bash", "code": "echo first; while :; do sleep 0.1; done"}


def tool(name: str) -> str:
    found = shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/bin")
    if found is None:
        pytest.skip(f"{name} is not installed (`make deps` does)")
    return found


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """HOST:PORT of a server with a key."""
    folder = tmp_path_factory.mktemp("server")
    (folder / "keys").touch(mode=0o600)
    (folder / "keys").write_text(f"{KEY}\n")
    command = [built_command(), "serve", "--listen", "127.0.0.1:0", "--keys", folder / "keys", "--store", "memory", "--isolation", "auto"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout
        yield server.stdout.readline().removeprefix("listening on http://").strip()
        server.terminate()


def test_the_unit_is_read_by_systemd(tmp_path: Path) -> None:
    analyze = tool("systemd-analyze")
    text = (DEPLOY / "systemd/unsandbox.service").read_text()
    # The command and its manual are not installed where tests run.
    socket = (DEPLOY / "systemd/unsandbox.socket").read_text()
    units = {"unsandbox.service": text.replace("/usr/local/bin/unsandbox", str(built_command())), "unsandbox.socket": socket}
    for name, unit in units.items():
        (tmp_path / name).write_text(re.sub("^Documentation=.*", "", unit, flags=re.MULTILINE))
    done = subprocess.run([analyze, "verify", *(tmp_path / name for name in units)], capture_output=True, text=True)
    assert (done.returncode, [line for line in done.stderr.splitlines() if "unsandbox" in line]) == (0, []), done.stderr
    options = re.search(r"^ExecStart=\S+ serve (.*)$", text, re.MULTILINE)
    assert options
    wrong = {word for word in options[1].split() if word.startswith("--")} - options_of_serve()
    assert wrong == set()


def options_of_serve() -> set[str]:
    done = subprocess.run([built_command(), "serve", "--help"], capture_output=True, text=True, check=True)
    return set(re.findall(r"^ +(?:-\w, )?(--[\w-]+)", done.stdout, re.MULTILINE))


@pytest.mark.parametrize("name", ["container/Containerfile", "container/compose.yaml", "kubernetes/unsandbox.yaml"])
def test_recipes_name_options_that_the_command_has_and_keep_no_privilege(name: str) -> None:
    text = (DEPLOY / name).read_text()
    words = [line for line in text.splitlines() if '"serve"' in line]
    assert words
    named = {word for line in words for word in re.findall(r'"(--[\w-]+)"', line)}
    assert named and named <= options_of_serve()
    assert not re.search(r"^[^#]*\b(?:privileged|SYS_ADMIN|cap_add)\b", text, re.MULTILINE)


class Front:
    """A web server in front of ours, as deploy/ configures it."""

    def __init__(self, port: int, context: ssl.SSLContext | None) -> None:
        self.port, self.context = port, context

    def request(self, method: str, path: str, body: object = None, **headers: str) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        kind = http.client.HTTPConnection if self.context is None else http.client.HTTPSConnection
        options = {} if self.context is None else {"context": self.context}
        connection = kind("127.0.0.1", self.port, timeout=30, **options)
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        connection.request(method, path, data, {"Authorization": f"Bearer {KEY}", **headers})
        return connection, connection.getresponse()

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
        connection, response = self.request(method, path, body, **headers)
        reply = response.read()
        connection.close()
        return response, reply


def started(process: subprocess.Popen[str], port: int, log: Path) -> None:
    """Waits until the web server takes connections."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        assert process.poll() is None, log.read_text()
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise AssertionError(log.read_text())


def nginx(folder: Path, server: str, port: int) -> tuple[list[object], ssl.SSLContext]:
    program = tool("nginx")
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*make, "-keyout", folder / "key", "-out", folder / "crt"], check=True, capture_output=True)
    site = (DEPLOY / "proxy/nginx.conf").read_text()
    for old, new in {
        "server 127.0.0.1:8080;": f"server {server};",
        "listen 443 ssl;": f"listen 127.0.0.1:{port} ssl;",
        "/etc/ssl/unsandbox.crt": str(folder / "crt"),
        "/etc/ssl/unsandbox.key": str(folder / "key"),
    }.items():
        assert site.count(old) == 1, old
        site = site.replace(old, new)
    temporary = "".join(f"{kind}_temp_path {folder / kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    conf = folder / "nginx.conf"
    conf.write_text(f"daemon off;\nmaster_process off;\npid {folder / 'pid'};\nerror_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\n{temporary}{site}}}\n")
    words: list[object] = [program, "-p", folder, "-e", "stderr", "-c", conf]
    done = subprocess.run([*words, "-t"], capture_output=True, text=True)
    assert done.returncode == 0 and "[warn]" not in done.stderr, done.stderr
    return words, ssl.create_default_context(cafile=str(folder / "crt"))


def caddy(folder: Path, server: str, port: int) -> tuple[list[object], None]:
    program = tool("caddy")
    site = (DEPLOY / "proxy/Caddyfile").read_text()
    for old, new in {"127.0.0.1:8080 {": f"{server} {{", "unsandbox.example {": f"http://127.0.0.1:{port} {{"}.items():
        assert site.count(old) == 1, old
        site = site.replace(old, new)
    conf = folder / "Caddyfile"
    # Without its port for administration; what it keeps goes to HOME.
    conf.write_text(f"{{\n\tadmin off\n\tauto_https off\n}}\n{site}")
    return [program, "run", "--config", conf, "--adapter", "caddyfile"], None


@pytest.fixture(scope="module", params=[nginx, caddy], ids=["nginx", "caddy"])
def front(request: pytest.FixtureRequest, server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    folder, port = tmp_path_factory.mktemp("front"), free_port()
    folder.chmod(0o755)
    command, context = request.param(folder, server, port)
    log = folder / "log"
    options = {"text": True, "cwd": folder, "env": {"PATH": os.environ["PATH"], "HOME": str(folder)}}
    with log.open("w") as out, subprocess.Popen([str(word) for word in command], stdout=out, stderr=out, **options) as process:
        started(process, port, log)
        yield Front(port, context)
        process.terminate()


def test_a_live_event_comes_through_while_the_program_runs(front: Front) -> None:
    connection, response = front.request("POST", "/execute", ENDLESS, Accept="text/event-stream")
    assert (response.status, response.headers["content-type"]) == (200, "text/event-stream")
    lines = iter(response.readline, b"")
    seen = []
    for line in lines:
        seen.append(line)
        if line == b'data: {"offset":0,"text":"first\\n"}\n':
            break
    assert b"event: stdout\n" in seen and b"event: finished\n" not in seen
    job = json.loads(next(line for line in seen if line.startswith(b"data: "))[6:])["job_id"]
    # The end of the client is passed on, too, and cancels the program.
    connection.close()
    response.close()
    _, reply = front.ask("GET", f"/jobs/{job}?wait=20")
    assert json.loads(reply)["status"] == "cancelled"


def test_the_console_and_large_bodies_and_their_headers_come_through(front: Front) -> None:
    response, page = front.ask("GET", "/", Accept="text/html")
    assert (response.status, page.startswith(b"<!doctype html>")) == (200, True)
    assert "frame-ancestors 'none'" in response.headers["content-security-policy"]
    body = {"language": "bash", "code": "wc -c", "stdin": "x" * 3_000_000}
    key = response.headers["x-unsandbox-features"]
    assert "idempotency=process:" in key
    sent = {"Idempotency-Key": "of-the-test", "X-Request-Id": "of-the-test"}
    first, reply = front.ask("POST", "/execute", body, **sent)
    assert (first.status, json.loads(reply)["stdout"].strip(), first.headers["x-request-id"]) == (200, "3000000", "of-the-test")
    # The second is the first one again: the key came through.
    _, again = front.ask("POST", "/execute", body, **sent)
    assert json.loads(again)["job_id"] == json.loads(reply)["job_id"]
    refused, _ = front.ask("POST", "/execute", ENDLESS, Authorization="Bearer another")
    assert refused.status == 401

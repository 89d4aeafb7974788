# SPDX-License-Identifier: MIT OR Apache-2.0
"""The processes that the cases talk to: our server on a port and on a socket, and the scripted one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
STOP_SECONDS = 20
#: In the form of accounts.csv. The second account is the foreign one.
KEYS = """# keys of the tests
unsb-pk-test-0000-0000-0001,unsb-sk-test0-00000-00000-00001,first
unsb-pk-test-0000-0000-0002,unsb-sk-test0-00000-00000-00002,second
lonely-bearer-key
"""
PUBLIC_KEY = "unsb-pk-test-0000-0000-0001"
SECRET_KEY = "unsb-sk-test0-00000-00000-00001"
FOREIGN_KEY = "unsb-sk-test0-00000-00000-00002"


def built_command() -> Path:
    """The built `unsandbox`. UNSANDBOX_COMMAND names a ready one."""
    ready = os.environ.get("UNSANDBOX_COMMAND")
    if ready:
        return Path(ready)
    root = HERE.parent.parent
    subprocess.run(["cargo", "build", "-q", "--locked", "-p", "unsandbox-cli"], cwd=root, check=True)
    return Path(os.environ.get("CARGO_TARGET_DIR", root / "target")) / "debug/unsandbox"


@dataclass(frozen=True)
class Servers:
    """Where to find them."""

    http: str
    unix: str
    stub: str
    stub_tls: str
    #: A port on which nothing listens.
    closed: str
    #: The server at `http` again, over TLS with this certificate.
    tls: str
    certificate: Path
    accounts: Path
    directory: Path

    def url(self, endpoint: str) -> str:
        return {"local": "local:", "http": self.http, "unix": self.unix, "tls": self.tls}[endpoint]


@contextmanager
def child(command: list[str], log: Path) -> Iterator[str]:
    """A process that tells its address in its first line, and is ended by its id."""
    with log.open("wb") as err:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=err, env=clean_environment())
    assert process.stdout
    try:
        line = process.stdout.readline().decode().strip()
        assert line, f"{command[0]} did not start: {log.read_text()[-2000:]}"
        yield line.removeprefix("listening on ")
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def clean_environment() -> dict[str, str]:
    """Without what would choose endpoints or keys; the accounts file of the user does not count either."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("UNSANDBOX_")}
    return {**kept, "HOME": tempfile.gettempdir()}


def closed_port() -> str:
    """An address that refuses: a port of the privileged range, where no test server listens."""
    return "http://127.0.0.1:1"


def made_certificate(directory: Path) -> tuple[Path, Path]:
    """A certificate for localhost, and its key; both of this run alone."""
    config, certificate, key = (directory / name for name in ("openssl.cnf", "cert.pem", "key.pem"))
    names = "[req]\ndistinguished_name=name\nx509_extensions=ext\nprompt=no\n[name]\nCN=localhost\n"
    config.write_text(names + "[ext]\nsubjectAltName=DNS:localhost\nbasicConstraints=critical,CA:FALSE\n")
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    words += ["-config", str(config), "-out", str(certificate), "-keyout", str(key)]
    subprocess.run(words, check=True, capture_output=True)
    key.chmod(0o600)
    return certificate, key


@contextmanager
def servers(command: Path, directory: Path) -> Iterator[Servers]:
    """Starts all of them; `command` is the built `unsandbox`."""
    keys = directory / "keys.csv"
    keys.write_text(KEYS)
    keys.chmod(0o600)
    # A client's file has pairs only.
    accounts = directory / "accounts.csv"
    accounts.write_text("".join(row for row in KEYS.splitlines(keepends=True) if "," in row))
    accounts.chmod(0o600)
    with ExitStack() as stack:

        def start(name: str, *words: str) -> str:
            return stack.enter_context(child(list(words), directory / f"{name}.log"))

        serve = [str(command), "serve", "--isolation", "auto", "--keys", str(keys), "--grace", "0"]
        http = start("http", *serve, "--listen", "127.0.0.1:0", "--store", str(directory / "store.db"))
        unix = start("unix", *serve, "--listen", f"unix:{directory / 'served.sock'}", "--store", "memory")
        certificate, key = made_certificate(directory)
        pair = ["--tls-cert", str(certificate), "--tls-key", str(key)]
        tls = start("tls", *serve, "--listen", "127.0.0.1:0", "--store", str(directory / "tls.db"), *pair)
        stub = start("stub", sys.executable, str(HERE.parent / "stub" / "stub.py"))
        plain, encrypted = stub.split()
        yield Servers(
            http=http if "://" in http else f"http://{http}",
            unix=unix,
            stub=plain,
            stub_tls=encrypted,
            closed=closed_port(),
            # The name of the certificate.
            tls=tls.replace("127.0.0.1", "localhost"),
            certificate=certificate,
            accounts=accounts,
            directory=directory,
        )

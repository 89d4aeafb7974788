# SPDX-License-Identifier: MIT OR Apache-2.0
"""Which interpreter runs Python programs on "local:": the one that calls, and the result says so."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import unsandbox

#: What was taken, and what the program sees of it.
WHICH = """
import unsandbox
client = unsandbox.Client(base_url="local:")
result = client.execute("python", "import sys; print(sys.executable, sys.prefix, sys.version_info[:3])")
print(result.runtime, result.stdout.strip(), sep="|")
"""
#: The folders of the package and of nothing else, for interpreters that have not got it.
PACKAGE = Path(unsandbox.__file__).parent.parent


def which(python: str | Path, **environment: str) -> list[str]:
    settings = {**os.environ, "PYTHONPATH": str(PACKAGE), **environment}
    if "UNSANDBOX_PYTHON" not in environment:
        settings.pop("UNSANDBOX_PYTHON", None)
    done = subprocess.run([python, "-c", WHICH], capture_output=True, text=True, timeout=60, env=settings)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().split("|")


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    """An environment with a package of its own, at a place that others may enter."""
    root = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", root], check=True, timeout=60)
    for folder in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        folder.chmod(0o755)
    (site,) = root.glob("lib/python3*/site-packages")
    (site / "only_here.py").write_text("ANSWER = 42\n")
    return root


def test_the_interpreter_that_calls_is_taken(local: unsandbox.Client, venv: Path) -> None:
    python = venv / "bin/python"
    runtime, seen = which(python)
    assert runtime == seen.split(" ")[0] == str(python)
    assert seen.split(" ")[1] == str(venv)


def test_its_packages_are_found(local: unsandbox.Client, venv: Path) -> None:
    code = "import unsandbox; print(unsandbox.execute('python', 'import only_here; print(only_here.ANSWER)'))"
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE)}
    environment.pop("UNSANDBOX_PYTHON", None)
    done = subprocess.run([venv / "bin/python", "-c", code], capture_output=True, text=True, env=environment)
    assert "stdout='42\\n'" in done.stdout, done.stdout + done.stderr


def test_every_interpreter_of_this_machine_takes_itself(local: unsandbox.Client) -> None:
    found = {os.path.realpath(path): path for path in map(shutil.which, ("python3", "/usr/bin/python3")) if path}
    for path in found.values():
        version = "import sys; print(sys.version_info[:3], sys.executable, sep='|')"
        said = subprocess.run([path, "-c", version], capture_output=True, text=True).stdout.strip()
        if said < "(3, 10":
            continue
        wanted, executable = said.split("|")
        runtime, seen = which(path)
        assert seen.endswith(wanted), (path, seen)
        assert os.path.realpath(runtime) == os.path.realpath(executable)


def test_a_choice_comes_first(local: unsandbox.Client, venv: Path) -> None:
    other = sys.executable
    assert which(venv / "bin/python", UNSANDBOX_PYTHON=other)[0] == other
    result = local.execute("python", "print(1)", runtime=str(venv / "bin/python"))
    assert result.runtime == str(venv / "bin/python")
    assert result.raw["runtime"] == result.runtime
    assert local.execute("bash", "true").runtime in (shutil.which("bash"), "/usr/bin/bash", "/bin/bash")


@pytest.mark.parametrize("executable", ["", "None", "bin/python3", "/usr/bin/host", "/usr/bin/python3.gone"])
def test_what_is_no_interpreter_gives_way_to_path(local: unsandbox.Client, executable: str) -> None:
    code = (
        "import logging, sys, unsandbox\n"
        f"sys.executable = {executable!r} if {executable!r} != 'None' else None\n"
        "logging.basicConfig(level=logging.DEBUG, stream=sys.stdout, format='%(name)s %(message)s')\n"
        "result = unsandbox.Client(base_url='local:').execute('python', 'print(42)')\n"
        "print(result.ok, result.stdout.strip(), result.runtime)\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "UNSANDBOX_PYTHON"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    last = done.stdout.strip().splitlines()[-1]
    assert last.startswith("True 42 /") and not last.endswith(executable or "?"), done.stdout + done.stderr
    assert "unsandbox python of PATH is taken: " in done.stdout


def test_an_interpreter_that_a_jail_cannot_start_gives_way_to_path(local: unsandbox.Client, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root has files that programs may not read")
    copy = tmp_path / "python3"
    shutil.copy(os.path.realpath("/usr/bin/python3"), copy)
    copy.chmod(0o700)
    code = (
        f"import logging, sys, unsandbox; sys.executable = {str(copy)!r}\n"
        "logging.basicConfig(level=logging.DEBUG, stream=sys.stdout)\n"
        "print(unsandbox.Client(base_url='local:').execute('python', 'print(42)').runtime)\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "UNSANDBOX_PYTHON"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.stdout.strip().splitlines()[-1].startswith("/") and str(copy) not in done.stdout.splitlines()[-1]
    assert "may not read or execute" in done.stdout, done.stdout + done.stderr

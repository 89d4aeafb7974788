# SPDX-License-Identifier: MIT OR Apache-2.0
"""What the suites share: the library built once, compilers by name, and the stub server."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
INCLUDE = ROOT / "include"
sys.path.insert(0, str(Path(__file__).parent))

#: The suite `console` installs what its tests import.
collect_ignore = [] if importlib.util.find_spec("playwright") else ["console"]

#: Settings of the tests themselves, and which interpreter the local engine takes.
KEPT = {
    "UNSANDBOX_COMMAND",
    "UNSANDBOX_LIB_DIR",
    "UNSANDBOX_PANICKING_LIB_DIR",
    "UNSANDBOX_PYTHON",
}

WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]


def run(command: list[object], **options: object) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end; what it printed is shown where a test fails."""
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, timeout=600, **options)
    print("$", *words, done.stdout, done.stderr, sep="\n")
    return done


def build(*features: str) -> Path:
    """Builds the library and gives the directory that cargo puts it into."""
    command = ["cargo", "build", "-q", "--locked", "-p", "unsandbox-capi"]
    if features:
        command += ["--features", ",".join(features)]
    done = run(command, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return target / "debug"


def install(built: Path, directory: Path) -> Path:
    """Puts the library where the linker and the loader look for it."""
    shutil.copy(built / "libunsandbox.so", directory / "libunsandbox.so.0.1")
    (directory / "libunsandbox.so").symlink_to("libunsandbox.so.0.1")
    return directory


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with libunsandbox.so and its SONAME. UNSANDBOX_LIB_DIR names a ready one."""
    ready = os.environ.get("UNSANDBOX_LIB_DIR")
    if ready:
        return Path(ready)
    return install(build(), tmp_path_factory.mktemp("lib"))


@pytest.fixture(scope="session")
def panicking_library(library: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library with the function that makes every other one panic.

    UNSANDBOX_PANICKING_LIB_DIR names a ready one.
    """
    ready = os.environ.get("UNSANDBOX_PANICKING_LIB_DIR")
    if ready:
        return Path(ready)
    directory = install(build("panic-injection"), tmp_path_factory.mktemp("panicking"))
    # Leaves cargo's own output as the other suites expect it.
    if "UNSANDBOX_LIB_DIR" not in os.environ:
        build()
    return directory


@pytest.fixture
def stub() -> Iterator[object]:
    """A server that does what the program text says."""
    from stub import Stub

    with Stub() as server:
        yield server


@pytest.fixture(autouse=True)
def no_settings_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The tests use no key and no endpoint of the user who runs them."""
    for name, directory in (("RUSTUP_HOME", ".rustup"), ("CARGO_HOME", ".cargo")):
        monkeypatch.setenv(name, os.environ.get(name) or str(Path.home() / directory))
    for name in list(os.environ):
        if name.startswith("UNSANDBOX_") and name not in KEPT:
            monkeypatch.delenv(name)
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))


def compiler(name: str) -> str:
    """The path of a compiler, or a named skip."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def compile_program(
    source: Path, output: Path, library: Path, *flags: str, include: Path = INCLUDE
) -> Path:
    """Compiles and links a program; the language is told by the name of its source."""
    cxx = source.suffix in (".cpp", ".cc")
    name = os.environ.get("CXX" if cxx else "CC") or ("c++" if cxx else "cc")
    command = [compiler(name), *WARNINGS, *flags, f"-I{include}", source, "-o", output]
    command += [f"-L{library}", "-lunsandbox", f"-Wl,-rpath,{library}", "-lpthread"]
    done = run(command)
    assert done.returncode == 0, done.stderr
    return output

# SPDX-License-Identifier: MIT OR Apache-2.0
"""`make install` puts everything in its place: headers, library with SONAME and links, pkg-config, jailer."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


def run(*words: object, **environment: str) -> str:
    done = subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, timeout=600, cwd=ROOT,
        env={**os.environ, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The debug build, which stands already, installed under a prefix of its own."""
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    prefix = tmp_path_factory.mktemp("prefix")
    run("make", "install", "PROFILE=debug", f"PREFIX={prefix}")
    return prefix


def test_everything_is_in_its_place(prefix: Path) -> None:
    found = {str(path.relative_to(prefix)) for path in prefix.rglob("*") if not path.is_dir()}
    assert found == {
        "bin/unsandbox",
        "include/unsandbox.h",
        "include/unsandbox.hpp",
        "lib/libunsandbox.a",
        "lib/libunsandbox.so",
        "lib/libunsandbox.so.0.1",
        "lib/libunsandbox.so.0.1.0",
        "lib/cmake/unsandbox/unsandbox-config-version.cmake",
        "lib/cmake/unsandbox/unsandbox-config.cmake",
        "lib/pkgconfig/unsandbox.pc",
        "libexec/unsandbox/unsandbox-jailer",
        "share/doc/unsandbox/THIRD-PARTY",
        "share/man/man1/unsandbox.1",
        "share/man/man3/libunsandbox.3",
        "share/unsandbox/apparmor",
        "share/unsandbox/unsandbox.cdef",
    }
    assert os.readlink(prefix / "lib/libunsandbox.so") == "libunsandbox.so.0.1"
    assert os.readlink(prefix / "lib/libunsandbox.so.0.1") == "libunsandbox.so.0.1.0"


def test_a_program_builds_with_pkg_config_and_runs(prefix: Path, tmp_path: Path) -> None:
    if shutil.which("pkg-config") is None:
        pytest.skip("pkg-config is not installed")
    pc = str(prefix / "lib/pkgconfig")
    assert run("pkg-config", "--modversion", "unsandbox", PKG_CONFIG_PATH=pc) == "0.1.0\n"
    flags = run("pkg-config", "--cflags", "--libs", "unsandbox", PKG_CONFIG_PATH=pc).split()
    run("cc", ROOT / "examples/c/hello.c", *flags, "-o", tmp_path / "hello")
    library = str(prefix / "lib")
    assert run(tmp_path / "hello", LD_LIBRARY_PATH=library, UNSANDBOX_URL="local:") == "42\n"


def test_the_installed_jailer_is_the_one_of_the_library(prefix: Path) -> None:
    jailer = prefix / "libexec/unsandbox/unsandbox-jailer"
    words = (prefix / "bin/unsandbox", "run", "--url", "local:", "-l", "bash", "-c", "echo from a file")
    assert run(*words, UNSANDBOX_JAILER=str(jailer)) == "from a file\n"


def test_uninstall_takes_all_of_it(prefix: Path) -> None:
    run("make", "uninstall", f"PREFIX={prefix}")
    assert [path for path in prefix.rglob("*") if not path.is_dir()] == []

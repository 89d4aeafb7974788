# SPDX-License-Identifier: MIT OR Apache-2.0
"""From an empty directory, with what `make install` gives: C and C++ by pkg-config, statically, by CMake."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
CMAKE = """cmake_minimum_required(VERSION 3.16)
project(hello {language})
{before}
find_package(unsandbox 0.1 CONFIG REQUIRED)
add_executable(hello hello.{suffix})
target_link_libraries(hello {target})
"""


def run(*words: object, cwd: Path = ROOT, **environment: str) -> str:
    done = subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, timeout=900, cwd=cwd,
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


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    directory = tmp_path / "empty"
    directory.mkdir()
    for folder, suffix in (("c", "c"), ("cpp", "cpp")):
        shutil.copy(ROOT / f"examples/{folder}/hello.{suffix}", directory)
    return directory


def flags(prefix: Path, *words: str) -> list[str]:
    if shutil.which("pkg-config") is None:
        pytest.skip("pkg-config is not installed")
    return run("pkg-config", *words, "unsandbox", PKG_CONFIG_PATH=str(prefix / "lib/pkgconfig")).split()


def check(program: Path, prefix: Path, shared: bool) -> None:
    """It runs, and needs the shared library or does not."""
    library = {"LD_LIBRARY_PATH": str(prefix / "lib")} if shared else {}
    assert ("libunsandbox" in run("ldd", program, **library)) == shared
    assert run(program, UNSANDBOX_URL="local:", **library) == "42\n"


@pytest.mark.parametrize(("compiler", "source"), [("cc", "hello.c"), ("c++", "hello.cpp")])
def test_pkg_config(compiler: str, source: str, prefix: Path, empty: Path) -> None:
    run(compiler, source, *flags(prefix, "--cflags", "--libs"), "-o", "hello", cwd=empty)
    check(empty / "hello", prefix, shared=True)


@pytest.mark.parametrize(("compiler", "source"), [("cc", "hello.c"), ("c++", "hello.cpp")])
def test_pkg_config_static(compiler: str, source: str, prefix: Path, empty: Path) -> None:
    """The archive comes first, and what it needs after it: the shared library is then not needed."""
    words = [*flags(prefix, "--cflags"), "-Wl,--gc-sections,--as-needed", "-l:libunsandbox.a"]
    words = [compiler, source, *words, *flags(prefix, "--static", "--libs"), "-o", "hello"]
    run(*words, cwd=empty)
    check(empty / "hello", prefix, shared=False)


@pytest.mark.parametrize(
    ("target", "suffix", "before", "shared"),
    [
        ("unsandbox::unsandbox", "c", "", True),
        ("unsandbox::static", "c", "", False),
        ("unsandbox::unsandbox", "cpp", "set(CMAKE_CXX_STANDARD 17)", True),
        ("unsandbox::static", "cpp", "set(CMAKE_CXX_STANDARD 17)", False),
        ("unsandbox::cpp", "cpp", "", True),
        ("unsandbox::cpp", "cpp", "set(UNSANDBOX_CPP_STATIC ON)", False),
    ],
)
def test_cmake(target: str, suffix: str, before: str, shared: bool, prefix: Path, empty: Path) -> None:
    if shutil.which("cmake") is None:
        pytest.skip("cmake is not installed")
    language = "C" if suffix == "c" else "CXX"
    text = CMAKE.format(language=language, before=before, suffix=suffix, target=target)
    (empty / "CMakeLists.txt").write_text(text)
    run("cmake", "-S", ".", "-B", "out", f"-DCMAKE_PREFIX_PATH={prefix}", cwd=empty)
    run("cmake", "--build", "out", cwd=empty)
    check(empty / "out/hello", prefix, shared)


def test_destdir_is_not_in_what_is_installed(tmp_path: Path) -> None:
    run("make", "install-files", "PROFILE=debug", "PREFIX=/opt/unsandbox", f"DESTDIR={tmp_path}")
    installed = tmp_path / "opt/unsandbox"
    assert "prefix=/opt/unsandbox\n" in (installed / "lib/pkgconfig/unsandbox.pc").read_text()
    for path in installed.rglob("*"):
        if path.is_file() and path.suffix in (".pc", ".cmake", ""):
            assert str(tmp_path).encode() not in path.read_bytes(), path
    run("make", "uninstall", "PREFIX=/opt/unsandbox", f"DESTDIR={tmp_path}")
    assert [path for path in installed.rglob("*") if not path.is_dir()] == []

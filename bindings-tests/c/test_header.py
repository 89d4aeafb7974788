# SPDX-License-Identifier: MIT OR Apache-2.0
"""The header compiles alone in every dialect, and means what the library does."""

from __future__ import annotations

import ctypes
import re
import shutil
from pathlib import Path

import pytest
from conftest import INCLUDE, ROOT, WARNINGS, compiler, run

HERE = Path(__file__).parent


@pytest.mark.parametrize("name", ["gcc", "clang"])
@pytest.mark.parametrize("dialect", ["c99", "c11", "c17", "c2x"])
def test_c_dialects(name: str, dialect: str, tmp_path: Path) -> None:
    command = [compiler(name), f"-std={dialect}", *WARNINGS, f"-I{INCLUDE}", "-c"]
    done = run([*command, HERE / "header_alone.c", "-o", tmp_path / "out.o"])
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["g++", "clang++"])
@pytest.mark.parametrize("dialect", ["c++11", "c++14", "c++17", "c++20"])
def test_cpp_dialects(name: str, dialect: str, tmp_path: Path) -> None:
    command = [compiler(name), "-x", "c++", f"-std={dialect}", *WARNINGS, f"-I{INCLUDE}", "-c"]
    done = run([*command, HERE / "header_alone.c", "-o", tmp_path / "out.o"])
    assert done.returncode == 0, done.stderr


def macro(name: str) -> str:
    text = (INCLUDE / "unsandbox.h").read_text()
    found = re.search(rf"^#define {name} (.+)$", text, re.MULTILINE)
    assert found, name
    return found.group(1)


def test_version_macros_are_those_of_the_workspace_and_the_library(library: Path) -> None:
    manifest = (ROOT / "Cargo.toml").read_text()
    version = re.search(r'^version = "(.+)"$', manifest, re.MULTILINE)
    assert version
    assert macro("UNSANDBOX_VERSION") == f'"{version.group(1)}"'
    loaded = ctypes.CDLL(str(library / "libunsandbox.so"))
    loaded.unsandbox_version.restype = ctypes.c_char_p
    assert loaded.unsandbox_version().decode() == version.group(1)
    assert loaded.unsandbox_abi_version() == int(macro("UNSANDBOX_ABI_VERSION"))


def test_no_field_or_parameter_has_the_name_of_a_macro_of_c() -> None:
    text = (INCLUDE / "unsandbox.cdef").read_text()
    words = set(re.findall(r"\b(?:stdin|stdout|stderr|errno|assert|offsetof|NULL)\b", text))
    assert words == set()


def committed_symbols() -> list[str]:
    lines = (INCLUDE / "unsandbox.symbols").read_text().splitlines()
    return [line.split()[0] for line in lines]


def test_exported_symbols_are_the_committed_ones(library: Path) -> None:
    if shutil.which("nm") is None:
        pytest.skip("nm is not installed")
    done = run(["nm", "-D", "--defined-only", library / "libunsandbox.so"])
    exported = sorted(line.split()[2] for line in done.stdout.splitlines())
    assert exported == committed_symbols()


def test_soname_and_dependencies(library: Path) -> None:
    if shutil.which("readelf") is None:
        pytest.skip("readelf is not installed")
    done = run(["readelf", "-d", library / "libunsandbox.so"])
    assert re.findall(r"\(SONAME\).*\[(.+)\]", done.stdout) == ["libunsandbox.so.0.1"]
    needed = set(re.findall(r"\(NEEDED\).*\[(.+)\]", done.stdout))
    needed = {name for name in needed if not name.startswith("ld-linux")}
    assert needed <= {"libc.so.6", "libm.so.6", "libgcc_s.so.1"}


def test_the_preprocessed_header_is_read_by_a_parser_that_knows_no_directives(library: Path) -> None:
    if shutil.which("php") is None:
        pytest.skip("php is not installed")
    code = "$u = FFI::cdef(file_get_contents($argv[1]), $argv[2]); echo $u->unsandbox_version();"
    done = run(
        ["php", "-d", "ffi.enable=1", "-r", code, INCLUDE / "unsandbox.cdef", library / "libunsandbox.so"]
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert done.stdout == macro("UNSANDBOX_VERSION").strip('"')

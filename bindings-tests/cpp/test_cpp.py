# SPDX-License-Identifier: MIT OR Apache-2.0
"""The C++ header: in each dialect and compiler, with and without exceptions, linked twice, leak-free."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from conftest import INCLUDE, WARNINGS, compiler, run

HERE = Path(__file__).parent
FLAVOURS = {
    "c++17": ["-std=c++17"],
    "c++20": ["-std=c++20"],
    "no-exceptions": ["-std=c++17", "-fno-exceptions", "-fno-rtti"],
}


def built(name: str, flavour: str, library: Path, output: Path) -> Path:
    command = [compiler(name), *FLAVOURS[flavour], *WARNINGS, "-g", f"-I{INCLUDE}"]
    command += [HERE / "smoke.cpp", HERE / "other.cpp", "-o", output]
    done = run([*command, f"-L{library}", "-lunsandbox", f"-Wl,-rpath,{library}", "-lpthread"])
    assert done.returncode == 0, done.stderr
    return output


@pytest.mark.parametrize("name", ["g++", "clang++"])
@pytest.mark.parametrize("flavour", FLAVOURS)
def test_the_whole_header(
    name: str, flavour: str, library: Path, stub: object, tmp_path: Path
) -> None:
    done = run([built(name, flavour, library, tmp_path / "smoke"), stub.url])
    assert (done.returncode, done.stdout, done.stderr) == (0, "good\n", "")


def test_an_exception_of_a_callback_stops_the_program(library: Path, tmp_path: Path) -> None:
    done = run([built("g++", "c++17", library, tmp_path / "smoke"), "local:", "local"])
    assert (done.returncode, done.stdout) == (0, "good\n"), done.stderr


#: Functions of the C API that the C++ header has no use for: it reads the fields of their structs.
BY_THE_STRUCTS = r"unsandbox_(artifact|job|result)_\w+"
#: And the number of the ABI, which a C++ program compares as a C program does.
BESIDE = {"unsandbox_abi_version"}


def test_every_function_of_c_has_its_side_in_cpp() -> None:
    text = (INCLUDE / "unsandbox.hpp").read_text()
    used = set(re.findall(r"\bunsandbox_\w+", text))
    # A function for a field that is not in the struct is called; else the field is read.
    fields = set(re.findall(r"(?:result|job|artifact)_->(\w+)", text))
    for row in (INCLUDE / "unsandbox.symbols").read_text().splitlines():
        name = row.split()[0]
        field = name.split("_", 2)[-1].removeprefix("has_")
        by_struct = re.fullmatch(BY_THE_STRUCTS, name) and (
            {field, f"has_{field}", f"{field}_data", f"{field}s", f"{field}_count"} & fields
        )
        assert name in used or name in BESIDE or by_struct, f"{name} has no side in unsandbox.hpp"


def test_every_setting_and_option_has_a_setter() -> None:
    text = (INCLUDE / "unsandbox.hpp").read_text()
    setters = set(re.findall(r"UNSANDBOX_SETTER\((\w+, \w+),", text))
    names = {"request": "Request", "config": "Config", "options": "Options"}
    #: Where C++ has another word for it.
    other = {
        "Config, timeout_ms": "Config, timeout", "Options, timeout_ms": "Options, timeout",
        "Options, cancel_token": "Options, cancel", "Options, output": "Options, on_output",
        "Options, stdin": "Options, on_stdin", "Request, stdin": "Request, stdin_data",
        "Config, egress_host": "Config, add_egress_host",
    }  # fmt: skip
    for row in (INCLUDE / "unsandbox.symbols").read_text().splitlines():
        found = re.fullmatch(r"unsandbox_(request|config|options)_(?:set|add)_(\w+)", row.split()[0])
        if found:
            wanted = f"{names[found[1]]}, {found[2]}"
            candidates = {other.get(wanted, wanted), wanted.removesuffix("_ms")}
            assert candidates & setters, row


def test_it_leaks_nothing(library: Path, stub: object, tmp_path: Path) -> None:
    if shutil.which("valgrind") is None:
        pytest.skip("valgrind is not installed")
    program = built("g++", "c++17", library, tmp_path / "smoke")
    command = ["valgrind", "--quiet", "--leak-check=full", "--error-exitcode=9", program]
    done = run([*command, stub.url])
    assert (done.returncode, done.stdout) == (0, "good\n"), done.stderr

# SPDX-License-Identifier: MIT OR Apache-2.0
"""Every block of the README runs, and prints what it says. Those in Rust are documentation tests of bindings-tests/rust."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from table.servers import built_command

ROOT = Path(__file__).resolve().parent.parent.parent
README = (ROOT / "README.md").read_text()
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = [(kind, text) for kind, text in FENCE.findall(README)]
FIRST_SCREEN_LINES = 40
#: The command is built already, in debug: the same program as this would build.
BUILD_AND_RUN = "cargo run --release -- "


def blocks(kind: str) -> list[str]:
    found = [text for name, text in BLOCKS if name == kind]
    assert found, f"the README has no block of {kind}"
    return found


@pytest.fixture(autouse=True)
def local(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Commands find `unsandbox` on their path and run on this machine."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/unsandbox").symlink_to(built_command().resolve())
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("UNSANDBOX_URL", "local:")


def shell(text: str, directory: Path) -> str:
    words = ["bash", "-euo", "pipefail", "-c", text]
    process = subprocess.Popen(
        words, cwd=directory, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, start_new_session=True,
    )  # fmt: skip
    try:
        out, err = process.communicate(timeout=120)
    finally:
        # What a block that failed left in the background ends with it.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, out + err
    return out


def test_every_block_has_a_kind_that_is_run() -> None:
    assert {kind for kind, _ in BLOCKS} <= {"python", "c", "cpp", "rust", "console", "sh"}


def test_the_first_screen_is_one_screen() -> None:
    assert README.split("\n## ", 1)[0].count("\n") <= FIRST_SCREEN_LINES


@pytest.mark.parametrize("text", blocks("python"))
def test_python(text: str, tmp_path: Path) -> None:
    program = tmp_path / "readme.py"
    program.write_text(text)
    done = subprocess.run([sys.executable, "-W", "error", program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    prints(text, done.stdout)


@pytest.mark.parametrize(("kind", "standard"), [("c", "c99"), ("cpp", "c++17")])
def test_c_and_cpp(kind: str, standard: str, library: Path, tmp_path: Path) -> None:
    for text in blocks(kind):
        source = tmp_path / f"readme.{kind}"
        source.write_text(text)
        compiler = "cc" if kind == "c" else "c++"
        flags = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", f"-std={standard}", f"-I{ROOT / 'include'}"]
        link = [f"-L{library}", "-lunsandbox", f"-Wl,-rpath,{library}"]
        words = [compiler, *flags, str(source), "-o", str(tmp_path / "readme"), *link]
        built = subprocess.run(words, capture_output=True, text=True, timeout=300)
        assert built.returncode == 0, built.stderr
        done = subprocess.run([tmp_path / "readme"], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        prints(text, done.stdout)


def prints(text: str, output: str) -> None:
    """Holds output against the block's own comment, `prints: …`."""
    said = re.search(r"prints: (.*?)(?: \*/)?$", text, re.MULTILINE)
    assert output.strip() == (said[1] if said else "")


@pytest.mark.parametrize("text", blocks("console"))
def test_console(text: str, tmp_path: Path) -> None:
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        line, _, expected = part.partition("\n")
        assert shell(line.replace(BUILD_AND_RUN, "unsandbox "), ROOT) == expected


def test_sh(tmp_path: Path) -> None:
    (text,) = blocks("sh")
    output = shell(text, tmp_path)
    assert "served\n" in output
    assert '"stdout":"by curl\\n"' in output


def test_links_lead_somewhere() -> None:
    headings = {re.sub(r"[^\w -]", "", it).strip().lower().replace(" ", "-") for it in re.findall(r"^#+ (.*)$", README, re.MULTILINE)}
    for target in re.findall(r"\]\(([^)]+)\)", README):
        if target.startswith("#"):
            assert target[1:] in headings, target
        else:
            path, _, heading = target.partition("#")
            assert (ROOT / path).exists(), target
            named = re.findall(r"^#+ (.*)$", (ROOT / path).read_text(), re.MULTILINE) if heading else []
            assert not heading or heading in {re.sub(r"[^\w -]", "", it).strip().lower().replace(" ", "-") for it in named}, target

# SPDX-License-Identifier: MIT OR Apache-2.0
"""The pages of docs/: their Python blocks run as they stand, and print what the block below them says.

A block with a title needs what the title says (a key, a server), and is only compiled. In an expected
output, "…" stands for anything.
"""

from __future__ import annotations

import ast
import fnmatch
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import unsandbox

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = ["index", "tutorial", "limits", *sorted(f"guides/{it.stem}" for it in (DOCS / "guides").glob("*.md"))]
BLOCK = re.compile(
    r'^```python(?P<title> title="[^"]+")?\n(?P<code>.*?)^```$(?:\n\n```text\n(?P<output>.*?)^```$)?',
    re.MULTILINE | re.DOTALL,
)


class Block(NamedTuple):
    code: str
    output: str | None
    line: int


def blocks(page: str) -> list[Block]:
    text = (DOCS / f"{page}.md").read_text()
    found = []
    for match in BLOCK.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        compile(match["code"], f"{page}.md:{line}", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        if match["title"] is None:
            found.append(Block(match["code"], match["output"], line))
    assert text.count("```python") == len(list(BLOCK.finditer(text)))
    return found


@pytest.mark.parametrize("page", PAGES)
def test_the_blocks_of_a_page_print_what_it_says(page: str, tmp_path: Path) -> None:
    if not blocks(page):
        assert page in ("guides/remote", "guides/notebooks")
        return
    play(page, tmp_path, Path(sys.executable))


def play(page: str, directory: Path, python: Path) -> None:
    """Runs the blocks of a page in an empty directory, by this Python, and compares what they print."""
    written = blocks(page)
    code = json.dumps([block.code for block in written])
    done = subprocess.run(
        [python, "-W", "error", Path(__file__).with_name("run_page.py"), code],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=directory,
        env={**os.environ, "UNSANDBOX_URL": "local:"},
    )
    assert done.returncode == 0, done.stderr
    for block, printed in zip(written, json.loads(done.stdout), strict=True):
        if block.output is not None:
            pattern = re.sub(r"([\[*?])", r"[\1]", block.output).replace("…", "*")
            assert fnmatch.fnmatchcase(printed, pattern), f"{page}.md:{block.line}\n{printed}"


def test_every_page_is_in_the_site() -> None:
    site = (DOCS.parent / "mkdocs.yml").read_text()
    for page in DOCS.rglob("*.md"):
        assert f": {page.relative_to(DOCS)}\n" in site


def test_the_table_of_errors_is_whole() -> None:
    text = (DOCS / "guides" / "errors.md").read_text()
    named = set(re.findall(r"^\| `(\w+)`", text, re.MULTILINE))
    kinds = {kind.__name__ for kind in unsandbox.UnsandboxError.__subclasses__()}
    assert named == kinds - {"ExecutionError"}

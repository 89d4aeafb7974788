# SPDX-License-Identifier: MIT OR Apache-2.0
"""docs/guides/operator.md: its blocks run one after the other in one shell, and print what the block below them says.

A block with a title needs what the title says, and is only read. In an expected output, "…" stands for anything.
"""

from __future__ import annotations

import fnmatch
import os
import re
import signal
import socket
import subprocess
from pathlib import Path

from table.servers import built_command

PAGE = Path(__file__).resolve().parents[2] / "docs/guides/operator.md"
BLOCK = re.compile(r"^```sh\n(?P<code>.*?)^```$(?:\n\n```text\n(?P<output>.*?)^```$)?", re.MULTILINE | re.DOTALL)
#: Printed between two blocks.
END = "--- end of a block ---"


def free_port() -> str:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return str(held.getsockname()[1])


def test_the_steps_of_an_operator_do_what_the_page_says(tmp_path: Path) -> None:
    blocks = list(BLOCK.finditer(PAGE.read_text()))
    assert len(blocks) > 8
    script = "".join(f"{block['code']}echo '{END}'\n" for block in blocks)
    for port in ("8443", "9100"):
        script = script.replace(port, free_port())
    # Whatever level the machine of the test has.
    script = script.replace("unsandbox serve ", "unsandbox serve --isolation auto --grace 0 ")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/unsandbox").symlink_to(built_command())
    kept = {name: value for name, value in os.environ.items() if not name.startswith("UNSANDBOX_")}
    env = {**kept, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    work = tmp_path / "work"
    work.mkdir()
    # A session of its own: the server and its successor end with it.
    command = ["bash", "-euo", "pipefail", "-c", script]
    shell = subprocess.Popen(command, cwd=work, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        out, errors = shell.communicate(timeout=120)
    finally:
        os.killpg(shell.pid, signal.SIGKILL)
    assert shell.returncode == 0, f"{errors}\n{(work / 'log.jsonl').read_text()}"
    assert "ttl is 61" in errors, errors
    printed = out.split(f"{END}\n")
    assert printed.pop() == ""
    for block, given in zip(blocks, printed, strict=True):
        pattern = re.sub(r"([\[*?])", r"[\1]", block["output"] or "").replace("…", "*")
        assert fnmatch.fnmatchcase(given.strip(), pattern.strip()), f"{block['code']}\n{given}"

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
from table.servers import built_command

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = ["index", "tutorial", "limits", "security", *sorted(f"guides/{it.stem}" for it in (DOCS / "guides").glob("*.md"))]
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
        assert page in ("guides/remote", "guides/notebooks", "guides/deployment", "guides/operator")
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


CURL = re.compile(r"^```sh\n(?P<code>.*?)^```$(?:\n\n```(?:json|text)\n(?P<reply>.*?)^```$)?", re.MULTILINE | re.DOTALL)


def test_every_curl_line_gets_the_reply_below_it() -> None:
    written = list(CURL.finditer((DOCS / "reference/http.md").read_text()))
    command = [built_command(), "serve", "--listen", "127.0.0.1:0", "--isolation", "auto", "--store", "memory"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        url = server.stdout.readline().removeprefix("listening on ").strip()
        try:
            for block in written:
                words = ["bash", "-euo", "pipefail", "-c", block["code"]]
                done = subprocess.run(words, capture_output=True, text=True, timeout=60, env={**os.environ, "URL": url})
                assert done.returncode == 0, done.stderr
                pattern = re.sub(r"([\[*?])", r"[\1]", block["reply"].strip()).replace("…", "*")
                assert fnmatch.fnmatchcase(done.stdout.strip(), pattern), f"{block['code']}\n{done.stdout}"
        finally:
            server.terminate()


def routes() -> set[str]:
    """The operations of the server, as `METHOD /path`, read from the source of its router."""
    source = (DOCS.parent / "crates/unsandbox-server/src/routes.rs").read_text()
    rows = re.findall(r'\.route\("([^"]+)", ([^\n]+)\)\n', source)
    assert rows and len(rows) == source.count(".route(")
    found = set()
    for path, handlers in rows:
        methods = re.findall(r"\b(get|post|put|patch|delete)\(\w+\)", handlers)
        assert methods, f"no method is read from {handlers!r}"
        found |= {f"{method.upper()} {path}" for method in methods}
    return found


def calls(code: str) -> set[str]:
    """The operations that the curl lines of a block ask for."""
    found = set()
    for line in re.findall(r'curl -sS [^\n|]*"\$URL[^\n|]*', code):
        named = re.search(r" -X (\w+)", line)
        method = named[1] if named else "POST" if re.search(r" (?:-d|--data-binary) ", line) else "GET"
        path = re.search(r'"\$URL([^"?]*)', line)
        assert path, line
        found.add(f"{method} {path[1].replace('$id', '{id}').replace('$name', '{name}')}")
    return found


def test_the_operations_over_http_are_those_of_the_server() -> None:
    page = (DOCS / "reference/http.md").read_text()
    assert set(re.findall(r"^\| `([A-Z]+ /[^`]*)` \|", page, re.MULTILINE)) == routes()
    assert set(re.findall(r"`((?:GET|POST|PUT|PATCH|DELETE) /[^`]*)`", page)) <= routes()
    assert set().union(*(calls(block["code"]) for block in CURL.finditer(page))) == routes()


def test_every_variable_that_is_read_is_documented() -> None:
    page = (DOCS / "reference/environment.md").read_text()
    root = DOCS.parent
    sources = [*root.glob("crates/*/src/**/*.rs"), *root.glob("python/unsandbox/*.py")]
    text = "\n".join(path.read_text() for path in sources)
    read = set(re.findall(r'"(UNSANDBOX_[A-Z_]+|[A-Za-z]+_(?:proxy|PROXY)|TMPDIR|XDG_\w+|CREDENTIALS_DIRECTORY)"', text))
    read |= set(re.findall(r'^choose = "(\w+)"', (root / "crates/unsandbox-protocol/languages.toml").read_text(), re.MULTILINE))
    # Those that the engine sets for programs; of builds and tests. HTTP_PROXY is looked at to be left out: a web server may set it from a request.
    read -= {"ftp_proxy", "socks_proxy", "UNSANDBOX_UPDATE", "UNSANDBOX_JAILER_PROGRAM", "HTTP_PROXY"}
    read -= {"UNSANDBOX_OUTPUT_OBJECT", "UNSANDBOX_PYTHON_OBJECT"}
    assert {name for name in read if f"`{name}`" not in page} == set()
    named = set(re.findall(r"`(UNSANDBOX_\w+)`", page))
    assert named <= read


def test_the_page_on_operations_has_every_option_and_every_field_of_a_result() -> None:
    page = (DOCS / "reference/operations.md").read_text()
    options, results = page.split("## Options\n")[1].split("\n## ")[0], page.split("## Results\n\n")[1].split("\n\n")[0]
    # The table over HTTP is written from the table of options; `runtime` is for the local engine alone.
    over_http = (DOCS / "reference/http.md").read_text().split("<!-- table: options -->")[1].split("<!-- end -->")[0]
    named = {name for cell in re.findall(r"^\| (`[^|]+`) \|", options, re.MULTILINE) for name in re.findall(r"`(\w+)`", cell)}
    assert named == {*re.findall(r"^\| `(\w+)` \|", over_http, re.MULTILINE), "runtime"}
    source = (DOCS.parent / "crates/unsandbox-protocol/src/result.rs").read_text()
    fields = source.split("pub struct ExecutionResult {")[1].split("\n}")[0]
    assert set(re.findall(r"`(\w+)`", results.split("Files that")[0])) == set(re.findall(r"pub (\w+):", fields)) - {"raw"}


def test_the_page_on_rust_names_every_function_of_the_client() -> None:
    """And no other: a name with `::` is a public function of a source that has its type."""
    page = (DOCS / "reference/rust.md").read_text()
    root = DOCS.parent / "crates"
    sources = [path.read_text() for crate in ("unsandbox", "unsandbox-protocol") for path in (root / crate / "src").rglob("*.rs")]
    named = set(re.findall(r"`(\w+)::(\w+)`", page))
    for kind, function in named:
        homes = [it for it in sources if re.search(rf"^(?:impl|pub trait) {kind}\b", it, re.MULTILINE)]
        assert any(re.search(rf"\bfn {function}\b", it) for it in homes), f"{kind}::{function} is not there"
    for kind, file in (("Client", "client.rs"), ("ClientBuilder", "builder.rs")):
        text = re.sub(r"#\[doc\(hidden\)\]\n *pub fn \w+", "", (root / "unsandbox/src" / file).read_text())
        public = {(kind, it) for it in re.findall(r"^    pub fn (\w+)", text, re.MULTILINE)}
        assert public <= named, public - named


def test_every_page_is_in_the_site() -> None:
    site = (DOCS.parent / "mkdocs.yml").read_text()
    for page in DOCS.rglob("*.md"):
        assert f": {page.relative_to(DOCS)}\n" in site


def test_the_table_of_errors_is_whole() -> None:
    text = (DOCS / "guides" / "errors.md").read_text()
    named = set(re.findall(r"^\| `(\w+)`", text, re.MULTILINE))
    kinds = {kind.__name__ for kind in unsandbox.UnsandboxError.__subclasses__()}
    assert named == kinds - {"ExecutionError"}

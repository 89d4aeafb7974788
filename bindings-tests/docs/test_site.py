# SPDX-License-Identifier: MIT OR Apache-2.0
"""The site builds without a warning, and its references have everything that there is to look up."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
import unsandbox

ROOT = Path(__file__).resolve().parents[2]
MKDOCS = ROOT / "build/venv-extras/bin/mkdocs"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not MKDOCS.exists():
        pytest.skip("build/venv-extras is not there (`make deps` makes it)")
    directory = tmp_path_factory.mktemp("site")
    # Strict: a link that leads nowhere, a page that is not in the site and a docstring that does not fit
    # its function are errors.
    done = subprocess.run(
        [MKDOCS, "build", "-q", "--strict", "-d", directory],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    return directory


def headings(site: Path, page: str) -> set[str]:
    html = (site / "reference" / page / "index.html").read_text()
    return set(re.findall(r'<h[2-5] id="([^"]+)"', html))


def test_every_name_of_python_can_be_looked_up(site: Path) -> None:
    found = {it.rpartition(".")[2] for it in headings(site, "python")}
    assert {*unsandbox.__all__, "map", "job_id", "status"} - {"__version__"} <= found


def test_every_function_of_c_can_be_looked_up(site: Path) -> None:
    symbols = (ROOT / "include/unsandbox.symbols").read_text()
    functions = set(re.findall(r"^(unsandbox_\w+)", symbols, re.MULTILINE))
    assert len(functions) > 100
    assert functions <= headings(site, "c")


def test_every_class_of_cpp_can_be_looked_up(site: Path) -> None:
    header = (ROOT / "include/unsandbox.hpp").read_text()
    header = re.sub(r"^namespace detail \{.*?^\}", "", header, flags=re.MULTILINE | re.DOTALL)
    classes = re.findall(r"^(?:enum class|class|struct)(?: \[\[\w+\]\])? (\w+)", header, re.MULTILINE)
    assert len(classes) > 15
    assert {name.lower() for name in classes} - {"deleter", "builder"} <= headings(site, "cpp")


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        for tag in re.findall(r"<(?:script|link|img)[^>]*>", page.read_text()):
            assert not re.search(r'(?:src|href)="(?:https?:)?//', tag), (page, tag)

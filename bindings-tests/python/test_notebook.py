# SPDX-License-Identifier: MIT OR Apache-2.0
"""A notebook, executed and rendered: text, coloured errors, and a plot that was made in the sandbox."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

EXTRAS = Path(__file__).resolve().parents[2] / "build/venv-extras/bin/python"


def test_a_notebook_shows_text_errors_and_a_plot(tmp_path: Path) -> None:
    if not EXTRAS.exists():
        pytest.skip("build/venv-extras is not there (`make deps` makes it)")
    done = subprocess.run(
        [EXTRAS, Path(__file__).with_name("notebook.py")],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    html = report["html"]
    assert "a plot was made" in html
    assert "&lt;b&gt;bold&lt;/b&gt;" in html and "<b>bold</b>" not in html
    assert '<pre class="unsandbox-stderr"' in html and 'color:#c62828">trouble' in html
    assert "bash · exit code 3 · " in html
    height, width, _ = report["shape"]
    assert height >= 100 and width >= 100
    assert report["colours"] > 10

# SPDX-License-Identifier: MIT OR Apache-2.0
"""THIRD-PARTY names every crate that is shipped, each under a licence that asks only to be named."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def test_the_list_is_up_to_date() -> None:
    done = subprocess.run([sys.executable, ROOT / "scripts/third-party", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_it_has_licence_and_words_of_what_is_linked() -> None:
    head, *texts = (ROOT / "THIRD-PARTY").read_text().split("=" * 100)
    for name in ("ureq", "rustls", "ring", "serde_json", "clap", "tokio", "pyo3", "landlock"):
        assert f"\n{name} " in head, name
        assert any(f"{name} " in text.splitlines()[1] for text in texts), name

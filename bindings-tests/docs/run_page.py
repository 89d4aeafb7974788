# SPDX-License-Identifier: MIT OR Apache-2.0
"""Runs the blocks of a page one after the other in one program; gives what each printed, as JSON."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from pathlib import Path


def main() -> None:
    namespace: dict[str, object] = {"__name__": "__main__"}
    printed = []
    for index, code in enumerate(json.loads(sys.argv[1])):
        # A file of its own, as functions that travel need their source.
        path = Path(f"block{index}.py").resolve()
        path.write_text(code)
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(code, str(path), "exec"), namespace)
        printed.append(out.getvalue())
    json.dump(printed, sys.stdout)


if __name__ == "__main__":
    main()

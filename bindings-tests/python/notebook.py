# SPDX-License-Identifier: MIT OR Apache-2.0
"""Executes a notebook and renders it as HTML; run by build/venv-extras, whose Python draws the plot.

Prints, as JSON, what test_notebook.py asks about.
"""

from __future__ import annotations

import base64
import io
import json
import re
import sys

import nbconvert
import nbformat
from matplotlib import image
from nbclient import NotebookClient

PLOT = """
import unsandbox
client = unsandbox.Client(base_url="local:")
client.execute("python", '''
import os
import matplotlib
matplotlib.use("Agg")
from matplotlib import pyplot
pyplot.plot([1, 4, 9, 16])
os.makedirs("artifacts", exist_ok=True)
pyplot.savefig("artifacts/plot.png")
print("a", "plot", "was", "made")
''', runtime=PYTHON, ttl=120, env={"MPLCONFIGDIR": "/tmp"})
"""
CELLS = [
    PLOT.replace("PYTHON", repr(sys.executable)),
    "client.execute('bash', 'echo \"<b>bold</b>\"; echo trouble >&2; exit 3')",
    "client.close()",
]


def main() -> None:
    cells = [nbformat.v4.new_code_cell(cell) for cell in CELLS]
    notebook = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(notebook, timeout=180, kernel_name="python3").execute()
    html, _ = nbconvert.HTMLExporter().from_notebook_node(notebook)
    found = re.search(r'<img [^>]*src="data:image/png;base64,([^"]+)"', html)
    pixels = image.imread(io.BytesIO(base64.b64decode(found[1]))) if found else None
    report = {
        "html": html,
        "shape": [] if pixels is None else list(pixels.shape),
        "colours": 0 if pixels is None else len({tuple(it) for row in pixels for it in row.tolist()}),
    }
    json.dump(report, sys.stdout)


if __name__ == "__main__":
    main()

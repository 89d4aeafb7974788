# SPDX-License-Identifier: MIT OR Apache-2.0
# In place of python.rs where Python does not load modules of the stable ABI (PyPy, free-threaded builds): each line is
# shown at once, however many there are.
import os
import sys

here = __file__.rpartition("/")[0]
sys.path.remove(here)
first, _, rest = os.environ.get("PYTHONPATH", "").partition(":")
if first == here:
    del os.environ["PYTHONPATH"]
    if rest:
        os.environ["PYTHONPATH"] = rest
for stream in (sys.stdout, sys.stderr):
    if stream:
        stream.reconfigure(line_buffering=True)
del sys.modules["sitecustomize"]
import sitecustomize  # the installation's own, if there is one

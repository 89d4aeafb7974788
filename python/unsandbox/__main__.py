# SPDX-License-Identifier: MIT OR Apache-2.0
"""`python -m unsandbox`: the same command as `unsandbox`."""

import sys

from ._cli import main

if __name__ == "__main__":
    sys.exit(main())

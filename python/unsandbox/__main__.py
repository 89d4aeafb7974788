# SPDX-License-Identifier: MIT OR Apache-2.0
"""`python -m unsandbox`: the same command as `unsandbox`."""

import sys

from ._cli import main

sys.exit(main())

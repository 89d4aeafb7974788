# SPDX-License-Identifier: MIT OR Apache-2.0
"""Runs one program and prints what it wrote."""

import sys

import unsandbox

result = unsandbox.execute("python", "print(6 * 7)")
print(result.stdout, end="")
sys.exit(result.exit_code)

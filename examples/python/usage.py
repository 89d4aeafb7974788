# SPDX-License-Identifier: MIT OR Apache-2.0
"""Runs a program, and tells what runs now, what may run at once, and what has ended."""

import unsandbox

unsandbox.execute("bash", "echo done")
usage = unsandbox.usage()
print(f"{usage.running} of {usage.limits.concurrency} run")
for status, count in usage.runs.items():
    print(f"{count} {status}")

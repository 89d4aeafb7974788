# SPDX-License-Identifier: MIT OR Apache-2.0
"""Submits a program as a job, tells how it is while it runs, and takes its result at the end."""

import unsandbox

job = unsandbox.execute_async("bash", "sleep 1; echo finished", ttl=30)
result = job.wait(on_update=lambda job: print("it is", job.status))
print(f"it ended with {result.exit_code}: {result.stdout}", end="")

# SPDX-License-Identifier: MIT OR Apache-2.0
"""Submits a program as a job, looks at it while it runs, and waits for its end."""

import unsandbox

job = unsandbox.execute_async("bash", "sleep 0.2; echo finished", ttl=30)
print("the job is", "over already" if job.refresh().done else "under way")
result = job.wait()
print(f"it is {result.status}, exit code {result.exit_code}: {result.stdout}", end="")

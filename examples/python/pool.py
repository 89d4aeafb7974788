# SPDX-License-Identifier: MIT OR Apache-2.0
"""Runs many programs at once: a few threads share one client, and each takes the next program."""

import unsandbox

numbers = range(12)
with unsandbox.Executor(max_workers=4, language="bash") as pool:
    results = pool.map(f"echo $(({n} * {n}))" for n in numbers)
    for number, result in zip(numbers, results):
        print(f"{number} squared is {result.stdout}", end="")

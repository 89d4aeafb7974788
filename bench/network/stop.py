# SPDX-License-Identifier: MIT OR Apache-2.0
"""As stop.c, from Python: `stop.py PORT HOW`."""

from __future__ import annotations

import asyncio
import sys
import time

import unsandbox

port, how = sys.argv[1:]
url = f"http://127.0.0.1:{port}"
ended_at = time.monotonic_ns() + 50_000_000


async def cancelled() -> None:
    """A task that is cancelled is what Python has for a token."""
    global ended_at
    async with unsandbox.AsyncClient(base_url=url) as client:
        task = asyncio.create_task(client.execute("python", "hang"))
        await asyncio.sleep(0.05)
        ended_at = time.monotonic_ns()
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            print(time.monotonic_ns() - ended_at)


print("ready", flush=True)
if how == "token":
    asyncio.run(cancelled())
else:
    client = unsandbox.Client(base_url=url)
    ended_at = time.monotonic_ns() + 50_000_000
    try:
        client.execute("python", "hang", timeout=0.05 if how == "deadline" else None)
    except unsandbox.RequestTimeoutError:
        print(time.monotonic_ns() - ended_at)
    except KeyboardInterrupt:
        print(time.monotonic_ns())

# SPDX-License-Identifier: MIT OR Apache-2.0
"""Runs programs from an event loop: each is awaited, and the loop has its hands free meanwhile."""

import asyncio

from unsandbox import AsyncClient


async def main() -> None:
    async with AsyncClient() as client:
        programs = ("sleep 0.3; echo one", "sleep 0.2; echo two", "echo three")
        for done in asyncio.as_completed([client.execute("bash", code) for code in programs]):
            print("a program wrote", (await done).stdout, end="")


asyncio.run(main())

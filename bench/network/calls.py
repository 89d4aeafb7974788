# SPDX-License-Identifier: MIT OR Apache-2.0
"""The contenders in Python: `calls.py NAME PORT`, by the protocol of common.h.

`requests` and `httpx` make a dict of the reply, `unsandbox` its result.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

KEY = "benchmark-key"
REQUEST = {"language": "python", "code": "print(1)", "network_mode": "zerotrust", "ttl": 60}


def by_session(session: object, url: str) -> Callable[[], bool]:
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    body = json.dumps(REQUEST).encode()

    def call() -> bool:
        reply = session.post(f"{url}/execute", headers=headers, **{BODY_IS: body})
        reply.raise_for_status()
        return bool(reply.json()["success"])

    return call


name, url = sys.argv[1], f"http://127.0.0.1:{sys.argv[2]}"
BODY_IS = "content" if name == "httpx" else "data"
if name == "requests":
    import requests

    call = by_session(requests.Session(), url)
elif name == "httpx":
    import httpx

    call = by_session(httpx.Client(), url)
else:
    import unsandbox

    client = unsandbox.Client(KEY, base_url=url)

    def call() -> bool:
        return client.execute("python", "print(1)").success


for line in sys.stdin:
    wall, cpu = time.monotonic_ns(), time.process_time_ns()
    for _ in range(int(line)):
        assert call()
    print(time.monotonic_ns() - wall, time.process_time_ns() - cpu, flush=True)

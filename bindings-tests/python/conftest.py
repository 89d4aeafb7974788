# SPDX-License-Identifier: MIT OR Apache-2.0
"""Clients: of the stub server, and of the engine of this machine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import unsandbox
from stub import Stub


@pytest.fixture
def client(stub: Stub) -> Iterator[unsandbox.Client]:
    with unsandbox.Client(base_url=stub.url, retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def local() -> Iterator[unsandbox.Client]:
    with unsandbox.Client(base_url="local:") as client:
        try:
            client.execute("bash", "true")
        except unsandbox.IsolationUnavailableError as error:
            pytest.skip(f"no sandbox on this machine: {error}")
        yield client

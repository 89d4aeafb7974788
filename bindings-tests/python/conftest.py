# SPDX-License-Identifier: MIT OR Apache-2.0
"""A client of the stub server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import unsandbox
from stub import Stub


@pytest.fixture
def client(stub: Stub) -> Iterator[unsandbox.Client]:
    with unsandbox.Client(base_url=stub.url, retries=0) as client:
        yield client

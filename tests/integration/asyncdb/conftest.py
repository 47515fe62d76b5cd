"""The surroundings a pool lives in: two of them real, and one in virtual time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from asyncdb.testing import VirtualTime
from tests.integration.asyncdb.running import Drive, runAsyncio, runReactor


@pytest.fixture(params=["reactor", "asyncio"])
def drive(request: pytest.FixtureRequest) -> Drive:
    """Runs a coroutine function: on a reactor of its own, and as an asyncio program."""
    return runReactor if request.param == "reactor" else runAsyncio


@pytest.fixture
def time() -> Iterator[VirtualTime]:
    """Time that passes when the test says so."""
    with VirtualTime() as time:
        yield time

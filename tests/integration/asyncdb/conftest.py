"""Both surroundings a pool lives in."""

from __future__ import annotations

import pytest

from tests.integration.asyncdb.running import Drive, runAsyncio, runReactor


@pytest.fixture(params=["reactor", "asyncio"])
def drive(request: pytest.FixtureRequest) -> Drive:
    """Runs a coroutine function: on a reactor of its own, and as an asyncio program."""
    return runReactor if request.param == "reactor" else runAsyncio

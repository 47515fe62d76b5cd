"""What the tests of the finger example share: its databases, its store, its commands."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

if TYPE_CHECKING:
    from examples.finger.store import Store

T = TypeVar("T")


@pytest.fixture(params=["sqlite", "postgresql"])
def finger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind, for the finger service."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'finger.sqlite3'}"
    database: Any = request.getfixturevalue("database")
    url: str = database.url
    return url


@pytest.fixture
def finger(spawn: Any) -> Any:
    """Runs a command of the finger example to its end; returns its exit status and what it printed."""

    def run(*arguments: str) -> tuple[int, str]:
        program = spawn.module("examples.finger", *arguments)
        return program.wait(), program.output

    return run


def with_store(url: str, main: Callable[[Store], Awaitable[T]]) -> T:
    """What *main* returns when it was given a store, which is closed afterwards."""
    from examples.finger.store import Store  # here, so that a plugin of every test run does not load the example

    async def run() -> T:
        store = Store.fromURL(url)
        try:
            return await main(store)
        finally:
            await store.close()

    return asyncio.run(run())

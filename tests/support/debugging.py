"""Debug mode in tests: switched on for one, and afterwards as it was (the whole run may have NETCORE_DEBUG=1)."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from netcore import debug
from tests.support.guard import kept


class Reports(logging.Handler):
    """The records of the logger ``netcore.debug``; *came* is set by the first.

    Attributes: *mark*, what the report of a callback that holds its loop must contain to count. On a busy machine any
        callback may have to wait for the processor, and so hold its loop.
    """

    def __init__(self, mark: str) -> None:
        super().__init__(logging.WARNING)
        self.mark = mark
        self.records: list[logging.LogRecord] = []
        self.came = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        if not hasattr(record, "heldFor") or self.mark in record.getMessage():
            self.records.append(record)
            self.came.set()

    @property
    def texts(self) -> list[str]:
        return [record.getMessage() for record in self.records]


@contextmanager
def switched(on: bool, slow_callback: float = math.inf) -> Iterator[None]:
    """Debugging on, or off, for a while."""
    before = debug.isEnabled()
    debug.disable()
    if on:
        debug.enable(slow_callback)
    try:
        yield
    finally:
        debug.disable()
        if before:
            with kept():  # its watchdog
                debug.enable()


@pytest.fixture
def debugging() -> Iterator[None]:
    """Debugging is on, without a watchdog."""
    with switched(True):
        yield


@pytest.fixture
def not_debugging() -> Iterator[None]:
    """Debugging is off."""
    with switched(False):
        yield


@pytest.fixture
def reports(request: pytest.FixtureRequest) -> Iterator[Reports]:
    """What debugging reports, but for unhandled failures (those are `logged`). Callbacks are the test's own."""
    handler = Reports(f"{request.node.originalname}.<locals>.")
    logger = logging.getLogger("netcore.debug")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)

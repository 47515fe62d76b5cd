"""The guard: a test that leaves something behind fails.

Watched are the delayed calls of every live netcore reactor, open descriptors (on Linux), threads, and errors logged by
netcore and asyncdb that the test did not claim; an unhandled Deferred failure is one of those. Only what is new since
the test began counts, so that one leak fails one test, and a test that failed anyway is not judged: its traceback
keeps its objects alive. What the fixtures of a session set up is kept, although a test may be the first to ask for one,
in its middle.

The guard's fixture is the first of each test to be set up and the last to be torn down. What is on its way out then (a
thread past its last statement, a socket that the kernel still owns) is waited for, `GRACE` seconds at most.
"""

from __future__ import annotations

import gc
import logging
import os
import sys
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.waiting import wait_until

GRACE = 2.0
WATCHED_LOGGERS = ("netcore", "asyncdb")

_failed = pytest.StashKey[bool]()
_kept_descriptors: dict[int, str] = {}
_kept_threads: set[threading.Thread] = set()


class Logged(logging.Handler):
    """The records of level ERROR and above that netcore and asyncdb logged during this test and nobody claimed."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self._records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self._records.append(record)

    @property
    def records(self) -> list[logging.LogRecord]:
        gc.collect()  # a lost Deferred reports its failure when it is collected
        return list(self._records)

    def take(self, *kinds: type[BaseException]) -> list[logging.LogRecord]:
        """Claim the records about an exception of one of these *kinds*, or all records if none is given."""
        taken = [record for record in self.records if not kinds or isinstance(_exception_of(record), kinds)]
        self._records = [record for record in self._records if record not in taken]
        return taken


def _exception_of(record: logging.LogRecord) -> BaseException | None:
    return record.exc_info[1] if record.exc_info else None


def _open_descriptors() -> dict[int, str]:
    """Each open descriptor and what it leads to; empty where there is no /proc."""
    found: dict[int, str] = {}
    try:
        numbers = [int(name) for name in os.listdir("/proc/self/fd")]
    except FileNotFoundError:
        return found
    for number in numbers:
        try:
            found[number] = os.readlink(f"/proc/self/fd/{number}")
        except FileNotFoundError:  # the one that listed the directory
            pass
    return found


def _delayed_calls() -> list[Any]:
    reactors = sys.modules.get("netcore.reactors")  # not imported: there is no reactor
    return [call for reactor in reactors.live() for call in reactor.getDelayedCalls()] if reactors else []


class _Snapshot:
    """What there was when the test began."""

    def __init__(self) -> None:
        self.calls = _delayed_calls()
        self.descriptors = _open_descriptors()
        self.threads = set(threading.enumerate())

    def new_calls(self) -> list[Any]:
        return [call for call in _delayed_calls() if call not in self.calls]

    def new_threads(self) -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread not in self.threads | _kept_threads]

    def new_descriptors(self) -> dict[int, str]:
        expected = (self.descriptors.items() | _kept_descriptors.items()) if sys.platform == "linux" else set()
        return {number: target for number, target in _open_descriptors().items() if (number, target) not in expected}

    def leaks(self) -> list[str]:
        deadline = time.monotonic() + GRACE
        for thread in self.new_threads():
            if thread is not threading.current_thread() and not isinstance(thread, threading._DummyThread):
                thread.join(max(0.0, deadline - time.monotonic()))
        gc.collect()
        try:
            wait_until(lambda: not self.new_descriptors(), "descriptors are closed", deadline - time.monotonic())
        except AssertionError:
            pass  # they are named below
        return [
            *(f"delayed call: {call}" for call in self.new_calls()),
            *(
                f"thread: {thread.name} ({'daemon' if thread.daemon else 'not daemon'})"
                for thread in self.new_threads()
            ),
            *(f"open descriptor: {number} -> {target}" for number, target in self.new_descriptors().items()),
        ]


@contextmanager
def kept() -> Iterator[None]:
    """What is opened or started inside may outlive the test."""
    before = _Snapshot()
    yield
    _kept_descriptors.update(before.new_descriptors())
    _kept_threads.update(before.new_threads())


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any]) -> Generator[None, object, object]:
    """What a fixture of the session sets up is kept."""
    if fixturedef.scope != "session":
        return (yield)
    with kept():
        return (yield)


@pytest.fixture(autouse=True)
def guard(request: pytest.FixtureRequest) -> Iterator[Logged]:
    logged = Logged()
    for name in WATCHED_LOGGERS:
        logging.getLogger(name).addHandler(logged)
    before = _Snapshot()
    try:
        yield logged
        if request.node.stash.get(_failed, False):
            return
        leaks = before.leaks()
        formatter = logging.Formatter("%(name)s: %(message)s")
        leaks += [f"unclaimed error, logged by {formatter.format(record)}" for record in logged.records]
        if leaks:
            pytest.fail("the test left behind:\n" + "\n".join(leaks), pytrace=False)
    finally:
        for name in WATCHED_LOGGERS:
            logging.getLogger(name).removeHandler(logged)


@pytest.fixture
def logged(guard: Logged) -> Logged:
    """Errors that netcore and asyncdb logged: a test claims those it expects with `logged.take(KindOfException)`."""
    return guard


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        item.stash[_failed] = True
    return report


def pytest_collection_finish() -> None:
    """Take what the imports made out of the collector's sight: a collection per test then costs a millisecond."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def _nothing_piles_up() -> Iterator[None]:
    """The same for what a file's tests have left in the caches of libraries (hypothesis: 40 ms for each test after)."""
    yield
    gc.collect()
    gc.freeze()

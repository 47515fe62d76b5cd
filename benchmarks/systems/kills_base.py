"""What is asked of a pool whose connections are killed: statements held back by a lock, and then nine questions."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from concurrent.futures import Future
from typing import Any

from benchmarks.systems.base import ReactorHost

PATIENCE = 20.0  # seconds; who has no answer by then has failed

QUESTION, ANSWER = "SELECT 42", 42


class Asked(ABC):
    """A pool that can be asked from the orders' thread."""

    def __init__(self) -> None:
        self._held: list[Future[Any]] = []
        logging.getLogger().addHandler(logging.NullHandler())  # what it logs of lost connections is no part of a table

    @abstractmethod
    def submit(self, sql: str) -> Future[Any]:
        """Ask; the Future gets the first column of the first row."""

    def hold(self, sql: str, count: int) -> None:
        """Have *count* connections run a statement that does not end."""
        self._held = [self.submit(sql) for _ in range(count)]

    def release(self) -> int:
        """Wait until those have ended, one way or the other; returns how many failed."""
        held, self._held = self._held, []
        return sum(_failure(future, None) is not None for future in held)

    def ask(self, count: int, at_once: bool) -> list[str]:
        """Ask *count* questions, in turn or all at once; returns the errors of those that failed."""
        if at_once:
            failures = [_failure(future, ANSWER) for future in [self.submit(QUESTION) for _ in range(count)]]
        else:
            failures = [_failure(self.submit(QUESTION), ANSWER) for _ in range(count)]
        return [failure for failure in failures if failure is not None]


def _failure(future: Future[Any], expected: int | None) -> str | None:
    try:
        answer = future.result(PATIENCE)
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    return None if expected is None or answer == expected else f"answered {answer!r}, not {expected!r}"


class OnReactor(Asked):
    """A pool with `runQuery`, on a reactor."""

    def __init__(self, reactor: Any, pool: Any) -> None:
        super().__init__()
        self._host = ReactorHost(reactor)
        self._pool = pool

    def start(self) -> None:
        self._host.start()

    def submit(self, sql: str) -> Future[Any]:
        future: Future[Any] = Future()

        def ask() -> None:
            answer = self._pool.runQuery(sql).addCallback(lambda rows: rows[0][0])
            answer.addCallbacks(future.set_result, lambda failure: future.set_exception(failure.value))

        self._host.reactor.callFromThread(ask)
        return future

    def stop(self) -> None:
        self._host.call(self._pool.close)
        self._host.stop()

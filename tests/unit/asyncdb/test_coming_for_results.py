"""How often a worker has the host come for results: seldom while many calls wait, at once when few do."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from asyncdb import ConnectionPool
from asyncdb._core._crowd import SAMPLE
from asyncdb._worker._crew import Crew
from asyncdb.testing import ScriptedDriver
from tests.property.crew_worlds import TurnHost

COUNT = 3 * SAMPLE
"""So many calls: some of them are looked at."""


class Load:
    """`COUNT` calls that one worker makes one after another, in the test's thread, as soon as `work` says so."""

    def __init__(self) -> None:
        self.host = TurnHost()
        self.driver = ScriptedDriver()
        self.pool: Any = ConnectionPool(self.driver, cp_max=1, cp_min=0)
        self.pool._tasks.prepare()
        pool = self.pool
        self.crew = pool._crew = Crew(pool._options, pool._driver, self.host, "load", pool.disconnect)
        self.threads: deque[Callable[[], object]] = deque()
        threads: Any = self.crew._threads
        threads.callInThread = lambda function, *args: self.threads.append(partial(function, *args))
        self.answered: list[int] = []
        self.asked: list[int] = []  # before each call, how often the host was asked to come
        for number in range(COUNT):
            self.pool.runQuery("SELECT people").addCallback(self._answer, number)
        self.driver.when("execute", self._execute)

    def _answer(self, rows: Any, number: int) -> None:
        self.answered.append(number)

    def _execute(self, *args: Any) -> None:
        self.asked.append(len(self.host.asked))
        if len(self.asked) == 3:  # it comes for two together, and from now on by itself
            self.host.turn()

    def work(self) -> None:
        """Do what the worker has to do."""
        while self.threads:
            self.threads.popleft()()


@pytest.fixture
def load() -> Iterator[Load]:
    load = Load()
    yield load
    load.crew.end_now()


def test_it_is_asked_once_until_it_comes_by_itself_and_again_when_few_wait(load: Load) -> None:
    load.work()
    assert load.asked[:3] == [0, 1, 1]
    assert load.asked[3:-1] == [0] * (COUNT - 4)
    assert load.asked[-1] == 1
    load.host.turn()  # before it comes by itself
    assert load.answered == list(range(COUNT))

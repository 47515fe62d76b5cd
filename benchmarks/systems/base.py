"""What an adapter is, and the three kinds of clients that ask a database: callbacks, tasks and threads.

A client is a closed loop: it asks, checks the answer and asks the next question. The clients of one round share one
stream of questions and return when all are answered, with the seconds that each answer took. Each kind asks as the
users of its systems would; those of the same kind share the code here, so that what is compared is the system.
"""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import AsyncExitStack
from time import perf_counter
from typing import Any, Protocol

from benchmarks import mainthread
from benchmarks.people import Rows, check, questions

START_TIMEOUT = 30.0
ROUND_TIMEOUT = 120.0


class System(Protocol):
    """One system in a process of its own, which is started once, does many rounds and is stopped."""

    def start(self) -> None: ...

    def round(self, operations: int) -> list[float]:
        """Do *operations* operations, as fast as it goes; returns the seconds that each took."""
        ...

    def stop(self) -> None: ...


# --------------------------------------------------------------------------------------------- a reactor, and Deferreds


class ReactorHost:
    """A reactor, netcore's or Twisted's, that runs in the main thread. The methods are called in the orders' thread,
    which sleeps in a lock while a round runs and takes nothing from it.

    Attributes: *signals*, whether the reactor looks after signals.
    """

    signals = False

    def __init__(self, reactor: Any) -> None:
        self.reactor = reactor
        self._ended: Future[Any] = Future()

    def start(self) -> None:
        """Run it; returns when it runs."""
        running: Future[None] = Future()
        self.reactor.callWhenRunning(running.set_result, None)
        self._ended = mainthread.submit(lambda: self.reactor.run(installSignalHandlers=self.signals))
        running.result(START_TIMEOUT)

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call *function* in the reactor's thread and wait for its result, or for that of the Deferred it returns."""
        outcome: Future[Any] = Future()

        def call() -> None:
            try:
                result = function(*args)
            except BaseException as error:
                outcome.set_exception(error)
            else:
                if hasattr(result, "addCallbacks"):
                    result.addCallbacks(outcome.set_result, lambda failure: outcome.set_exception(failure.value))
                else:
                    outcome.set_result(result)

        self.reactor.callFromThread(call)
        return outcome.result(ROUND_TIMEOUT)

    def stop(self) -> None:
        """Stop it; returns when it has stopped, and given everything back."""
        self.reactor.callFromThread(self.reactor.stop)
        self._ended.result(ROUND_TIMEOUT)
        if hasattr(self.reactor, "dispose"):  # Twisted's cannot be run again, either
            self.reactor.dispose()


class CallbackClients:
    """*clients* that ask a `runQuery` for Deferreds. *ask* is called in the reactor's thread."""

    def __init__(self, host: ReactorHost, ask: Callable[[str], Any], clients: int) -> None:
        self._host = host
        self._ask = ask
        self._clients = clients

    def round(self, operations: int) -> list[float]:
        """One round."""
        ask, work = self._ask, questions(operations)
        latencies: list[float] = []
        finished: Future[None] = Future()

        def ask_next() -> None:
            for name, expected in work:
                asked = perf_counter()
                ask(name).addCallbacks(answered, failed, callbackArgs=(expected, asked))
                return

        def answered(rows: Rows, expected: Rows, asked: float) -> None:
            latencies.append(perf_counter() - asked)
            try:
                check(rows, expected)
            except Exception as error:
                fail(error)
                return
            if len(latencies) == operations:
                finished.set_result(None)
            else:
                ask_next()

        def failed(failure: Any) -> None:
            fail(failure.value)

        def fail(error: BaseException) -> None:
            if not finished.done():
                finished.set_exception(error)

        def begin() -> None:
            for _ in range(self._clients):
                ask_next()

        self._host.call(begin)
        finished.result(ROUND_TIMEOUT)
        return latencies


# --------------------------------------------------------------------------------------------------- asyncio, and Tasks


async def task_round(ask: Callable[[str], Awaitable[Rows]], clients: int, operations: int) -> list[float]:
    """One round of *clients* Tasks that await *ask*."""
    work = questions(operations)
    latencies: list[float] = []

    async def client() -> None:
        for name, expected in work:
            asked = perf_counter()
            rows = await ask(name)
            latencies.append(perf_counter() - asked)
            check(rows, expected)

    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(client())
    return latencies


class AsyncioProgram(ABC):
    """A program like any other on an asyncio loop in the main thread: it opens things and closes them in the end.

    Args:
        loop: "asyncio" for the default loop, or "uvloop".
    """

    def __init__(self, loop: str = "asyncio") -> None:
        self._factory = new_loop_factory(loop)
        self._opened: Future[None] = Future()
        self._ended: Future[Any] = Future()
        self.loop: asyncio.AbstractEventLoop

    @abstractmethod
    async def open(self, stack: AsyncExitStack) -> None:
        """Open what is measured; what is entered into *stack* is closed by `stop`."""

    def start(self) -> Any:
        """Run it; returns when everything is open."""
        self._ended = mainthread.submit(self._run)
        wait([self._opened, self._ended], START_TIMEOUT, FIRST_COMPLETED)
        if self._ended.done():
            self._ended.result()
        self._opened.result(0)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=self._factory) as runner:
            runner.run(self._main())

    async def _main(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        async with AsyncExitStack() as stack:
            await self.open(stack)
            self._opened.set_result(None)
            await self._stopping.wait()

    def stop(self) -> None:
        """Close everything."""
        self.loop.call_soon_threadsafe(self._stopping.set)
        self._ended.result(ROUND_TIMEOUT)


class AsyncioSystem(AsyncioProgram):
    """One that is asked by Tasks."""

    def __init__(self, clients: int, loop: str = "asyncio") -> None:
        super().__init__(loop)
        self._clients = clients

    @abstractmethod
    async def ask(self, name: str) -> Rows:
        """The rows of one person."""

    def round(self, operations: int) -> list[float]:
        """One round."""
        clients = task_round(self.ask, self._clients, operations)
        return asyncio.run_coroutine_threadsafe(clients, self.loop).result(ROUND_TIMEOUT)


def new_loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop]:
    """What makes a loop of that name. Raises: ModuleNotFoundError: uvloop is not installed."""
    if name == "uvloop":
        import uvloop

        return uvloop.new_event_loop
    if name != "asyncio":
        raise ValueError(f"no loop is called {name!r}: asyncio, uvloop")
    return asyncio.new_event_loop


# -------------------------------------------------------------------------------------------------------------- threads


def thread_round(askers: Sequence[Callable[[str], Rows]], operations: int) -> list[float]:
    """One round of as many threads as there are *askers*, each asking through its own."""
    work = questions(operations)
    latencies: list[float] = []
    failures: list[BaseException] = []

    def client(ask: Callable[[str], Rows]) -> None:
        try:
            for name, expected in work:
                asked = perf_counter()
                rows = ask(name)
                latencies.append(perf_counter() - asked)
                check(rows, expected)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=client, args=(ask,)) for ask in askers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for failure in failures:
        raise failure
    return latencies

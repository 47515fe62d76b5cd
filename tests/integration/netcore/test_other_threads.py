"""Deferreds and futures that belong to another thread's loop: refused where they are awaited, with what to do."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from netcore.defer import Deferred, ensureDeferred, inlineCallbacks
from netcore.reactors import Reactor
from tests.integration.netcore.worlds import Run, everywhere, in_asyncio, turns
from tests.support.debugging import switched

DEADLINE = 60.0  # far away: what is waited for takes a fraction of a second

Begin = Callable[[Callable[[], None]], Callable[[], None]]

# ------------------------------------------------------------------------ what runs a loop; each returns how to end it


def a_reactor(begin: Callable[[], None]) -> Callable[[], None]:
    reactor = Reactor()

    def run() -> None:
        reactor.run(installSignalHandlers=False)
        reactor.dispose()

    reactor.callWhenRunning(begin)
    thread = threading.Thread(target=run, name="elsewhere")
    thread.start()

    def end() -> None:
        reactor.callFromThread(reactor.stop)
        thread.join(DEADLINE)

    return end


def asyncio_run(begin: Callable[[], None]) -> Callable[[], None]:
    over = threading.Event()

    async def main() -> None:
        begin()
        await asyncio.to_thread(over.wait, DEADLINE)

    thread = threading.Thread(target=lambda: asyncio.run(main()), name="elsewhere")
    thread.start()

    def end() -> None:
        over.set()
        thread.join(DEADLINE)

    return end


def a_loop_of_asyncios(begin: Callable[[], None]) -> Callable[[], None]:
    loop = asyncio.SelectorEventLoop()
    loop.call_soon(begin)
    thread = threading.Thread(target=loop.run_forever, name="elsewhere")
    thread.start()

    def end() -> None:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(DEADLINE)
        loop.close()

    return end


RUNNERS: list[Begin] = [a_reactor, asyncio_run, a_loop_of_asyncios]
of_any = pytest.mark.parametrize("runner", RUNNERS)
debugging_or_not = pytest.mark.parametrize("debugging", [False, True], ids=["", "debugging"])


@contextmanager
def made_elsewhere(runner: Begin) -> Iterator[Deferred[str]]:
    """A Deferred of another thread, where a loop runs."""
    made: list[Deferred[str]] = []
    ready = threading.Event()

    def begin() -> None:
        made.append(Deferred())
        ready.set()

    end = runner(begin)
    try:
        assert ready.wait(DEADLINE)
        yield made[0]
    finally:
        end()


# ----------------------------------------------------------------------------------------------------------- Deferreds


async def in_a_task(deferred: Deferred[str]) -> str:
    return await deferred


async def in_a_coroutine(deferred: Deferred[str]) -> str:
    return await ensureDeferred(in_a_task(deferred))


async def in_a_generator(deferred: Deferred[str]) -> str:
    @inlineCallbacks
    def generator() -> Any:
        return (yield deferred)

    return str(await generator())


async def as_a_future(deferred: Deferred[str]) -> str:
    return await deferred.asFuture(asyncio.get_running_loop())


async def gathered(deferred: Deferred[str]) -> str:
    return (await asyncio.gather(deferred))[0]


@of_any
@debugging_or_not
@pytest.mark.parametrize("how", [in_a_task, in_a_coroutine, in_a_generator, as_a_future, gathered])
def test_awaiting_one_of_another_loops_thread_says_what_to_do(runner: Begin, debugging: bool, how: Any) -> None:
    with switched(debugging), made_elsewhere(runner) as theirs:
        with pytest.raises(
            RuntimeError, match=r"belongs to another thread, elsewhere, .*blockingCallFromThread"
        ) as caught:
            asyncio.run(how(theirs))
        assert not theirs.called
        assert ("made.append(Deferred())" in str(caught.value)) is debugging


@everywhere
@of_any
def test_who_awaits_one_and_is_refused_goes_on(run: Run, runner: Begin) -> None:
    async def main() -> None:
        with made_elsewhere(runner) as theirs:
            for _ in range(2):
                with pytest.raises(RuntimeError, match="belongs to another thread"):
                    await theirs
            await turns()

    run(main)


@of_any
def test_without_a_loop_here_one_is_refused_too(runner: Begin) -> None:
    async def waits() -> str:
        with pytest.raises(RuntimeError, match="belongs to another thread"):
            await theirs
        return "went on"

    with made_elsewhere(runner) as theirs:
        assert ensureDeferred(waits()).result == "went on"


@of_any
@debugging_or_not
@pytest.mark.parametrize("how", [in_a_task, in_a_coroutine, in_a_generator])
def test_a_result_that_is_there_can_be_taken_anywhere(runner: Begin, debugging: bool, how: Any) -> None:
    with switched(debugging), made_elsewhere(runner) as theirs:
        theirs.callback("result")
        assert asyncio.run(how(theirs)) == "result"


@everywhere
def test_one_that_was_made_where_no_loop_runs_is_taken(run: Run) -> None:
    made: list[Deferred[str]] = []
    over = threading.Event()

    def work() -> None:
        made.append(Deferred())
        over.wait(DEADLINE)

    thread = threading.Thread(target=work)
    thread.start()

    async def main() -> None:
        asyncio.get_running_loop().call_soon(made[0].callback, "from nowhere")
        assert await made[0] == "from nowhere"

    try:
        run(main)
    finally:
        over.set()
        thread.join()


@of_any
def test_one_of_a_thread_that_has_ended_is_not_taken_for_that_of_a_later_one_with_its_number(runner: Begin) -> None:
    async def main() -> None:
        with made_elsewhere(runner) as theirs:
            ours: Deferred[str] = Deferred()
            ours._thread = int(str(theirs._thread))  # as it is when the system gives the number anew
            asyncio.get_running_loop().call_soon(ours.callback, "taken")
            assert await ours == "taken"

    in_asyncio(main)


# ------------------------------------------------------------------------------------------------------------- futures


class ALoopElsewhere:
    """Another thread's loop, which runs, and a future of it."""

    def __enter__(self) -> asyncio.Future[str]:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        return self.loop.create_future()

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


@everywhere
@pytest.mark.parametrize("waits", [True, False])
def test_a_future_of_another_loop_is_refused_where_it_is_awaited(run: Run, waits: bool) -> None:
    async def main() -> None:
        async def one() -> str:
            if waits:
                await turns()
            with pytest.raises(RuntimeError, match="belongs to another loop"):
                await theirs
            await turns()
            return "went on"

        with ALoopElsewhere() as theirs:
            assert await ensureDeferred(one()) == "went on"

            @inlineCallbacks
            def other() -> Any:
                yield theirs

            with pytest.raises(RuntimeError, match="belongs to another loop"):
                await other()

    run(main)


def test_without_a_loop_here_one_of_a_loop_that_runs_elsewhere_is_refused() -> None:
    async def one() -> None:
        with pytest.raises(RuntimeError, match="belongs to another loop"):
            await theirs

    with ALoopElsewhere() as theirs:
        assert ensureDeferred(one()).result is None


def test_begun_before_the_loop_runs_it_may_await_a_future_of_that_loop() -> None:
    loop = asyncio.new_event_loop()
    try:
        future: asyncio.Future[str] = loop.create_future()

        async def one() -> str:
            return await future

        waiting = ensureDeferred(one())
        future.set_result("done")
        loop.run_until_complete(asyncio.sleep(0))
        assert waiting.result == "done"
    finally:
        loop.close()

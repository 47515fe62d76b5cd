"""DeferredLock, DeferredSemaphore and DeferredQueue: turns, order, cancelling, no stack."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import pytest

from netcore.defer import (
    CancelledError,
    Deferred,
    DeferredLock,
    DeferredQueue,
    DeferredSemaphore,
    QueueOverflow,
    QueueUnderflow,
    ensureDeferred,
    inlineCallbacks,
)
from netcore.failure import Failure

Limited = DeferredLock | DeferredSemaphore

each_of_one = pytest.mark.parametrize("make", [DeferredLock, lambda: DeferredSemaphore(1)], ids=["lock", "semaphore"])


def result_of(d: Deferred[Any]) -> Any:
    """What *d* has now, a Failure as the type of its exception."""
    seen: list[Any] = []
    d.addBoth(seen.append)
    assert seen, "the Deferred has no result"
    return seen[0].type if isinstance(seen[0], Failure) else seen[0]


@each_of_one
class TestTurns:
    def test_acquire_fires_at_once_where_nobody_holds_it(self, make: Callable[[], Limited]) -> None:
        limited = make()
        assert result_of(limited.acquire()) is limited

    def test_the_next_has_its_turn_within_release(self, make: Callable[[], Limited]) -> None:
        limited = make()
        limited.acquire()
        waiting = limited.acquire()
        assert limited.waiting == [waiting]
        assert not waiting.called
        limited.release()
        assert result_of(waiting) is limited
        assert limited.waiting == []

    def test_turns_come_in_order(self, make: Callable[[], Limited]) -> None:
        limited = make()
        limited.acquire()
        order: list[int] = []
        for number in range(5):
            limited.acquire().addCallback(lambda _, number=number: order.append(number))
        for _ in range(5):
            limited.release()
        assert order == [0, 1, 2, 3, 4]

    def test_who_comes_while_one_is_released_by_a_callback_comes_last(self, make: Callable[[], Limited]) -> None:
        limited = make()
        order: list[str] = []

        def first(_: object) -> None:
            limited.release()
            limited.acquire().addCallback(lambda _: order.append("late"))
            order.append("first")

        limited.acquire()
        limited.acquire().addCallback(first)
        limited.acquire().addCallback(lambda _: order.append("second"))
        limited.release()
        assert order == ["first", "second"]
        limited.release()
        assert order == ["first", "second", "late"]

    def test_a_hundred_thousand_that_release_one_another_need_no_stack(self, make: Callable[[], Limited]) -> None:
        limited = make()
        limited.acquire()
        turns = 0

        def turn(_: object) -> None:
            nonlocal turns
            turns += 1
            limited.release()

        for _ in range(100_000):
            limited.acquire().addCallback(turn)
        limited.release()
        assert turns == 100_000
        assert result_of(limited.acquire()) is limited

    def test_release_without_acquire_says_what_to_do(self, make: Callable[[], Limited]) -> None:
        limited = make()
        for _ in range(2):
            with pytest.raises(RuntimeError, match=r"once for each acquire\(\)"):
                limited.release()
            result_of(limited.acquire())
            limited.release()

    def test_releasing_twice_within_one_turn_is_noticed(self, make: Callable[[], Limited]) -> None:
        limited = make()
        limited.acquire()

        def twice(_: object) -> None:
            limited.release()
            limited.release()

        waiting = limited.acquire().addCallback(twice)
        last = limited.acquire()
        limited.release()
        assert result_of(waiting) is RuntimeError
        assert result_of(last) is limited

    def test_a_cancelled_waiter_leaves_the_queue(self, make: Callable[[], Limited]) -> None:
        limited = make()
        limited.acquire()
        cancelled, waiting = limited.acquire(), limited.acquire()
        cancelled.cancel()
        assert result_of(cancelled) is CancelledError
        assert limited.waiting == [waiting]
        limited.release()
        assert result_of(waiting) is limited

    def test_a_waiter_cancelled_when_its_turn_was_decided_passes_it_on(self, make: Callable[[], Limited]) -> None:
        limited = make()
        limited.acquire()

        def releases(_: object) -> None:
            limited.release()
            cancelled.cancel()

        limited.acquire().addCallback(releases)
        cancelled, waiting = limited.acquire(), limited.acquire()
        limited.release()
        assert result_of(cancelled) is CancelledError
        assert result_of(waiting) is limited

    def test_cancelling_in_any_order_leaves_it_free(self, make: Callable[[], Limited]) -> None:
        limited = make()
        limited.acquire()
        waiting = [limited.acquire() for _ in range(10_000)]
        for each in reversed(waiting):
            each.addErrback(lambda failure: None)
            each.cancel()
        limited.release()
        assert result_of(limited.acquire()) is limited

    def test_a_waiter_fired_from_outside_takes_no_turn(self, make: Callable[[], Limited]) -> None:
        limited = make()
        limited.acquire()
        limited.acquire().callback(limited)
        waiting = limited.acquire()
        limited.release()
        assert result_of(waiting) is limited

    def test_run_releases_when_the_function_has_finished(self, make: Callable[[], Limited]) -> None:
        limited = make()
        working: Deferred[str] = Deferred()

        def work(*args: Any, **keywords: Any) -> Deferred[str]:
            return working.addCallback(lambda result: (result, args, keywords))

        first, second = limited.run(work, 1, a=2), limited.run(lambda: "second")
        assert not second.called
        working.callback("done")
        assert result_of(first) == ("done", (1,), {"a": 2})
        assert result_of(second) == "second"

    def test_run_releases_when_the_function_fails(self, make: Callable[[], Limited]) -> None:
        limited = make()
        assert result_of(limited.run(lambda: 1 / 0)) is ZeroDivisionError
        assert result_of(limited.run(lambda: 1)) == 1

    def test_run_waits_for_a_coroutine(self, make: Callable[[], Limited]) -> None:
        async def work() -> str:
            return "done"

        assert result_of(make().run(work)) == "done"

    def test_cancelling_run_while_it_waits_never_calls_the_function(self, make: Callable[[], Limited]) -> None:
        limited = make()
        limited.acquire()
        called: list[int] = []
        d = limited.run(called.append, 1)
        d.cancel()
        limited.release()
        assert result_of(d) is CancelledError
        assert called == []

    def test_cancelling_run_while_it_works_cancels_the_work_and_releases(self, make: Callable[[], Limited]) -> None:
        limited = make()
        working: Deferred[None] = Deferred()
        d = limited.run(lambda: working)
        d.cancel()
        assert result_of(d) is CancelledError
        assert result_of(limited.acquire()) is limited

    def test_async_with_holds_it_in_coroutines(self, make: Callable[[], Limited]) -> None:
        limited = make()
        order: list[str] = []
        inside: Deferred[None] = Deferred()

        async def holds(name: str) -> None:
            async with limited as held:
                assert held is limited
                order.append(name)
                await inside

        first, second = ensureDeferred(holds("first")), ensureDeferred(holds("second"))
        assert order == ["first"]
        inside.errback(KeyError("k"))
        assert result_of(first) is KeyError
        assert order == ["first", "second"]
        result_of(second)
        assert result_of(limited.acquire()) is limited

    def test_a_hundred_thousand_coroutines_take_turns_without_a_stack(self, make: Callable[[], Limited]) -> None:
        limited = make()
        limited.acquire()
        turns = 0

        async def one() -> None:
            nonlocal turns
            async with limited:
                turns += 1

        for _ in range(100_000):
            ensureDeferred(one())
        limited.release()
        assert turns == 100_000

    def test_a_generator_may_wait_for_its_turn(self, make: Callable[[], Limited]) -> None:
        limited = make()
        limited.acquire()

        @inlineCallbacks
        def works():  # type: ignore[no-untyped-def]
            yield limited.acquire()
            limited.release()
            return "done"

        d = works()
        limited.release()
        assert result_of(d) == "done"

    def test_a_coroutine_closed_while_it_waits_leaves_the_queue(self, make: Callable[[], Limited]) -> None:
        limited = make()
        limited.acquire()

        async def waits() -> None:
            async with limited:
                raise AssertionError("it was closed")

        coroutine = waits()
        coroutine.send(None)
        assert len(limited.waiting) == 1
        coroutine.close()
        assert limited.waiting == []

    def test_a_turn_decided_but_not_taken_goes_to_the_next(self, make: Callable[[], Limited]) -> None:
        limited = make()
        limited.acquire()

        async def waits() -> None:
            async with limited:
                raise AssertionError("it was cancelled")

        coroutine = waits()
        coroutine.send(None)  # driven by hand, as a Task that hears of the turn later
        (waiting,) = limited.waiting
        following = limited.acquire()
        limited.release()
        assert waiting.called
        assert not following.called
        with pytest.raises(CancelledError):
            coroutine.throw(CancelledError())
        assert result_of(following) is limited

    def test_waiting_leaves_no_garbage(self, make: Callable[[], Limited]) -> None:
        gc.collect()
        limited = make()
        limited.acquire()
        waiting = [limited.acquire() for _ in range(3)]
        waiting[0].addErrback(lambda failure: None).cancel()
        del waiting
        for _ in range(3):
            limited.release()
        assert result_of(limited.run(lambda: 1)) == 1
        del limited
        assert gc.collect() == 0


class TestLock:
    def test_locked_stays_so_while_it_changes_hands(self) -> None:
        lock = DeferredLock()
        assert not lock.locked
        lock.acquire()
        seen: list[bool] = []
        lock.acquire().addCallback(lambda _: seen.append(lock.locked))
        lock.release()
        assert seen == [True]
        lock.release()
        assert not lock.locked

    def test_repr_says_how_it_stands(self) -> None:
        lock = DeferredLock()
        assert repr(lock) == "<DeferredLock, free, 0 waiting>"
        lock.acquire()
        lock.acquire()
        assert repr(lock) == "<DeferredLock, locked, 1 waiting>"


class TestSemaphore:
    def test_as_many_as_tokens_go_on_at_once(self) -> None:
        semaphore = DeferredSemaphore(2)
        assert [semaphore.acquire().called for _ in range(3)] == [True, True, False]
        assert (semaphore.tokens, semaphore.limit) == (0, 2)
        semaphore.release()
        assert (semaphore.tokens, semaphore.waiting) == (0, [])
        semaphore.release()
        assert repr(semaphore) == "<DeferredSemaphore, 1 of 2 tokens free, 0 waiting>"

    @pytest.mark.parametrize("tokens", [0, -1])
    def test_without_tokens_it_is_refused(self, tokens: int) -> None:
        with pytest.raises(ValueError, match="at least one token"):
            DeferredSemaphore(tokens)


class TestQueue:
    def test_items_come_in_order_whether_waited_for_or_not(self) -> None:
        queue: DeferredQueue[int] = DeferredQueue()
        early = queue.get()
        for number in range(3):
            queue.put(number)
        assert queue.pending == [1, 2]
        assert [result_of(d) for d in (early, queue.get(), queue.get())] == [0, 1, 2]

    def test_those_that_wait_are_served_in_order(self) -> None:
        queue: DeferredQueue[int] = DeferredQueue()
        waiting = [queue.get(), queue.get()]
        assert queue.waiting == waiting
        queue.put(1)
        queue.put(2)
        assert [result_of(d) for d in waiting] == [1, 2]

    def test_size_bounds_what_is_held(self) -> None:
        queue: DeferredQueue[int] = DeferredQueue(size=1)
        waiting = queue.get()
        queue.put(0)
        queue.put(1)
        with pytest.raises(QueueOverflow, match="its size is 1"):
            queue.put(2)
        assert result_of(waiting) == 0
        assert queue.pending == [1]

    def test_backlog_bounds_how_many_wait(self) -> None:
        queue: DeferredQueue[int] = DeferredQueue(backlog=1)
        waiting = queue.get()
        with pytest.raises(QueueUnderflow, match="the backlog is 1"):
            queue.get()
        waiting.addErrback(lambda failure: None)
        waiting.cancel()
        assert repr(queue) == "<DeferredQueue, 0 pending, 0 waiting>"
        assert not queue.get().called

    def test_a_bound_of_nothing_leaves_only_direct_hand_over(self) -> None:
        queue: DeferredQueue[int] = DeferredQueue(size=0)
        with pytest.raises(QueueOverflow):
            queue.put(1)
        waiting = queue.get()
        queue.put(2)
        assert result_of(waiting) == 2

    @pytest.mark.parametrize("bounds", [(-1, None), (None, -1)])
    def test_negative_bounds_are_refused(self, bounds: tuple[Any, Any]) -> None:
        with pytest.raises(ValueError, match="0 or more, or None"):
            DeferredQueue[int](*bounds)

    def test_a_deferred_is_no_item(self) -> None:
        queue: DeferredQueue[Any] = DeferredQueue()
        with pytest.raises(TypeError, match=r"addCallback\(queue.put\)"):
            queue.put(Deferred())

    def test_none_is_an_item_and_a_failure_fails_the_get(self) -> None:
        queue: DeferredQueue[Any] = DeferredQueue()
        waiting = queue.get()
        queue.put(None)
        queue.put(Failure(KeyError("k")))
        assert result_of(waiting) is None
        assert result_of(queue.get()) is KeyError

    def test_a_cancelled_get_swallows_no_item(self) -> None:
        queue: DeferredQueue[int] = DeferredQueue()
        cancelled, waiting = queue.get(), queue.get()
        cancelled.cancel()
        assert result_of(cancelled) is CancelledError
        queue.put(1)
        assert result_of(waiting) == 1

    def test_a_get_fired_from_outside_swallows_no_item(self) -> None:
        queue: DeferredQueue[int] = DeferredQueue()
        queue.get().callback(0)
        queue.put(1)
        assert queue.pending == [1]

    def test_an_item_that_reached_nobody_goes_back_to_the_front(self) -> None:
        queue: DeferredQueue[int] = DeferredQueue()

        async def takes() -> None:
            await queue.get()

        coroutine = takes()
        coroutine.send(None)  # driven by hand, as a Task that hears of the item later
        queue.put(1)
        queue.put(2)
        assert queue.pending == [2]
        with pytest.raises(CancelledError):
            coroutine.throw(CancelledError())
        assert queue.pending == [1, 2]

    @pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [1, 0, 2]])
    def test_items_that_reached_nobody_are_in_their_order_again(self, order: list[int]) -> None:
        queue: DeferredQueue[int] = DeferredQueue()

        async def takes() -> None:
            await queue.get()

        coroutines = [takes() for _ in order]
        for coroutine in coroutines:
            coroutine.send(None)
        for number in range(4):
            queue.put(number)
        for index in order:
            coroutines[index].close()
        assert queue.pending == [0, 1, 2, 3]

    def test_an_item_that_reached_nobody_goes_to_the_next_that_waits(self) -> None:
        queue: DeferredQueue[int] = DeferredQueue()

        async def takes() -> None:
            await queue.get()

        coroutine = takes()
        coroutine.send(None)
        waiting = queue.get()
        queue.put(1)
        assert not waiting.called
        coroutine.close()
        assert result_of(waiting) == 1

    def test_a_hundred_thousand_that_put_for_one_another_need_no_stack(self) -> None:
        queue: DeferredQueue[int] = DeferredQueue(size=0)
        for _ in range(100_000):
            queue.get().addCallback(lambda number: queue.put(number + 1))
        last = queue.get()
        queue.put(0)
        assert result_of(last) == 100_000

    def test_who_asks_within_a_hand_over_comes_after_those_that_wait(self) -> None:
        queue: DeferredQueue[int] = DeferredQueue()
        seen: list[tuple[str, int]] = []

        def first(number: int) -> None:
            queue.put(2)
            queue.get().addCallback(lambda number: seen.append(("late", number)))
            seen.append(("first", number))

        queue.get().addCallback(first)
        queue.get().addCallback(lambda number: seen.append(("second", number)))
        queue.put(1)
        queue.put(3)
        assert seen == [("first", 1), ("second", 2), ("late", 3)]

    def test_async_for_takes_one_item_after_the_other(self) -> None:
        queue: DeferredQueue[str] = DeferredQueue()
        seen: list[str] = []

        async def consume() -> str:
            async for item in queue:
                if item == "end":
                    return "ended"
                seen.append(item)
            raise AssertionError("a queue has no end of its own")

        queue.put("a")
        d = ensureDeferred(consume())
        queue.put("b")
        assert seen == ["a", "b"]
        queue.put("end")
        assert result_of(d) == "ended"

    def test_cancelling_ends_async_for(self) -> None:
        queue: DeferredQueue[str] = DeferredQueue()

        async def consume() -> None:
            async for _ in queue:
                pass

        d = ensureDeferred(consume())
        d.cancel()
        assert result_of(d) is CancelledError
        assert queue.waiting == []

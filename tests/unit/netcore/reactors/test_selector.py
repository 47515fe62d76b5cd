"""The selector's tables, over an epoll whose events the test says: who is watched, and who is called in which turn."""

from __future__ import annotations

import asyncio
import select
import selectors
from collections.abc import Callable
from typing import Any, cast

import pytest

from netcore.reactors._selector import DirectSelector

IN, OUT, ERR, HUP = select.EPOLLIN, select.EPOLLOUT, select.EPOLLERR, select.EPOLLHUP
READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
OWN = 3  # the epoll's own descriptor


class Epoll:
    """epoll(7), as far as one can see from here.

    Attributes: *watched*, descriptor → mask; *files*, the descriptors that are open; *ready*, what `poll` returns next;
        *timeouts*, what it was given.
    """

    def __init__(self) -> None:
        self.watched: dict[int, int] = {}
        self.files = set(range(4, 20))
        self.ready: list[tuple[int, int]] = []
        self.timeouts: list[float | None] = []
        self.closed = False

    def fileno(self) -> int:
        return OWN

    def register(self, fd: int, mask: int) -> None:
        if fd not in self.files:
            raise PermissionError
        if fd in self.watched:
            raise FileExistsError
        self.watched[fd] = mask

    def modify(self, fd: int, mask: int) -> None:
        if fd not in self.watched:
            raise FileNotFoundError
        self.watched[fd] = mask

    def unregister(self, fd: int) -> None:
        if fd not in self.watched:
            raise FileNotFoundError
        del self.watched[fd]

    def poll(self, timeout: float | None) -> list[tuple[int, int]]:
        self.timeouts.append(timeout)
        ready, self.ready = self.ready, []
        return ready

    def close(self) -> None:
        self.closed = True

    def close_file(self, fd: int) -> None:
        """Close *fd*, of which there is no other copy: the kernel watches it no more. The number is free."""
        self.watched.pop(fd, None)


class Loop:
    """asyncio's side: what it has registered, and what it was told of errors."""

    def __init__(self, selector: DirectSelector) -> None:
        self.selector = selector
        self.told: list[dict[str, Any]] = []

    def add_reader(self, fd: int, callback: Callable[[], None]) -> None:
        self.selector.register(fd, READ, callback)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.told.append(context)

    def turn(self, *events: tuple[int, int], between: Callable[[], object] = lambda: None) -> list[tuple[int, int]]:
        """One turn in which the kernel reports *events*. *between*: what is called before those whom they concern.

        Returns: asyncio's own events, by descriptor.
        """
        cast("Epoll", self.selector._epoll).ready = list(events)
        reported = self.selector.select(0)
        between()
        own = [key for key, _ in reported if key.fd == OWN]
        assert len(own) <= 1
        for key in own:
            key.data()
        return [(key.fd, kinds) for key, kinds in reported if key.fd != OWN]


@pytest.fixture
def epoll(monkeypatch: pytest.MonkeyPatch) -> Epoll:
    epoll = Epoll()
    monkeypatch.setattr(select, "epoll", lambda: epoll)
    return epoll


@pytest.fixture
def selector(epoll: Epoll) -> DirectSelector:
    return DirectSelector()


@pytest.fixture
def loop(selector: DirectSelector) -> Loop:
    loop = Loop(selector)
    selector.serve(cast("asyncio.AbstractEventLoop", loop))
    return loop


@pytest.fixture
def calls() -> list[str]:
    return []


def noting(calls: list[str], what: str, then: Callable[[], object] = lambda: None) -> Callable[[], None]:
    def callback() -> None:
        calls.append(what)
        then()

    return callback


def raising(error: BaseException) -> Callable[[], None]:
    def callback() -> None:
        raise error

    return callback


class TestWhatIsWatched:
    def test_a_reader_and_a_writer_share_one_registration(self, selector: DirectSelector, epoll: Epoll) -> None:
        seen = []
        for act in (
            lambda: selector.add_reader(5, print),
            lambda: selector.add_writer(5, print),
            lambda: selector.remove_reader(5),
            lambda: selector.add_reader(5, print),
            lambda: selector.remove_writer(5),
            lambda: selector.remove_reader(5),
        ):
            act()
            seen.append(epoll.watched.get(5))
        assert seen == [IN, IN | OUT, OUT, IN | OUT, IN, None]

    def test_removing_says_whether_there_was_one(self, selector: DirectSelector) -> None:
        selector.add_reader(5, print)
        assert [selector.remove_writer(5), selector.remove_reader(5), selector.remove_reader(5)] == [False, True, False]
        selector.add_writer(5, print)
        assert [selector.remove_reader(5), selector.remove_writer(5), selector.remove_writer(5)] == [False, True, False]

    def test_its_own_descriptor_is_a_key_and_not_watched(
        self, selector: DirectSelector, epoll: Epoll, loop: Loop
    ) -> None:
        assert selector.get_key(OWN).events == READ
        selector.modify(OWN, READ | WRITE)
        assert epoll.watched == {}
        selector.unregister(OWN)
        assert list(selector.get_map()) == []

    def test_what_cannot_be_watched_leaves_nothing_behind(
        self, selector: DirectSelector, epoll: Epoll, loop: Loop, calls: list[str]
    ) -> None:
        for add in (selector.add_reader, selector.add_writer):
            with pytest.raises(PermissionError):
                add(99, noting(calls, "called"))
        with pytest.raises(PermissionError):
            selector.register(99, READ)
        assert not selector.remove_reader(99)
        assert not selector.remove_writer(99)
        assert 99 not in selector.get_map()
        loop.turn((99, IN))
        assert calls == []

    def test_a_descriptor_that_was_closed_first_can_still_be_removed(
        self, selector: DirectSelector, epoll: Epoll
    ) -> None:
        selector.add_reader(5, print)
        selector.add_writer(5, print)
        selector.register(6, READ)
        epoll.close_file(5)
        epoll.close_file(6)
        assert selector.remove_reader(5)
        assert selector.remove_writer(5)
        assert selector.unregister(6).fd == 6
        assert len(selector.get_map()) == 0

    def test_a_number_of_which_asyncio_has_a_leftover_becomes_ours(
        self, selector: DirectSelector, epoll: Epoll, loop: Loop, calls: list[str]
    ) -> None:
        selector.register(5, READ)
        epoll.close_file(5)
        selector.add_reader(5, noting(calls, "ours"))
        assert 5 not in selector.get_map()
        assert loop.turn((5, IN)) == []
        assert calls == ["ours"]

    def test_a_number_is_not_taken_from_the_other_side_while_it_is_in_use(
        self, selector: DirectSelector, epoll: Epoll
    ) -> None:
        selector.register(5, READ)
        selector.add_reader(6, print)
        with pytest.raises(FileExistsError):
            selector.add_reader(5, print)
        with pytest.raises(FileExistsError):
            selector.register(6, READ)
        assert list(selector.get_map()) == [5]
        assert not selector.remove_reader(5)
        assert epoll.watched == {5: IN, 6: IN}

    def test_closing_lets_go_of_everything(self, selector: DirectSelector, epoll: Epoll, loop: Loop) -> None:
        selector.add_reader(5, print)
        selector.add_writer(5, print)
        for _ in range(2):
            selector.close()
            assert epoll.closed
            assert not selector.remove_reader(5)
            assert not selector.remove_writer(5)
            assert list(selector.get_map()) == []
        for add in (selector.add_reader, selector.add_writer):
            with pytest.raises(RuntimeError, match="the event loop is closed"):
                add(5, print)


class TestATurn:
    def test_nobody_is_called_from_within_select(
        self, selector: DirectSelector, epoll: Epoll, loop: Loop, calls: list[str]
    ) -> None:
        selector.add_reader(5, noting(calls, "5"))
        loop.turn((5, IN), between=lambda: calls.append("asyncio's"))
        assert calls == ["asyncio's", "5"]

    def test_each_is_called_for_what_it_waits_for(self, selector: DirectSelector, loop: Loop, calls: list[str]) -> None:
        for fd in (5, 6, 7):
            selector.add_reader(fd, noting(calls, f"read {fd}"))
            selector.add_writer(fd, noting(calls, f"write {fd}"))
        loop.turn((7, IN), (5, OUT), (6, IN | OUT))
        assert calls == ["read 7", "write 5", "read 6", "write 6"]

    @pytest.mark.parametrize("event", [ERR, HUP, IN | HUP, IN | ERR | HUP, OUT | ERR])
    def test_an_error_or_a_hang_up_is_told_to_both(
        self, selector: DirectSelector, loop: Loop, calls: list[str], event: int
    ) -> None:
        selector.add_reader(5, noting(calls, "read 5"))
        selector.add_writer(5, noting(calls, "write 5"))
        selector.add_reader(6, noting(calls, "read 6"))
        selector.add_writer(7, noting(calls, "write 7"))
        loop.turn((5, event), (6, event), (7, event))
        assert calls == ["read 5", "write 5", "read 6", "write 7"]

    def test_asyncio_hears_of_its_own_only(self, selector: DirectSelector, loop: Loop, calls: list[str]) -> None:
        selector.register(8, READ)
        selector.register(9, READ | WRITE)
        selector.add_reader(5, noting(calls, "5"))
        assert loop.turn((8, IN), (5, IN), (9, OUT)) == [(8, READ), (9, WRITE)]
        assert loop.turn((9, IN), (9, HUP), (8, ERR)) == [(9, READ), (9, READ | WRITE), (8, READ)]
        assert calls == ["5"]

    def test_one_added_again_replaces_the_other(self, selector: DirectSelector, loop: Loop, calls: list[str]) -> None:
        for name in ("first", "second"):
            selector.add_reader(5, noting(calls, f"{name} reader"))
            selector.add_writer(5, noting(calls, f"{name} writer"))
        loop.turn((5, IN | OUT))
        assert calls == ["second reader", "second writer"]

    def test_one_removed_meanwhile_is_not_called(self, selector: DirectSelector, loop: Loop, calls: list[str]) -> None:
        selector.add_reader(4, noting(calls, "4"))
        selector.add_reader(5, noting(calls, "5", lambda: selector.remove_writer(5) and selector.remove_reader(6)))
        selector.add_writer(5, noting(calls, "writer of 5"))
        selector.add_reader(6, noting(calls, "6"))
        loop.turn((4, IN), (5, IN | OUT), (6, IN), between=lambda: selector.remove_reader(4))
        assert calls == ["5"]

    def test_an_event_is_not_for_the_next_owner_of_the_number(
        self, selector: DirectSelector, epoll: Epoll, loop: Loop, calls: list[str]
    ) -> None:
        """A socket that begins to connect would take it that it is connected."""

        def renew(fd: int) -> None:
            selector.remove_reader(fd)
            selector.add_reader(fd, noting(calls, f"new reader of {fd}"))
            selector.add_writer(fd, noting(calls, f"new writer of {fd}"))

        for fd in (5, 6):
            selector.add_reader(fd, noting(calls, f"reader of {fd}", lambda: (renew(5), renew(6))))
        loop.turn((5, IN | OUT | HUP), (6, IN))
        assert calls == ["reader of 5"]
        loop.turn((5, OUT), (6, IN))
        assert calls == ["reader of 5", "new writer of 5", "new reader of 6"]

    def test_nor_is_one_that_was_asyncios(self, selector: DirectSelector, loop: Loop, calls: list[str]) -> None:
        selector.register(8, READ)
        selector.add_reader(5, noting(calls, "5"))

        def take_over() -> None:
            selector.unregister(8)
            selector.add_writer(8, noting(calls, "8"))

        assert loop.turn((5, IN), (8, HUP), between=take_over) == [(8, READ)]
        assert calls == ["5"]

    def test_events_that_nobody_was_called_for_are_forgotten(
        self, selector: DirectSelector, epoll: Epoll, loop: Loop, calls: list[str]
    ) -> None:
        """KeyboardInterrupt ended the turn before; the kernel reports again what still holds."""
        for fd in (5, 6):
            selector.add_reader(fd, noting(calls, f"{fd}"))
        epoll.ready = [(5, IN), (6, IN)]
        selector.select()
        loop.turn((6, IN))
        assert calls == ["6"]
        epoll.ready = [(5, IN)]
        selector.select()
        loop.turn()
        selector._dispatch()
        assert calls == ["6"]

    def test_an_event_of_a_file_that_nobody_has_any_more_calls_nobody(
        self, selector: DirectSelector, loop: Loop, calls: list[str]
    ) -> None:
        """It is still open elsewhere: in a child process, say."""
        selector.add_reader(5, noting(calls, "5"))
        assert loop.turn((5, IN), (11, IN)) == []
        assert calls == ["5"]

    def test_before_it_serves_a_loop_nothing_is_reported(self, selector: DirectSelector, epoll: Epoll) -> None:
        selector.add_reader(5, print)
        epoll.ready = [(5, IN)]
        assert selector.select() == []

    def test_time_limits_are_the_kernels(self, selector: DirectSelector, epoll: Epoll) -> None:
        for timeout in (None, -1, 0, 0.25):
            selector.select(timeout)
        assert epoll.timeouts == [None, 0, 0, 0.25]


class TestWhatIsRaised:
    @pytest.mark.parametrize("event", [IN, OUT, IN | OUT])
    @pytest.mark.parametrize("error", [ValueError("no"), asyncio.CancelledError()])
    def test_an_exception_is_told_to_the_loop_and_the_others_are_called(
        self, selector: DirectSelector, loop: Loop, calls: list[str], error: BaseException, event: int
    ) -> None:
        culprit = raising(error)
        selector.add_reader(5, culprit)
        selector.add_writer(5, culprit)
        selector.add_reader(6, noting(calls, "6"))
        loop.turn((5, event), (6, IN))
        assert calls == ["6"]
        assert [context["exception"] for context in loop.told] == [error] * (2 if event == IN | OUT else 1)
        assert loop.told[0]["message"] == f"Exception in callback {culprit!r}"

    @pytest.mark.parametrize("event", [IN, OUT])
    @pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
    def test_what_ends_the_program_escapes_and_the_others_are_called_when_reported_again(
        self, selector: DirectSelector, loop: Loop, calls: list[str], error: type[BaseException], event: int
    ) -> None:
        selector.add_reader(5, raising(error()))
        selector.add_writer(5, raising(error()))
        selector.add_reader(6, noting(calls, "6"))
        with pytest.raises(error):
            loop.turn((5, event), (6, IN))
        assert calls == []
        selector.remove_reader(5)
        selector.remove_writer(5)
        loop.turn((6, IN))
        assert calls == ["6"]
        assert loop.told == []

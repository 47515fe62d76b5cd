"""Time that passes when nothing else is to be done, and descriptors that are none: what a `VirtualLoop` waits with.

What holds:

* ``now`` never goes back. It moves in `VirtualSelector.select` only, to the next thing that is due (a timer of the
  loop's, or an event of the network's) but not beyond ``limit``.
* Events of the network are called in `select`, in the order of their times, equal times as they were asked for. They
  call no code of the application: they change what sockets have to tell, and the loop does the rest.
* ``_active`` are the descriptors that are watched, and ready for some of what they are watched for.
"""

from __future__ import annotations

import queue
import selectors
from collections.abc import Callable, Mapping
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from netcore.testing.network._tcp import TCPEnd

__all__ = ["Event", "Stalled", "VirtualSelector"]

# Turns of the loop in which no time passes: what is busy for so long is busy for ever. (8 MiB through one connection,
# both ways, take some 500.)
_BUSY = 100_000
_PATIENCE = 60.0  # real seconds for a thread that works
_LOOK_AGAIN = 0.002  # real seconds; a thread tells the loop of its result shortly before it is idle


class Stalled(RuntimeError):
    """What is waited for will never happen, or not within the time that was given.

    The message says what there is (nothing, a loop that is busy without time passing, a thread that does not end).
    """


class Event:
    """Something that will happen to the network; `cancel` keeps it from happening."""

    __slots__ = ("call",)

    def __init__(self, call: Callable[[], object]) -> None:
        self.call: Callable[[], object] | None = call

    def cancel(self) -> None:
        """Keep it from happening. Does nothing if it has happened."""
        self.call = None


class VirtualSelector(selectors.BaseSelector):
    """Waits by moving its clock.

    Attributes: *now*, its clock, in seconds; *limit*, where it stops; *idles*, whether it goes there although nothing
        will happen; *sockets*, by their numbers; *next_timer*, asked for the time of the loop's next timer; *stop*,
        called when the clock has come to *limit*; *at_work*, asked whether threads work for the loop; *story*, asked
        what to tell when nothing goes on.
    Threading: the loop's thread only, but for `wake`.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.limit = float("inf")
        self.idles = False
        self.sockets: dict[int, TCPEnd] = {}
        self.next_timer: Callable[[], float | None] = lambda: None
        self.stop: Callable[[], object] = lambda: None
        self.at_work: Callable[[], bool] = lambda: False
        self.story: Callable[[], str] = lambda: ""
        self._keys: dict[int, selectors.SelectorKey] = {}
        self._active: dict[int, selectors.SelectorKey] = {}
        self._events: list[tuple[float, int, Event]] = []
        self._order = 0
        self._turns = 0  # since time has passed
        self._wakes: queue.SimpleQueue[None] = queue.SimpleQueue()  # signal handlers may put something in

    # The network.

    def at(self, when: float, call: Callable[[], object]) -> Event:
        """Have *call* called when the clock is at *when*."""
        self._order += 1
        event = Event(call)
        heappush(self._events, (max(when, self.now), self._order, event))
        return event

    def look(self, number: int) -> None:
        """The socket of that *number* may be ready for something else than before."""
        key = self._keys.get(number)
        if key is None:
            return
        if self.sockets[number].readiness() & key.events:
            self._active.setdefault(number, key)
        else:
            self._active.pop(number, None)

    # Time.

    def wake(self) -> None:
        """Somebody has given the loop something to do. Threading: any thread, and signal handlers."""
        self._wakes.put(None)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready; if nothing is, after time has passed, *timeout* seconds at most."""
        self._turns += 1
        self._happen()
        woken = self._woken()
        if not self._active and not woken and (timeout is None or timeout > 0) and not self._threads_were_quicker():
            self._pass_time()
        if self._turns > _BUSY:
            self._turns = 0
            self._give_up(f"the loop has turned {_BUSY} times without time passing: something is busy for ever")
        return [(key, self.sockets[number].readiness() & key.events) for number, key in self._active.items()]

    def _woken(self) -> bool:
        woken = False
        while not self._wakes.empty():
            self._wakes.get_nowait()
            woken = True
        return woken

    def _threads_were_quicker(self) -> bool:
        """While threads work no time passes. Returns: whether they had something for the loop."""
        waited = 0.0
        while self.at_work():
            try:
                self._wakes.get(timeout=_LOOK_AGAIN)
            except queue.Empty:
                waited += _LOOK_AGAIN
                if waited > _PATIENCE:
                    self._give_up(f"a thread has worked for {_PATIENCE:g} real seconds, and time waits for it")
            else:
                self._wakes.put(None)
                break
        return self._woken()

    def _pass_time(self) -> None:
        timer = self.next_timer()
        event = self._next_event()
        due = min(timer if timer is not None else float("inf"), event if event is not None else float("inf"))
        if timer is None and event is None and not self.idles:
            self._give_up("nothing will ever happen: no timer, no packet and no thread is on its way")
        elif due > self.limit:
            self._move(self.limit)
            self.stop()
        else:
            self._move(due)
            self._happen()

    def _move(self, now: float) -> None:
        if now > self.now:
            self.now = now
            self._turns = 0

    def _next_event(self) -> float | None:
        events = self._events
        while events and events[0][2].call is None:
            heappop(events)
        return events[0][0] if events else None

    def _happen(self) -> None:
        """Do what is due."""
        events = self._events
        while events and events[0][0] <= self.now:
            event = heappop(events)[2]
            call, event.call = event.call, None
            if call is not None:
                call()

    def _give_up(self, why: str) -> NoReturn:
        raise Stalled(f"{why} (it is {self.now:g} s){self.story()}")

    def require_fake(self, fileobj: Any) -> None:
        """Raises: RuntimeError: *fileobj* is none of the fake network's."""
        if _number(fileobj) not in self.sockets:
            raise RuntimeError(
                f"{fileobj!r} is a real descriptor: time that is virtual does not wait for the real world. Connect "
                "through the hosts of a FakeNetwork, or run this on a real loop"
            )

    # What the loop uses: see `selectors.BaseSelector`.

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """Watch a socket. Raises: KeyError: it is watched. RuntimeError: it is none of the fake network's."""
        number = _number(fileobj)
        if number in self._keys:
            raise KeyError(f"{fileobj!r} is registered already")
        self.require_fake(fileobj)
        self._keys[number] = key = selectors.SelectorKey(fileobj, number, events, data)
        self.look(number)
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        """Watch it no more. Raises: KeyError: it was not watched."""
        number = _number(fileobj)
        self._active.pop(number, None)
        return self._keys.pop(number)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """Watch it for something else. Raises: KeyError: it was not watched."""
        number = _number(fileobj)
        self._keys[number] = key = self._keys[number]._replace(events=events, data=data)
        self._active.pop(number, None)
        self.look(number)
        return key

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        """The key of what is watched. Raises: KeyError."""
        return self._keys[_number(fileobj)]

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        """What is watched, by number."""
        return self._keys

    def forget(self, number: int) -> None:
        """The socket is closed."""
        self.sockets.pop(number, None)
        self._active.pop(number, None)
        self._keys.pop(number, None)

    def close(self) -> None:
        """Let go of everything."""
        for table in (self._keys, self._active, self.sockets):
            table.clear()
        self._events.clear()
        self.next_timer = self.stop = self.story = self.at_work = None  # type: ignore[assignment]  # the loop's


def _number(fileobj: Any) -> int:
    return fileobj if isinstance(fileobj, int) else int(fileobj.fileno())

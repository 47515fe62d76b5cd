"""`DictResolver`: names and what is found for them, written down. For tests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from netcore._current import current_reactor
from netcore.interfaces import (
    IAddress,
    IDelayedCall,
    IHostnameResolver,
    IReactorTime,
    IResolutionReceiver,
    implementer,
)
from netcore.resolver._question import Question
from netcore.resolver._resolution import Resolution

__all__ = ["DictResolver"]

Step = str | float | Exception


@implementer(IHostnameResolver)
class DictResolver:
    """Knows the names that it is told, and finds no other; literal addresses are answered.

    Each name has a list, whose items are taken one after the other: an address, as text, is found; a number is that
    many seconds to wait before going on; an exception ends the look-up, as its error. Without a wait all is told before
    ``resolveHostName`` returns::

        DictResolver({"both.example": ["::1", "127.0.0.1"], "slow.example": [1.5, "192.0.2.1"],
                      "broken.example": [socket.gaierror(socket.EAI_AGAIN, "try again")]})

    A name can be given another list later: ``resolver["both.example"] = ["127.0.0.1"]``. Case does not matter in names.

    Args:
        names: the lists by name; one address alone needs no list.
        clock: for waiting; None is the current reactor.
    Attributes: *asked*, the names that were looked up, literals excepted, as they were given.
    Raises: ValueError: a text is no address, or a wait is negative. TypeError: an item is something else.
    """

    def __init__(
        self, names: Mapping[str, str | Iterable[Step]] | None = None, clock: IReactorTime | None = None
    ) -> None:
        self.asked: list[str] = []
        self._clock = clock
        self._names: dict[str, list[Step]] = {}
        for name, steps in (names or {}).items():
            self[name] = steps

    def __setitem__(self, name: str, steps: str | Iterable[Step]) -> None:
        listed: list[Step] = [steps] if isinstance(steps, str) else list(steps)
        for step in listed:
            if isinstance(step, str):
                if Question.of(step, 0, None, "TCP").literal() is None:
                    raise ValueError(f"{step!r}, given for {name!r}, is no address")
            elif isinstance(step, (int, float)):
                if not step >= 0:
                    raise ValueError(f"a wait is 0 or more seconds, not {step!r}")
            elif not isinstance(step, Exception):
                raise TypeError(f"for {name!r} there are addresses, waits and exceptions, not {step!r}")
        self._names[name.lower()] = listed

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[IAddress]] | None = None,
        transportSemantics: str = "TCP",
    ) -> Resolution:
        """See `IHostnameResolver.resolveHostName`."""
        question = Question.of(hostName, portNumber, addressTypes, transportSemantics)
        waiting: IDelayedCall | None = None

        def stop() -> None:
            if waiting is not None and waiting.active():
                waiting.cancel()

        def go_on(steps: Iterator[Step]) -> None:
            nonlocal waiting
            for step in steps:
                if resolution.over:
                    return
                if isinstance(step, str):
                    for address in question.literal(step) or []:
                        resolution.found(address)
                elif isinstance(step, Exception):
                    resolution.complete(step)
                else:
                    clock = self._clock if self._clock is not None else current_reactor()
                    waiting = clock.callLater(step, go_on, steps)
                    return
            resolution.complete()

        resolution = Resolution(resolutionReceiver, hostName, stop)
        resolution.begin()
        literal = question.literal()
        if literal is not None:
            resolution.answer(literal)
        elif not resolution.over:
            self.asked.append(hostName)
            go_on(iter(self._names.get(hostName.lower(), [])))
        return resolution

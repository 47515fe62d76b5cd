"""Who waits for whom: from a Deferred outwards to the coroutines, lists and asyncio Tasks that wait for its result.

For debugging only. It reads what the modules beside it keep, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import FrameType
from typing import Any

from netcore.defer._asyncio import Awaiting
from netcore.defer._chain import CHAINED, Chain
from netcore.defer._combine import _Item, _Runner
from netcore.defer._driver import Driver

__all__ = ["driver_of", "entries_of", "frames_of", "frames_waiting_for"]

LIMIT = 100  # functions that wait for each other, of which more tell no more


def entries_of(deferred: Chain) -> Iterator[Any]:
    """What waits in *deferred*, the next first."""
    if deferred._first is not None:
        yield deferred._first
    cell = deferred._more
    while cell is not None:
        if cell[0] is not None:
            yield cell[0]
        cell = cell[1]


def driver_of(deferred: Chain) -> Driver | None:
    """What runs the coroutine whose Deferred *deferred* is; None: it is no coroutine's, or that has ended."""
    canceller = deferred._canceller
    return canceller if isinstance(canceller, Driver) else None


def frames_of(coroutine: Any) -> list[FrameType]:
    """The frames of a suspended coroutine or generator, and of those it awaits, outermost first."""
    frames: list[FrameType] = []
    while coroutine is not None and len(frames) < LIMIT:
        for prefix, inner in (("cr", "await"), ("gi", "yieldfrom"), ("ag", "await")):
            frame = getattr(coroutine, f"{prefix}_frame", None)
            if frame is not None:
                frames.append(frame)
                coroutine = getattr(coroutine, f"{prefix}_{inner}", None)
                break
        else:
            break
    return frames


def frames_waiting_for(deferred: Chain) -> list[FrameType]:
    """The frames of the functions that wait for *deferred*, and for those, outermost first.

    Where several wait, the first is followed.
    """
    found: list[list[FrameType]] = []
    seen: set[int] = set()
    waited_for: Chain | None = deferred
    while waited_for is not None and id(waited_for) not in seen and len(found) < LIMIT:
        seen.add(id(waited_for))
        following: Chain | None = None
        for entry in entries_of(waited_for):
            if isinstance(entry, Driver):
                found.append(frames_of(entry.generator))
                following = entry.deferred
            elif isinstance(entry, Awaiting):
                found += [frames_of(task.get_coro()) for task in _tasks_of(entry)[:1]]
            elif isinstance(entry, _Item):
                following = entry.collected
            elif isinstance(entry, _Runner):
                following = entry.race
            elif isinstance(entry, Chain) and entry._state == CHAINED:
                following = entry
            else:
                continue
            break
        waited_for = following
    return [frame for frames in reversed(found) for frame in frames]


def _tasks_of(awaiting: Awaiting) -> list[Any]:
    """The asyncio Tasks that *awaiting* wakes."""
    woken = [getattr(fn, "__self__", None) for fn, _ in getattr(awaiting, "_callbacks", ())]
    return [task for task in woken if hasattr(task, "get_coro")]

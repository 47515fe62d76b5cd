"""What is timed: operations by name, each with Deferreds and, where asyncio has something like it, with asyncio.

What each comparison includes is said in benchmarks/README.md.
"""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.systems.deferreds import with_asyncio, with_deferreds


@dataclass(frozen=True)
class Operation:
    """One line of the table.

    Args:
        futures: None if asyncio has nothing like it.
        in_loop: whether it is done in a callback of a running loop, as in a program, or with no loop at all.
    """

    deferreds: with_deferreds.Operation
    futures: with_asyncio.Operation | None = None
    in_loop: bool = True


_AWAIT_FIRED = with_deferreds.awaits(fired=True)
_AWAIT_PENDING = with_deferreds.awaits(fired=False)
_ENSURE = with_deferreds.ensure

OPERATIONS = {
    "create + one callback + fire": Operation(
        with_deferreds.fire_with_callbacks(1), with_asyncio.fire_with_callbacks(1)
    ),
    "create + callback with argument, errback + fire": Operation(with_deferreds.fire_with_arguments),
    "succeed + callback": Operation(with_deferreds.succeed, with_asyncio.succeed),
    "create + ten callbacks + fire": Operation(
        with_deferreds.fire_with_callbacks(10), with_asyncio.fire_with_callbacks(10)
    ),
    "inlineCallbacks call with one fired yield": Operation(with_deferreds.inline_call),
    "each further yield of a fired Deferred": Operation(with_deferreds.yields(fired=True)),
    "each yield of a pending Deferred": Operation(with_deferreds.yields(fired=False)),
    "await of a fired Deferred": Operation(_AWAIT_FIRED, with_asyncio.await_fired),
    "await of a fired Deferred, no loop running": Operation(_AWAIT_FIRED, in_loop=False),
    "await of a pending Deferred": Operation(_AWAIT_PENDING, with_asyncio.await_pending),
    "await of a pending Deferred, no loop running": Operation(_AWAIT_PENDING, in_loop=False),
    "ensureDeferred call": Operation(_ENSURE, with_asyncio.create_task),
    "ensureDeferred call, no loop running": Operation(_ENSURE, in_loop=False),
    "errback + trap": Operation(with_deferreds.errback, with_asyncio.set_exception),
    "raise in a callback + trap": Operation(with_deferreds.raising, with_asyncio.raising),
    "gatherResults of 100, per item": Operation(with_deferreds.gather, with_asyncio.gather),
    "callback returning a fired Deferred": Operation(with_deferreds.returning(fired=True)),
    "callback returning an unfired Deferred": Operation(with_deferreds.returning(fired=False)),
}

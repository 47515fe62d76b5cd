"""Debugging, for programs on netcore: off by default, and free then.

Switch it on by the environment variable ``NETCORE_DEBUG=1``, by ``netcore run --debug FILE``, or by a call::

    from netcore import debug

    debug.enable()

as early as may be: what was made before is not known. Then

- the report of an *unhandled failure* says where its Deferred was made and where it was fired, and of which coroutine
  it is, in its text and in the record's attributes ``madeAt`` and ``firedAt``; so does `AlreadyCalledError`;
- a Deferred *fired in a thread* that is not its reactor's is reported with both places (and works all the same); one
  that is awaited in another loop's thread raises RuntimeError there;
- a callback that *holds the loop* for longer than a tenth of a second is reported with its stack, taken while it runs
  (attributes ``heldFor`` and ``heldBy``), if a reactor runs the loop or is attached to it. A C function that another
  thread had called, or that is a callback of a Deferred, looks like many short calls and is not reported, nor on uvloop
  one that has no Python frames at all. One that keeps the GIL (``sorted``, ``re.match``, ``json.dumps``; also the
  garbage collector) lets no other thread look: it is reported when it has returned, with the function that called it,
  where the system has a CPU clock for each thread (Linux and the BSDs have; macOS and Windows have not, and there it is
  not reported);
- `pending` says where each thing was made;
- *tracebacks* have also the functions that wait for the one that failed and have not heard of it yet. In every mode
  they are one stack, outermost first, and what is logged is without netcore's own frames; with debugging on,
  `Failure.getTraceback` is, too.

The reports are records of the logger ``netcore.debug``, of level WARNING; unhandled failures are those of
``netcore.defer``, as ever.

`pending` and `printPending` say what waits: Deferreds, coroutines and the lines they wait at, timers, jobs of threads,
connections. They work with debugging off, too, and under ``netcore run`` the signal SIGUSR1 does the latter, in the
next turn of the loop. Jobs of `asyncio.to_thread` and ``run_in_executor`` are asyncio's, and not among them.

How it works: `enable` replaces methods of netcore's classes by ones that record as well, and `disable` puts the
originals back. A Deferred then costs several times what it costs without, and each loop is woken a hundred times a
second. asyncio's own debug mode is another thing, and left alone. `defer.setDebugging` switches only what concerns
Deferreds. When a loop is held by something that never ends, `faulthandler` shows the stacks of all threads.
"""

from netcore.debug._pending import Pending, PendingList, pending, printPending
from netcore.debug._switch import disable, enable, isEnabled

__all__ = ["Pending", "PendingList", "disable", "enable", "isEnabled", "pending", "printPending"]

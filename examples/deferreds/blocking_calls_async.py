"""Two calls that block, in threads of the reactor's pool, collected by a coroutine: async def, and await on a Deferred.

It does what blocking_calls.py does, and lets `task.react` start and stop the reactor.

Run it: python examples/deferreds/blocking_calls_async.py
"""

import hashlib
from collections.abc import Callable
from typing import Any

from netcore import defer, task


def work(word: str, done: Callable[[str], object]) -> None:
    """Something that takes its time: it would hold up the reactor, were it called in its thread."""
    done(hashlib.pbkdf2_hmac("sha256", word.encode(), b"salt", 200_000).hex()[:16])


def ask(reactor: Any, word: str) -> defer.Deferred[str]:
    """Have it worked out in a thread."""
    d: defer.Deferred[str] = defer.Deferred()
    reactor.callInThread(work, word, d.callback)
    return d


async def main(reactor: Any) -> None:
    first, second = ask(reactor, "alice"), ask(reactor, "bob")  # both have begun
    print("alice:", await first)
    print("bob:", await second)


task.react(main)

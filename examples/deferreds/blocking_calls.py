"""Two calls that block, in threads of the reactor's pool, collected by a generator: inlineCallbacks.

A Deferred may be fired from a worker thread, as here; the generator goes on in its own.

Run it: python examples/deferreds/blocking_calls.py
"""

import hashlib
from collections.abc import Callable, Generator
from typing import Any

from netcore import defer, reactor


def work(word: str, done: Callable[[str], object]) -> None:
    """Something that takes its time: it would hold up the reactor, were it called in its thread."""
    done(hashlib.pbkdf2_hmac("sha256", word.encode(), b"salt", 200_000).hex()[:16])


def ask(word: str) -> defer.Deferred[str]:
    """Have it worked out in a thread."""
    d: defer.Deferred[str] = defer.Deferred()
    reactor.callInThread(work, word, d.callback)
    return d


@defer.inlineCallbacks
def main() -> Generator[Any, Any, None]:
    first, second = ask("alice"), ask("bob")  # both have begun
    print("alice:", (yield first))
    print("bob:", (yield second))


reactor.callWhenRunning(lambda: main().addBoth(lambda _: reactor.stop()))
reactor.run()

"""Event-driven networking in the reactor / Protocol / Factory / Deferred model, on asyncio event loops.

Import what you use: ``from netcore import defer, protocol, task``. ``from netcore import reactor`` gives the global
reactor, which is made at that moment; ``import netcore`` alone makes none. `netcore.reactors` has the class, for
reactors of one's own.
"""

from __future__ import annotations

import atexit
import threading
from typing import TYPE_CHECKING, Any

__all__ = ["reactor"]

if TYPE_CHECKING:
    from netcore.reactors import Reactor

    reactor: Reactor
    __version__: str

_lock = threading.Lock()


def __getattr__(name: str) -> Any:
    if name == "reactor":
        from netcore.reactors import Reactor

        with _lock:  # two threads may ask at once, and must be given the same one
            if "reactor" not in globals():
                globals()["reactor"] = made = Reactor()
                atexit.register(made._close_at_exit)
            return globals()["reactor"]
    if name == "__version__":
        from importlib.metadata import version

        return version("netcore-asyncdb")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

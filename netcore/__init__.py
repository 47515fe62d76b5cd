"""Event-driven networking in the reactor / Protocol / Factory / Deferred model, on asyncio event loops.

Import what you use: ``from netcore import defer, protocol, task``. ``from netcore import reactor`` gives the global
reactor, which is made at that moment; ``import netcore`` alone makes none. `netcore.reactors` has `install`, which
makes it over a loop of your choice, and the class, for reactors of one's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__all__ = ["reactor"]

if TYPE_CHECKING:
    from netcore.reactors import Reactor

    reactor: Reactor
    __version__: str


def __getattr__(name: str) -> Any:
    if name == "reactor":
        from netcore.reactors._global import installed

        return installed()
    if name == "__version__":
        from importlib.metadata import version

        return version("netcore-asyncdb")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

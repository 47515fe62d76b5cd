"""Event-driven networking in the reactor / Protocol / Factory / Deferred model, on asyncio event loops.

Import what you use: ``from netcore import defer, protocol, task``. ``from netcore import reactor`` gives the global
reactor, which is made at that moment; ``import netcore`` alone makes none. `netcore.reactors` has `install`, which
makes it over a loop of your choice, and the class, for reactors of one's own. ``NETCORE_DEBUG=1`` in the environment
switches debugging on (`netcore.debug`). `netcore.scope` is structured concurrency.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

__all__ = ["Scope", "reactor", "scope"]

if TYPE_CHECKING:
    from netcore._scope import Scope, scope
    from netcore.reactors import Reactor

    reactor: Reactor
    __version__: str


def __getattr__(name: str) -> Any:
    if name == "reactor":
        from netcore.reactors._global import installed

        return installed()
    if name in ("scope", "Scope"):
        from netcore import _scope

        globals()[name] = found = getattr(_scope, name)
        return found
    if name == "__version__":
        from importlib.metadata import version

        return version("netcore-asyncdb")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


if os.environ.get("NETCORE_DEBUG", "") not in ("", "0"):  # last: what it imports looks into this module
    from netcore import debug

    debug.enable()

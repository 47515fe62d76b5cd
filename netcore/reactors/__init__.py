"""Reactors: event loops in this library's model, each over an asyncio loop.

`Reactor` makes one, `install` the global one over a loop of your choice; `live` names those that still hold something.
"""

from netcore.reactors._global import install
from netcore.reactors._reactor import Reactor, live

__all__ = ["Reactor", "install", "live"]

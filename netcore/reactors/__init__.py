"""Reactors: event loops in this library's model, each over an asyncio loop.

`Reactor` makes one; `live` names those that still hold something.
"""

from netcore.reactors._reactor import Reactor, live

__all__ = ["Reactor", "live"]

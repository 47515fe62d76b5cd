"""What a scope can be tied to: a connection, a service. `netcore.scope` has the other side.

An owner knows of a scope only while something runs in that, so that neither keeps the other alive.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from netcore.failure import Failure

__all__ = ["ScopeOwner"]


class _Tied(Protocol):
    """What runs in a scope."""

    def owner_ended(self, why: str) -> Any:
        """The owner ends: cancel all. Returns: Deferred firing with None when all has ended; None: it has."""


class ScopeOwner:
    """Base of what scopes can be tied to."""

    # On the class: those who inherit need not call an __init__, and those without scopes pay nothing.
    _tied: dict[_Tied, None] | None = None  # in the order they came
    _ended_because: str | None = None  # it has ended, and takes no scopes any more
    _end_of_owner = "its connection was lost"  # what is said then

    def _tie(self, tied: _Tied) -> None:
        if self._tied is None:
            self._tied = {}
        self._tied[tied] = None

    def _untie(self, tied: _Tied) -> None:
        if self._tied is not None:
            self._tied.pop(tied, None)

    def _end_scopes(self) -> list[Any]:
        """Cancel what runs in the scopes. Returns: Deferreds of those that take a while."""
        self._ended_because = self._end_of_owner
        ending = [tied.owner_ended(self._end_of_owner) for tied in list(self._tied or ())]
        return [ended for ended in ending if ended is not None]

    def _child_failed(self, failure: Failure) -> None:
        """Something failed in a scope that nobody waits for at an ``async with``; it will be logged."""

"""What is to be done after an event: the core's answer, besides the states it leaves."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, TypeVar

from asyncdb._core._states import Entry, Job

__all__ = ["Orders"]

E = TypeVar("E", bound=Entry)
J = TypeVar("J", bound=Job)


@dataclass(slots=True)
class Orders(Generic[E, J]):
    """What is to be done after an event, beyond what the state of the event's own entry says.

    Attributes:
        carry: entries that need a thread now.
        fail: jobs to fail, each with its error.
        interrupt: entries whose running statement is to be told to stop; those where that is under way already are not
            told again.
        cut: entries whose connection is to be cut, so that a thread blocked in the driver comes back.
        held: entries whose connection somebody has held for longer than ``cp_leak_after``.
        outage: connecting has begun to fail, with this error.
        recovered: connecting works again, after so many failures.
        ready: ``cp_min`` connections stand, which somebody wanted to know.
        unready: they will not, for this reason.
        drained: the closing pool has no connection left.
    """

    carry: list[E] = field(default_factory=list)
    fail: list[tuple[J, BaseException]] = field(default_factory=list)
    interrupt: list[E] = field(default_factory=list)
    cut: list[E] = field(default_factory=list)
    held: list[E] = field(default_factory=list)
    outage: BaseException | None = None
    recovered: int = 0
    ready: bool = False
    unready: BaseException | None = None
    drained: bool = False

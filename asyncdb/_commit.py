"""How a call begins its transaction, and how it commits: with the patience, and the care, that both need.

Invariants:

- A commit whose outcome is not known is reported as CommitUnknown, whoever asked for it.
- A call whose caller has gone commits nothing. The thread says that it commits, then looks whether it still should;
  who cancels changes the call's state, then looks whether it commits: one of the two sees the other.
- After its last commit a call stays ``committing``: a caller who gives up before the result has reached him must not be
  told that nothing happened.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import monotonic, sleep
from typing import TypeVar

from asyncdb._core import Job, JobState
from asyncdb._worker import Call, Slot
from asyncdb.dialect import Driver, causes
from asyncdb.errors import CommitUnknown

__all__ = ["Abandoned", "begin", "commit", "committing", "patiently", "take_turn"]

T = TypeVar("T")

_ABANDONED = JobState.ABANDONED  # a global is read faster than an attribute of an enum class


class Abandoned(BaseException):
    """The caller of this call has gone: it goes no further, and commits nothing. Nobody hears of it.

    No Exception, so that a function which catches those, and goes on, ends all the same.
    """


def begin(driver: Driver, slot: Slot, call: Call) -> None:
    """Begin a transaction for *call*, with the characteristics that its options ask for.

    Raises: Abandoned: its caller has gone while it waited for a lock. Else what the driver raises.
    """
    patient = take_turn(driver, slot, call)
    patiently(driver, call, partial(driver.begin, slot.connection, call.options), patient)


def take_turn(driver: Driver, slot: Slot, call: Call) -> bool:
    """Wait until *call* may write, if the database lets only one write. Who took it gives it on, `Turns.give`.

    Returns: whether a lock that is missing now may be waited for. Not if it has been already: without its turn in time
        a call goes on all the same, and the database says who keeps the lock, if anybody does.
    Raises: Abandoned: nobody waits for the call any more.
    """
    turns = driver.turns
    if turns is None or call.options.readonly:
        return True
    taken = turns.take_free(slot.connection)
    if not taken:
        taken = turns.take(slot.connection, driver.busy_timeout, lambda: call.state is not _ABANDONED)
        call.started = call.crew.host.seconds()  # waiting for one's turn is waiting
    if call.state is _ABANDONED:
        raise Abandoned
    return taken


def commit(driver: Driver, slot: Slot, call: Call | None, last: bool = True) -> None:
    """Commit what *call* did on *slot*'s connection; None for a connection that is lent.

    Args:
        last: the call does nothing more.
    Raises: Abandoned: its caller has gone; nothing was committed. CommitUnknown: the connection was lost meanwhile.
        Else what the driver raises; nothing was committed.
    """
    connection = slot.connection
    if getattr(connection, "closed", False):
        driver.commit(connection)  # raises, before anything is sent
    job = call or Job()
    patiently(driver, job, partial(committing, driver, slot, job, partial(driver.commit, connection)))
    if driver.turns is not None:
        driver.turns.give(connection)
    if not last:
        job.committing = False


def committing(driver: Driver, slot: Slot, job: Job, attempt: Callable[[], object], *, promised: bool = False) -> None:
    """Make one attempt to commit what *job* did. It is ``committing`` afterwards, unless nothing was committed.

    Args:
        promised: it was prepared, which promises that it can be: whether somebody waits for *job* is no question now.
    Raises: as `commit`.
    """
    job.committing = True
    if job.state is _ABANDONED and not promised:
        job.committing = False
        raise Abandoned
    try:
        attempt()
    except CommitUnknown:
        raise
    except Exception as error:
        if any(driver.is_unknown(cause, slot.connection) for cause in causes(error)):
            slot.lost = True
            raise CommitUnknown(f"the connection was lost during COMMIT: {str(error).strip()}") from error
        job.committing = False
        raise


def patiently(driver: Driver, job: Job, attempt: Callable[[], T], patient: bool = True) -> T:
    """What *attempt* returns. It is made again as long as a lock is all that it lacks, and somebody waits for *job*.

    Args:
        patient: else it is made once.

    Raises: Abandoned: nobody does. Else what *attempt* raises.
    """
    now = monotonic()
    end = now + driver.busy_timeout if patient else now
    while True:
        try:
            return attempt()
        except Exception as error:
            before, now = now, monotonic()
            if now >= end or not driver.is_busy(error):
                raise
        if job.state is _ABANDONED:
            raise Abandoned
        if now - before < driver.busy_slice / 2:  # it has not waited: some builds of SQLite do only for whole seconds
            sleep(driver.busy_slice / 2)

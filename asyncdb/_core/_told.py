"""The errors that the core gives to callers, in words."""

from __future__ import annotations

from collections.abc import Callable

from asyncdb._core._states import Job
from asyncdb.errors import CommitUnknown, DeadlineExceeded, PoolClosed, PoolOverloaded

__all__ = [
    "closed_and_undone",
    "closed_while_queued",
    "closed_while_running",
    "cut_with_another",
    "first_line",
    "no_connection",
    "not_committed",
    "not_ended",
    "not_ready",
    "overloaded",
    "overloaded_by",
]


def first_line(error: BaseException) -> str:
    """One line about *error*, where nobody says how to leave its secrets out."""
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"


def overloaded(most: int, figures: str) -> PoolOverloaded:
    """As many wait as may."""
    return PoolOverloaded(f"as many calls wait as may (cp_max_waiting={most}); this one was not made. {figures}")


def overloaded_by(caller: str, most: int | None, figures: str) -> PoolOverloaded:
    """As many of one caller wait as may."""
    return PoolOverloaded(
        f"as many calls of {caller!r} wait as may (cp_max_waiting_per_caller={most}); this one was not made. {figures}"
    )


def no_connection(
    job: Job, figures: str, cause: BaseException | None, redact: Callable[[BaseException], str]
) -> DeadlineExceeded:
    """The patience of *job* has ended in the queue."""
    waited = job.patience - job.submitted
    limit = "its timeout" if job.patience == job.deadline else "cp_wait_timeout"
    told = f"no connection within {limit} of {waited:g} s; nothing of the call was sent. {figures}"
    return _caused(told, cause, redact)


def not_ready(
    least: int, waited: float, figures: str, cause: BaseException | None, redact: Callable[[BaseException], str]
) -> DeadlineExceeded:
    """The connections that there should be at least do not stand."""
    return _caused(f"not {least} connections (cp_min) within {waited:g} s. {figures}", cause, redact)


def _caused(told: str, cause: BaseException | None, redact: Callable[[BaseException], str]) -> DeadlineExceeded:
    error = DeadlineExceeded(told if cause is None else f"{told}; connecting fails: {redact(cause)}")
    error.__cause__ = cause
    return error


def not_ended(job: Job, figures: str) -> DeadlineExceeded | CommitUnknown:
    """The deadline of *job* has passed while it ran."""
    limit = job.deadline - job.submitted
    if job.committing:
        return CommitUnknown(f"the timeout of {limit:g} s passed during COMMIT, which was left to end by itself")
    return DeadlineExceeded(
        f"not ended within its timeout of {limit:g} s; it is interrupted, and may have taken effect. {figures}"
    )


def not_committed(job: Job) -> CommitUnknown:
    """The deadline of *job* has passed while it was held."""
    limit = job.deadline - job.submitted
    return CommitUnknown(
        f"the timeout of {limit:g} s passed before the COMMIT that it shares with other calls, or in it"
    )


def cut_with_another() -> CommitUnknown:
    """The statement of another call, in the same transaction, did not stop, and the connection was cut."""
    return CommitUnknown(
        "the connection was cut before COMMIT, or during it, because a statement of another call that shared the "
        "transaction did not stop"
    )


def closed_while_queued() -> PoolClosed:
    """The pool closed before the call had a connection."""
    return PoolClosed("the pool was closed while the call was queued; nothing of it was sent")


def closed_and_undone() -> PoolClosed:
    """The pool closed before a call could be made again."""
    return PoolClosed(
        "the pool was closed before the call could be made again; it was undone with the transaction that it shared"
    )


def closed_while_running(job: Job) -> PoolClosed | CommitUnknown:
    """The pool closed, and the connection was cut."""
    if job.committing:
        return CommitUnknown("the pool was closed, and the connection cut, during COMMIT")
    return PoolClosed("the pool was closed while the call ran, and its connection was cut; it may have taken effect")

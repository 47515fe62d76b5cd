"""An entry in each state it can be in, and a picture of the core that shows any change."""

from __future__ import annotations

import pickle
from collections.abc import Callable

from asyncdb._core import EntryState, Job
from asyncdb._core._ground import Ground
from asyncdb._core._states import Entry
from tests.support.core_pool import Pool

__all__ = ["SITUATIONS", "picture", "sharing"]

S = EntryState


def _connecting(pool: Pool) -> Entry:
    pool.submit()
    return pool.take(S.CONNECTING)


def _checking(pool: Pool) -> Entry:
    entry, _ = pool.busy()
    pool.tell(pool.core.distrusted, entry)
    return entry


def _idle(pool: Pool) -> Entry:
    return pool.idle()


def _busy(pool: Pool) -> Entry:
    return pool.busy()[0]


def _busy_for_nobody(pool: Pool) -> Entry:
    entry, job = pool.busy()
    pool.cancel(job)
    return entry


def sharing(pool: Pool) -> Entry:
    """One whose job shares its transaction with the two before it."""
    entry, _ = pool.busy()
    others = [pool.submit() for _ in range(pool.options.max + 1)]
    for _ in range(2):
        assert isinstance(entry.job, Job)
        entry.job.committing = True
        assert pool.core.share(entry, pool.now, joins=lambda job: True)
    for job in others[2:]:
        pool.cancel(job)
    return entry


def _lent(pool: Pool) -> Entry:
    return pool.lent()


def _resetting(pool: Pool) -> Entry:
    entry = pool.lent()
    pool.do(pool.core.returned(entry, pool.now))
    return entry


def _closing(pool: Pool) -> Entry:
    entry = pool.lent()
    pool.do(pool.core.forsaken(entry))
    return entry


def _abandoned(pool: Pool) -> Entry:
    entry = _resetting(pool)
    pool.pass_time(pool.options.check_timeout)
    return entry


def _abandoned_with_its_call(pool: Pool) -> Entry:
    entry = _busy_for_nobody(pool)
    pool.pass_time(pool.options.check_timeout)
    return entry


def _abandoned_sharing(pool: Pool) -> Entry:
    entry = sharing(pool)
    assert isinstance(entry.job, Job)
    pool.cancel(entry.job)
    pool.pass_time(pool.options.check_timeout)
    return entry


def _gone(pool: Pool) -> Entry:
    entry = pool.busy()[0]
    pool.lose(entry)
    return entry


SITUATIONS: dict[str, tuple[S, Callable[[Pool], Entry]]] = {
    "connecting": (S.CONNECTING, _connecting),
    "checking": (S.CHECKING, _checking),
    "idle": (S.IDLE, _idle),
    "busy": (S.BUSY, _busy),
    "busy for nobody": (S.BUSY, _busy_for_nobody),
    "busy, and shares a transaction": (S.BUSY, sharing),
    "lent": (S.LENT, _lent),
    "resetting": (S.RESETTING, _resetting),
    "closing": (S.CLOSING, _closing),
    "abandoned": (S.ABANDONED, _abandoned),
    "abandoned with its call": (S.ABANDONED, _abandoned_with_its_call),
    "abandoned, and shares a transaction": (S.ABANDONED, _abandoned_sharing),
    "gone": (S.GONE, _gone),
}


def picture(pool: Pool, entry: Entry | None = None) -> bytes:
    """All of the core, down to the last attribute, but for what only makes things; and *entry*."""
    core = {name: getattr(pool.core, name) for name in Ground.__slots__}
    for name in ("_make_entry", "_redact"):  # which nothing can change
        del core[name]
    for name in ("outage", "_upkeep"):
        part = core[name]
        core[name] = [getattr(part, slot) for slot in part.__slots__ if slot != "_jitter"]
    for name in ("entries", "strays"):
        core[name] = sorted(core[name], key=id)
    return pickle.dumps((core, entry))

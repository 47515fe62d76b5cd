"""Every event in every state of an entry: what it leads to, or that it is refused and nothing has changed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from asyncdb._core import EntryState, IllegalTransition
from asyncdb._core._states import Entry
from tests.support.core_pool import AGAIN, Pool
from tests.unit.asyncdb.situations import SITUATIONS, picture

S = EntryState

EVENTS: dict[str, Callable[[Pool, Entry], object]] = {
    "connected": lambda pool, entry: pool.core.connected(entry, pool.now),
    "connect_failed": lambda pool, entry: pool.core.connect_failed(entry, OSError("refused"), True, pool.now),
    "connect_failed for good": lambda pool, entry: pool.core.connect_failed(entry, OSError("no"), False, pool.now),
    "checked": lambda pool, entry: pool.core.checked(entry, pool.now),
    "suspected": lambda pool, entry: pool.core.suspected(entry, pool.now),
    "finished": lambda pool, entry: pool.core.finished(entry, pool.now),
    "failed": lambda pool, entry: pool.core.failed(entry, pool.now),
    "distrusted": lambda pool, entry: pool.core.distrusted(entry, pool.now),
    "lent": lambda pool, entry: pool.core.lent(entry, pool.now),
    "returned": lambda pool, entry: pool.core.returned(entry, pool.now),
    "forsaken": lambda pool, entry: pool.core.forsaken(entry),
    "cleaned": lambda pool, entry: pool.core.cleaned(entry, pool.now, True),
    "lost": lambda pool, entry: pool.core.lost(entry, "lost", pool.now),
    "lost to a standby": lambda pool, entry: pool.core.lost(entry, "readonly", pool.now),
    "committed": lambda pool, entry: pool.core.committed(entry, pool.now),
    "undone": lambda pool, entry: pool.core.undone(entry, pool.now),
    "undone altogether": lambda pool, entry: pool.core.undone(entry, pool.now, own=True),
    "ended": lambda pool, entry: pool.core.ended(entry, pool.now),
}

# What becomes of an entry with nobody waiting. "same": the event came too late, and the thread goes on with what the
# state says. Whatever is not here is refused.
ENDS = dict.fromkeys(("lost", "lost to a standby", "ended"), S.GONE)
TABLE: dict[str, dict[str, S | str]] = {
    "connecting": {
        "connected": S.BUSY,  # somebody waits for it
        "connect_failed": S.GONE,
        "connect_failed for good": S.GONE,
        "ended": S.GONE,
    },
    "checking": {"checked": S.IDLE, **ENDS},
    "idle": {},
    "busy": {
        "finished": S.IDLE,
        "failed": S.IDLE,
        "suspected": S.CHECKING,
        "distrusted": S.CHECKING,
        "lent": S.LENT,
        **ENDS,
    },
    "busy for nobody": {
        "finished": S.CHECKING,
        "failed": S.CHECKING,
        "suspected": S.CHECKING,
        "distrusted": S.CHECKING,
        "lent": "same",
        **ENDS,
    },
    "busy, and shares a transaction": {
        "committed": S.BUSY,
        "undone": S.BUSY,
        "undone altogether": S.BUSY,  # it takes the first of them
    },
    "lent": {"returned": S.RESETTING, "forsaken": S.CLOSING},
    "resetting": {"cleaned": S.IDLE, **ENDS},
    "closing": {"ended": S.GONE},
    "abandoned": {
        "connected": "same",
        "connect_failed": S.GONE,
        "connect_failed for good": S.GONE,
        "checked": "same",
        "cleaned": "same",
        **ENDS,
    },
    "gone": {},
}
TABLE["abandoned with its call"] = {
    **TABLE["abandoned"],
    **dict.fromkeys(("finished", "failed", "suspected", "distrusted", "lent"), "same"),
}
TABLE["abandoned, and shares a transaction"] = {
    **{event: target for event, target in TABLE["abandoned"].items() if event not in ENDS},
    **dict.fromkeys(("committed", "undone", "undone altogether"), "same"),
}


@pytest.mark.parametrize("situation", SITUATIONS)
def test_every_event_in_every_state(situation: str) -> None:
    state, arrange = SITUATIONS[situation]
    for event, happens in EVENTS.items():
        pool = Pool(max=4, keepalive=60.0, leak_after=30.0, max_waiting_per_caller=5)
        pool.busy()  # others, on which it may have an effect
        pool.lent()
        pool.carry.clear()
        entry = arrange(pool)
        assert entry.state is state
        target = TABLE[situation].get(event)
        if target is None:
            before = picture(pool, entry)
            with pytest.raises(IllegalTransition, match=state.name):
                happens(pool, entry)
            assert picture(pool, entry) == before, event
        else:
            happens(pool, entry)
            assert entry.state is (state if target == "same" else target), event
            counted = [pool.core.count(each) for each in S if each < S.ABANDONED]
            assert counted == [sum(e.state is each for e in pool.core.entries) for each in S if each < S.ABANDONED]
            assert target == "same" or entry.job is None or entry.state is S.BUSY, event


def test_the_pictures_show_a_change() -> None:
    pool = Pool(max=3)
    entry, job = pool.busy()
    before = picture(pool)
    assert picture(pool) == before
    job.committing = True
    assert picture(pool) != before
    before = picture(pool)
    pool.core.tally.evictions["lost"] += 1
    assert picture(pool) != before
    before = picture(pool)
    entry.again = AGAIN
    assert picture(pool) != before

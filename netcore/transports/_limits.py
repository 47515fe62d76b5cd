"""How much may wait to be sent before somebody is told to stop."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["HIGH_WATER", "WriteLimits", "write_limits"]

# A streaming producer is paused when more than this waits to be sent.
HIGH_WATER = 64 * 1024


class WriteLimits(NamedTuple):
    """Bytes that wait: beyond *high* a streaming producer is paused, down to *low* it is resumed, beyond *maximum* the
    connection is aborted."""

    high: int
    low: int
    maximum: int | None


def write_limits(high: int | None, low: int | None, maximum: int | None) -> WriteLimits:
    """What ``setWriteLimits`` was asked for, with the rest as at first.

    Raises: ValueError: they do not hold 0 <= low <= high < maximum.
    """
    if low is None:
        low = 0
    if high is None:
        high = max(HIGH_WATER, low)
    if not 0 <= low <= high or (maximum is not None and maximum <= high):
        raise ValueError(
            f"write limits must be 0 <= low <= high < maximum, not low={low!r}, high={high!r}, maximum={maximum!r}"
        )
    return WriteLimits(high, low, maximum)

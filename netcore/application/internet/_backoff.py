"""How long a client waits before it tries again."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

__all__ = ["backoffPolicy"]


def backoffPolicy(
    initialDelay: float = 1.0,
    maxDelay: float = 60.0,
    factor: float = 1.5,
    jitter: Callable[[], float] = random.random,
) -> Callable[[int], float]:
    """A retry policy for `ClientService`, whose delays grow with each failure.

    The jitter keeps clients that lost the same server at the same moment from coming back at the same moment.

    Args:
        initialDelay: seconds, which the first delay is *factor* times of.
        maxDelay: the longest delay, without jitter.
        factor: how many times longer each delay is than the one before.
        jitter: called for each delay, gives the seconds that are added to it.
    Returns: a function from how many attempts have failed in a row to the seconds to wait.
    Raises: ValueError: negative seconds, or a *factor* below 1.

    >>> wait = backoffPolicy(initialDelay=2.0, maxDelay=10.0, factor=2.0, jitter=lambda: 0.5)
    >>> [wait(failures) for failures in (1, 2, 3, 4)]
    [4.5, 8.5, 10.5, 10.5]
    """
    for name, seconds in (("initialDelay", initialDelay), ("maxDelay", maxDelay)):
        if not 0 <= seconds < math.inf:
            raise ValueError(f"{name} is 0 or more seconds, not {seconds!r}")
    if not 1 <= factor < math.inf:
        raise ValueError(f"factor is 1 or more, or it would be tried ever faster; not {factor!r}")

    def delay(attempt: int) -> float:
        try:
            grown = initialDelay * float(factor) ** attempt
        except OverflowError:
            grown = maxDelay if initialDelay else 0.0
        return min(grown, maxDelay) + jitter()

    return delay

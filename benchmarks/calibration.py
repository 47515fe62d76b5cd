"""How many operations make a round of the length wanted: pure, but for what it is given to measure with."""

from __future__ import annotations

import math
from collections.abc import Callable

FIRST = 256  # operations; as few as the slowest system here does in well under a second
GROWTH = 16  # at most, from one attempt to the next: the first is cold and says little


def calibrate(measure: Callable[[int], float], seconds: float) -> int:
    """The number of operations that take about *seconds*.

    Args:
        measure: does so many operations and returns the seconds that they took. What it does is also the warm-up.
    """
    enough = seconds / 3
    count = FIRST
    while (taken := measure(count)) < enough:
        factor = GROWTH if taken <= 0 else min(GROWTH, 1.2 * enough / taken)
        count = math.ceil(count * max(factor, 1.2))
    return max(1, round(count * seconds / taken))

"""A batch: how often an operation is done at a time, and how long that took."""

from __future__ import annotations

from time import perf_counter_ns

BATCH = 1000  # operations: half a millisecond to five


class Stopwatch:
    """Takes the time of a block. What a batch works on is made before that, if it is not itself what is measured."""

    def __init__(self) -> None:
        self._began = self._took = 0

    def __enter__(self) -> None:
        self._began = perf_counter_ns()

    def __exit__(self, *_: object) -> None:
        self._took = perf_counter_ns() - self._began

    @property
    def per_operation(self) -> float:
        """Nanoseconds per operation of the batch."""
        if not self._took:
            raise AssertionError("nothing was timed")
        return self._took / BATCH

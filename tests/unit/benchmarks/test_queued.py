"""What is said of queued calls."""

from __future__ import annotations

import json

import pytest

from benchmarks.queued import Queued, QueuedResults, data, text
from benchmarks.targets import QUEUED_BYTES, Verdict


@pytest.mark.parametrize(
    ("allocated", "refused", "verdict"),
    [
        (QUEUED_BYTES, 10, Verdict.FLOOR),
        (QUEUED_BYTES + 1, 10, Verdict.MISSED),
        (QUEUED_BYTES, 9, Verdict.MISSED),
    ],
)
def test_ours_is_small_and_refuses_all_beyond_the_bound(allocated: float, refused: int, verdict: Verdict) -> None:
    ours = Queued(allocated, resident=640, queueing=8.5, refused=refused, refusing=16)
    results = QueuedResults(1000, 10, {"asyncdb": ours})
    assert results.judge() is verdict
    assert verdict.value in text(results)
    assert json.loads(json.dumps(data(results)))["verdict"] == verdict.value


def test_a_system_without_a_bound_has_no_price_for_refusing() -> None:
    results = QueuedResults(1000, 10, {"adbapi": Queued(1544, 1679, 26.9, refused=0, refusing=0.1)})
    (line,) = [line for line in text(results).splitlines() if line.startswith("adbapi")]
    assert line.split() == ["adbapi", "1,544", "1,679", "26.9", "0", "–"]
    assert results.judge() is Verdict.UNKNOWN

"""A storm of cancels, time-outs, errors and kills on a real PostgreSQL. `tests.load.storm` is the same at length."""

from __future__ import annotations

import pytest

from asyncdb.testing.postgres import Database
from tests.integration.asyncdb.running import runReactor
from tests.support.storm import Storm


@pytest.mark.parametrize("seed", [1, 2])
def test_a_storm_leaves_nothing_dirty_lost_doubled_or_untold(database: Database, seed: int) -> None:
    report = runReactor(Storm(database, calls=200, seed=seed).run)
    assert not report.violations, "\n".join(report.violations)
    assert not report.findings.wrong, report.findings
    assert report.fired == report.calls
    told = {told for kind, told in report.told}
    assert {"well", "CancelledError", "DeadlineExceeded"} <= told
    assert sum(stats.interrupts for stats in report.stats.values())
    assert report.kills

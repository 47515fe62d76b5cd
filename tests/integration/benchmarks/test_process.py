"""The worker process of a system, and what its driver hears when the system goes wrong."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from benchmarks.process import CannotRun, WorkerFailed, WorkerProcess


@pytest.fixture
def worker() -> Iterator[WorkerProcess]:
    with closing(WorkerProcess("the system")) as worker:
        yield worker


def start(worker: WorkerProcess, name: str) -> None:
    worker.ask("start", factory=f"tests.integration.benchmarks.broken_systems:{name}", arguments={})


def test_a_round_is_measured(worker: WorkerProcess) -> None:
    start(worker, "Working")
    measured = worker.ask("round", operations=10)
    assert (measured["operations"], measured["p50"], measured["p99"]) == (10, 0.001, 0.001)
    assert measured["seconds"] > 0
    assert worker.ask("stop") is None


def test_operations_that_were_not_done_void_the_run(worker: WorkerProcess) -> None:
    start(worker, "Idle")
    with pytest.raises(WorkerFailed, match="10 operations were asked for, 9 were done"):
        worker.ask("round", operations=10)


def test_a_wrong_answer_voids_the_run(worker: WorkerProcess) -> None:
    start(worker, "Wrong")
    with pytest.raises(WorkerFailed, match=r"(?s)the system: .*asked for 'u1', got nothing"):
        worker.ask("round", operations=10)


def test_a_system_that_dies_voids_the_run(worker: WorkerProcess) -> None:
    start(worker, "Dying")
    with pytest.raises(WorkerFailed, match="its process ended, with exit status 3"):
        worker.ask("round", operations=10)
    with pytest.raises(WorkerFailed, match="its process ended"):
        worker.ask("round", operations=10)


def test_a_system_whose_package_is_missing_cannot_run(worker: WorkerProcess) -> None:
    with pytest.raises(CannotRun, match="a_package_that_nobody_has"):
        start(worker, "Missing")


def test_a_worker_ends_with_its_orders(worker: WorkerProcess) -> None:
    start(worker, "Working")
    worker.close()
    assert worker.exit_status == 0

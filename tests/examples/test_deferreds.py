"""The programs about Deferreds, run as their reader would run them."""

from __future__ import annotations

import sys
from typing import Any

import pytest


def test_ten_jobs(spawn: Any) -> None:
    program = spawn(sys.executable, "examples/deferreds/ten_jobs.py")
    assert program.wait() == 0
    printed = program.output.splitlines()
    assert printed[:9] == [f"job {number} ends" for number in (9, 8, 6, 5, 4, 3, 2, 1, 0)]
    assert printed[9:] == [
        f"job {number}: {number * number}" if number != 7 else "job 7: failed: job 7 went wrong" for number in range(10)
    ]


@pytest.mark.parametrize("name", ["blocking_calls", "blocking_calls_async"])
def test_two_blocking_calls(spawn: Any, name: str) -> None:
    program = spawn(sys.executable, f"examples/deferreds/{name}.py")
    assert program.wait() == 0
    assert program.output.splitlines() == ["alice: 934d6d90396ed18c", "bob: 506a66469090be72"]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_query_in_an_asyncio_program(spawn: Any, kind: str, request: pytest.FixtureRequest) -> None:
    arguments = [request.getfixturevalue("database").url] if kind == "postgresql" else []
    program = spawn(sys.executable, "examples/deferreds/asyncio_query.py", *arguments)
    assert program.wait() == 0
    assert program.output.splitlines() == ["six times seven is 42", "squares: 0 1 4 9 16"]

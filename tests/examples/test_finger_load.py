"""Many clients at once, each of whom checks its answers: the load tool against the service, both as processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.network import free_port


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_two_thousand_who_ask_at_once_are_all_answered(
    spawn: Any, request: pytest.FixtureRequest, tmp_path: Path, kind: str
) -> None:
    url = f"sqlite:///{tmp_path / 'x.sqlite3'}"
    if kind == "postgresql":
        url = request.getfixturevalue("database").url
    people = str(tmp_path / "people.csv")
    assert spawn.module("tests.load.finger_clients", "--write", people, "--people", "100").wait() == 0
    assert spawn.module("examples.finger", "import", people, "--db", url).wait() == 0
    port = str(free_port())
    serving = spawn.module("examples.finger", "serve", "--port", port, "--db", url, "--answer-within", "100")
    serving.wait_for("^Ctrl-C ends it.$")
    asking = spawn.module(
        "tests.load.finger_clients",
        "--port",
        port,
        "--people",
        "100",
        "--clients",
        "2000",
        "--queries",
        "2000",
        "--deadline",
        "110",
    )
    status = asking.wait(120)
    assert status == 0, asking.output
    kinds = {line.split()[0]: line.split()[1] for line in asking.output.splitlines() if "ms: p50" in line}
    # On a busy machine some may be late with their questions, and are told so.
    assert kinds.keys() <= {"right", "slow"}, asking.output
    assert sum(map(int, kinds.values())) == 2000
    assert serving.interrupt() == 0
    assert "Traceback" not in serving.output

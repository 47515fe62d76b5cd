"""The PostgreSQL of the benchmarks: it has to take all connections of a scenario."""

from __future__ import annotations

import pytest

from benchmarks import database


class Server:
    """One that notes what is done to it."""

    def __init__(self, ours: bool) -> None:
        self.ours = ours
        self.done: list[object] = []

    def execute(self, statement: str, parameters: object = None) -> list[tuple[str]]:
        if statement == "SHOW max_connections":
            return [("100",)]
        self.done.append((statement, parameters))
        return []

    def restart(self) -> None:
        self.done.append("restarted")

    def close(self) -> None:
        self.done.append("closed")


@pytest.mark.parametrize(
    ("ours", "connections", "done"),
    [
        (True, 80, []),
        (True, 81, [("ALTER SYSTEM SET max_connections = %s", (101,)), "restarted"]),
        (False, 1000, []),
    ],
)
def test_one_of_ours_is_made_to_take_enough(
    ours: bool, connections: int, done: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(ours)
    monkeypatch.setattr(database, "openServer", lambda: server)
    with database.server(connections) as opened:
        assert opened is server
        assert server.done == done
    assert server.done == [*done, "closed"]

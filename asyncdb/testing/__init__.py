"""For tests of programs that use a database; docs/testing-databases.md shows it at work.

- `ScriptedDriver`: a DB-API driver without a database, which does what the test says.
- `VirtualTime`: a pool's time-outs, pauses and ages, without waiting.
- `FaultyProxy`, in front of a real server: a TCP proxy that fails as networks do.
- `asyncdb.testing.postgres`: a throw-away PostgreSQL, and `asyncdb.testing.fixtures`: the same for pytest.
"""

from asyncdb.testing._proxy import Faults, FaultyProxy, ReactorFaultyProxy
from asyncdb.testing._scripted import (
    HANG,
    ScriptedConnection,
    ScriptedCursor,
    ScriptedDialect,
    ScriptedDriver,
    Step,
)
from asyncdb.testing._virtual import VirtualTime

__all__ = [
    "HANG",
    "Faults",
    "FaultyProxy",
    "ReactorFaultyProxy",
    "ScriptedConnection",
    "ScriptedCursor",
    "ScriptedDialect",
    "ScriptedDriver",
    "Step",
    "VirtualTime",
]

"""For tests of programs that use a database; docs/testing-databases.md shows it at work.

- `ScriptedDriver`: a DB-API driver without a database, which does what the test says.
- `FaultyProxy`, in front of a real server: a TCP proxy that fails as networks do.
- `asyncdb.testing.postgres`: a throw-away PostgreSQL, and `asyncdb.testing.fixtures`: the same for pytest.
"""

from asyncdb.testing._proxy import Faults, FaultyProxy, ReactorFaultyProxy
from asyncdb.testing._scripted import HANG, ScriptedConnection, ScriptedCursor, ScriptedDriver, Step

__all__ = [
    "HANG",
    "Faults",
    "FaultyProxy",
    "ReactorFaultyProxy",
    "ScriptedConnection",
    "ScriptedCursor",
    "ScriptedDriver",
    "Step",
]

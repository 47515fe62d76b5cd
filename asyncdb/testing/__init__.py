"""For tests of programs that use asyncdb: `ScriptedDriver`, a DB-API driver that does what the test says."""

from asyncdb.testing._scripted import HANG, ScriptedConnection, ScriptedCursor, ScriptedDriver, Step

__all__ = ["HANG", "ScriptedConnection", "ScriptedCursor", "ScriptedDriver", "Step"]

"""The state diagram in docs/pool.md, drawn from the core's table: ``python -m tests.support.pool_diagram``."""

from __future__ import annotations

from asyncdb._core import ENTRY_TABLE, EntryEvent, EntryState

__all__ = ["diagram"]

WORDS = {
    EntryEvent.CONNECTED: "made",
    EntryEvent.ASSIGNED: "given to a call",
    EntryEvent.HANDED_OVER: "next call",
    EntryEvent.FINISHED: "clean",
    EntryEvent.SUSPECTED: "in doubt",
    EntryEvent.CHECKED: "answers",
    EntryEvent.LENT: "lent",
    EntryEvent.RETURNED: "given back",
    EntryEvent.RETIRED: "too old, not needed, replaced",
    EntryEvent.ENDED: "lost or closed",
    EntryEvent.ABANDONED: "takes too long",
}


def diagram() -> str:
    """The table in Mermaid's notation."""
    lines = ["stateDiagram-v2", f"    [*] --> {EntryState.CONNECTING.name}"]
    for state, row in ENTRY_TABLE.items():
        lines += [f"    {state.name} --> {target.name}: {WORDS[event]}" for event, target in row.items()]
    lines.append(f"    {EntryState.GONE.name} --> [*]")
    return "\n".join(lines)


if __name__ == "__main__":
    print(diagram())

"""Work, by count."""

from __future__ import annotations

from typing import Any, Self


class Counted(bytearray):
    """A buffer that counts what is copied out of it, what is added to it, and what is searched in it."""

    copied = 0
    searched = 0

    def __getitem__(self, key: Any) -> Any:
        taken = super().__getitem__(key)
        if isinstance(key, slice):
            Counted.copied += len(taken)
        return taken

    def find(self, sub: Any, start: Any = 0, end: Any = None) -> int:
        found = super().find(sub, start, len(self) if end is None else end)
        Counted.searched += (found if found >= 0 else min(len(self), end)) - start + len(sub)
        return found

    def __iadd__(self, data: Any) -> Self:
        Counted.copied += len(data)
        return super().__iadd__(data)

"""Whom asyncio has for the current task, from Python 3.14 on, where it keeps no table of them."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from netcore.defer._task import _InThreadState


def test_it_reads_and_writes_like_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    current: dict[Any, Any] = {}
    loop, task = cast("Any", object()), object()
    monkeypatch.setattr(asyncio, "current_task", current.get)
    monkeypatch.setattr(asyncio.tasks, "_swap_current_task", current.__setitem__, raising=False)
    tasks = _InThreadState()
    assert tasks.get(loop) is None
    tasks[loop] = task
    assert tasks.get(loop) is task
    del tasks[loop]
    assert tasks.get(loop) is None

"""What tests/typing says of types is said of code that works."""

from __future__ import annotations

import asyncio
import runpy
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_the_code_whose_types_are_asserted_works() -> None:
    loop = asyncio.new_event_loop()
    try:
        runpy.run_path(str(ROOT / "tests/typing/netcore_deferreds.py"))["check"](loop)
    finally:
        loop.close()


def test_protocols_are_built_as_their_types_say() -> None:
    runpy.run_path(str(ROOT / "tests/typing/netcore_protocols.py"))["check"]()


def test_the_tasks_whose_types_are_asserted_work() -> None:
    runpy.run_path(str(ROOT / "tests/typing/netcore_tasks.py"))["check"]()

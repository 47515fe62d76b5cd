"""The table in docs/reactor.md is that of the contracts there are."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

from tests.contract.table import DOCUMENT, ROOT, differences, read, rows, written


def test_the_table_in_the_documentation_is_true() -> None:
    """If not: ``python -m tests.contract.table``, which runs the contracts."""
    command = [sys.executable, "-m", "tests.contract.table", "--check"]
    checked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_a_table_is_read_as_it_was_written() -> None:
    table = read(DOCUMENT.read_text())
    assert len(table) > 5
    begin, end = "<!-- contracts: written by `python -m tests.contract.table` -->\n", "<!-- end of contracts -->\n"
    assert read(begin + written(table) + end) == table


def test_a_difference_is_seen() -> None:
    document = DOCUMENT.read_text()
    counts = Counter({("IThing", "Thing", "asyncio"): 3})
    assert rows(counts)["IThing", "Thing"]["kqueue"] == "untried"
    found = differences(document, counts)
    assert "IThing of Thing, asyncio: the table says nothing, it is 3" in found
    assert any(line.endswith("it is nothing") for line in found)

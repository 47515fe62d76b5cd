"""The table in docs/reactor.md: how many tests of each contract passed, of what, and where.

``python -m tests.contract.table`` runs the contracts and writes it, if every test has passed; with ``--check`` nothing
is run, and the table is compared with what pytest would run: `test_table.py` does that.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.contract.worlds import MEMORY, PROGRAMS, WORLDS

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "reactor.md"
BEGIN = "<!-- contracts: written by `python -m tests.contract.table` -->\n"
END = "<!-- end of contracts -->\n"
UNTRIED = "untried"

Cell = tuple[str, str, str]  # interface, implementation, world


class Counted:
    """A pytest plugin: counts the tests there are, and those that passed."""

    def __init__(self) -> None:
        self.there: Counter[Cell] = Counter()
        self.passed: Counter[Cell] = Counter()
        self._cells: dict[str, Cell] = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            cls: Any = getattr(item, "cls", None)
            if cls is not None and hasattr(cls, "interface"):
                spec = getattr(item, "callspec", None)
                world = spec.params["_world"] if spec is not None else cls.world
                cell = cls.interface.__name__, cls.implementation, world
                self._cells[item.nodeid] = cell
                self.there[cell] += 1

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and report.passed and report.nodeid in self._cells:
            self.passed[self._cells[report.nodeid]] += 1


def counted(*options: str) -> tuple[int, Counted]:
    """Have pytest run the contracts. Returns: its exit status, and what there was."""
    plugin = Counted()
    contracts = ROOT / "tests" / "contract"
    fixed = ["-q", "-p", "no:cacheprovider", f"--ignore={contracts / 'test_table.py'}", str(contracts)]
    # netcore has a plugin, so that pytest would rewrite all of it, and warns that it is too late for that here.
    fixed += ["-W", "ignore:Module already imported:pytest.PytestAssertRewriteWarning"]
    return int(pytest.main([*fixed, *options], plugins=[plugin])), plugin


def rows(counts: Counter[Cell]) -> dict[tuple[str, str], dict[str, str]]:
    """Cells by what is tested, in the order of the tests, and by world."""
    tried = {world for _, _, world in counts}
    found: dict[tuple[str, str], dict[str, str]] = {}
    for interface, implementation, world in counts:
        row = found.setdefault((interface, implementation), dict.fromkeys(WORLDS, ""))
        row[world] = str(counts[interface, implementation, world])
    for row in found.values():
        if row[MEMORY] == "":  # what needs a loop at all
            row.update((world, UNTRIED) for world in WORLDS if world not in tried)
    return found


def written(table: dict[tuple[str, str], dict[str, str]]) -> str:
    """The table in Markdown."""
    heads = [f"`{world}`" if world in PROGRAMS else world for world in WORLDS]
    lines = ["", f"| interface | of | {' | '.join(heads)} |", f"|---|---|{'--:|' * len(WORLDS)}"]
    for (interface, implementation), row in table.items():
        lines.append(f"| `{interface}` | {implementation} | {' | '.join(row[world] for world in WORLDS)} |")
    return "\n".join([*lines, "", ""])


def read(document: str) -> dict[tuple[str, str], dict[str, str]]:
    """The table that *document* has."""
    between = document.partition(BEGIN)[2].partition(END)[0]
    found = {}
    for line in between.strip().splitlines()[2:]:
        interface, implementation, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        found[interface.strip("`"), implementation] = dict(zip(WORLDS, cells, strict=True))
    return found


def differences(document: str, counts: Counter[Cell]) -> list[str]:
    """Where the table in *document* says something else, about what can be tried here, than *counts*."""
    now, then = rows(counts), read(document)
    here = {world for _, _, world in counts}
    return [
        f"{interface} of {implementation}, {world}: the table says {said or 'nothing'}, it is {true or 'nothing'}"
        for interface, implementation in sorted({*now, *then})
        for world in WORLDS
        if world in here
        and (said := then.get((interface, implementation), {}).get(world, ""))
        != (true := now.get((interface, implementation), {}).get(world, ""))
    ]


def main(arguments: list[str]) -> int:
    """Write the table, or check it."""
    document = DOCUMENT.read_text()
    if arguments == ["--check"]:
        status, plugin = counted("--collect-only")
        wrong = differences(document, plugin.there)
        for each in wrong:
            print(each)
        return status or int(bool(wrong))
    status, plugin = counted()
    if status or plugin.passed != plugin.there:
        print("not every test has passed: nothing is written")
        return status or 1
    head, begin, rest = document.partition(BEGIN)
    _, end, tail = rest.partition(END)
    DOCUMENT.write_text(head + begin + written(rows(plugin.passed)) + end + tail)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

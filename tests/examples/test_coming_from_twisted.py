"""docs/from-twisted.md is true: a program for Twisted, its import lines changed by the table there, does the same."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.process import ROOT

PROGRAM = Path(__file__).with_name("noticeboard.py")
IMPORT = re.compile(r"^(\s*(?:from|import) )(twisted[\w.]*)", re.MULTILINE)


def table() -> dict[str, str]:
    """Modules by Twisted's name of them, as the guide has them."""
    guide = (ROOT / "docs" / "from-twisted.md").read_text()
    section = guide.split("## Import lines\n")[1].split("\n## ")[0]
    return dict(re.findall(r"^\| `(twisted[\w.]*)` \| `(\w[\w.]*)` \|$", section, re.MULTILINE))


def translated(program: str) -> str:
    """*program* with its import lines changed, and nothing else."""
    places = table()

    def ours(line: re.Match[str]) -> str:
        theirs = line[2]
        known = max((name for name in places if f"{theirs}.".startswith(f"{name}.")), key=len)
        return line[1] + places[known] + theirs.removeprefix(known)

    return IMPORT.sub(ours, program)


def test_the_program_is_changed_in_its_import_lines_only() -> None:
    before, after = PROGRAM.read_text(), translated(PROGRAM.read_text())
    changed = [(one, two) for one, two in zip(before.splitlines(), after.splitlines(), strict=True) if one != two]
    assert len(changed) > 5
    for one, two in changed:
        assert one.startswith("from twisted.")
        assert one.split(" import ")[1] == two.split(" import ")[1]
    assert "twisted" not in after.split('"""', 2)[2]


@pytest.fixture
def theirs(spawn: Any) -> str:
    program = spawn(sys.executable, "-W", "error", str(PROGRAM))
    assert program.wait() == 0, program.output
    output: str = program.output
    return output


@pytest.mark.parametrize("loop", ["asyncio", "select", "uvloop"])
def test_it_prints_the_same_on_netcore(spawn: Any, tmp_path: Path, theirs: str, loop: str) -> None:
    path = tmp_path / "noticeboard.py"
    path.write_text(translated(PROGRAM.read_text()))
    program = spawn(sys.executable, "-W", "error", str(path), env={"NETCORE_REACTOR": loop, "PYTHONPATH": str(ROOT)})
    assert program.wait() == 0, program.output
    assert program.output == theirs
    assert "subscriber: lost the feed: True\nmorning: is over\n" in theirs

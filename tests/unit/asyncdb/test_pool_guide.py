"""docs/pool.md has every state, option and error there is."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from asyncdb import errors
from asyncdb.options import Options
from tests.support.pool_diagram import diagram

GUIDE = (Path(__file__).parents[3] / "docs/pool.md").read_text()


def rows_after(heading: str) -> list[list[str]]:
    section = GUIDE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = [re.split(r" *\| *", line.strip("| ")) for line in section.splitlines() if line.startswith("| `")]
    assert rows
    return rows


def test_the_diagram_is_drawn_from_the_table() -> None:
    """If not: ``python -m tests.support.pool_diagram``."""
    (drawn,) = re.findall(r"```mermaid\n(.*?)\n```", GUIDE, re.DOTALL)
    assert drawn == diagram()


def test_every_option_is_there_with_its_default() -> None:
    written = [(row[0], row[1]) for row in rows_after("All options")]
    assert written == [(f"`cp_{field.name}`", f"{field.default}") for field in dataclasses.fields(Options)]


def test_every_error_is_there() -> None:
    written = {match for row in rows_after("All errors") for match in re.findall(r"^`(\w+)`", row[0])}
    assert written == set(errors.__all__) - {"AsyncdbError"}

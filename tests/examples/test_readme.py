"""The server of README.md, saved and started as it says there. Its other snippets are doctests."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from tests.support.network import ask, free_port
from tests.support.process import ROOT


def test_the_first_server_answers_as_shown(spawn: Any, tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text()
    program = re.search(r"Save this as `greeter.py`.*?```python\n(.*?)```", readme, re.DOTALL)
    shown = re.search(r"\$ printf 'Ada\\r\\n' \| nc localhost 8000\n((?:    .*\n)+)", readme)
    assert program is not None
    assert shown is not None
    port = free_port()
    text = (
        program[1]
        .replace("8000", str(port))
        .replace("reactor.run()", "reactor.callWhenRunning(print, 'running', flush=True)\nreactor.run()")
    )
    (tmp_path / "greeter.py").write_text(text)
    running = spawn(sys.executable, "greeter.py", cwd=tmp_path)
    running.wait_for("^running$")
    answer = ask(port, b"Ada\r\n").decode().splitlines()
    assert answer == [line.strip() for line in shown[1].splitlines()]
    assert running.interrupt() == 0

"""Programs of the guides in docs/ that are not doctests, saved and started as it says there."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from tests.support.network import ask, free_port
from tests.support.process import ROOT


def test_the_service_of_the_guide_to_servers_answers_as_shown(spawn: Any, tmp_path: Path) -> None:
    guide = (ROOT / "docs" / "server.md").read_text()
    program = re.search(r"Save\s+this\s+as\s+`score.py`.*?```python\n(.*?)```", guide, re.DOTALL)
    shown = re.search(r"\$ printf 'ada\\nada\\n' \| nc -q 1 localhost 7000\n((?:    .*\n)+)", guide)
    assert program is not None
    assert shown is not None
    (tmp_path / "score.py").write_text(program[1])
    port = free_port()
    endpoint = f"tcp:{port}:interface=127.0.0.1"
    running = spawn(sys.executable, "-m", "netcore", "run", "score.py", cwd=tmp_path, env={"LISTEN": endpoint})
    running.wait_for("<Application 'score'> runs")
    assert ask(port, b"ada\nada\n", half_close=True).decode().split() == shown[1].split()
    assert running.interrupt() == 0
    assert "Traceback" not in running.output

"""The commands about people and sessions, run as processes, on SQLite and PostgreSQL."""

from __future__ import annotations

import os
import pty
import shlex
import sqlite3
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

import pytest

from tests.support.process import ROOT
from tests.support.waiting import wait_until

HEADER = b"login,name,office,phone,project,plan\r\n"


def piped(*arguments: str, data: bytes = b"") -> tuple[int, bytes, bytes]:
    """Run a command with *data* as its standard input; returns its exit status, its output and its errors."""
    command = [sys.executable, "-m", "examples.finger", *arguments]
    done = subprocess.run(command, input=data, capture_output=True, cwd=ROOT, check=False, timeout=60)
    return done.returncode, done.stdout, done.stderr


def test_people_are_imported_and_exported(finger: Any, finger_url: str, tmp_path: Path) -> None:
    file, database = tmp_path / "people.csv", ("--db", finger_url)
    file.write_bytes(b'\xef\xbb\xbfname,login,plan\r\nZo\xc3\xab,zoe,"One\r\nTwo"\r\nYves,yves,\r\n')
    assert finger("import", str(file), *database) == (0, "imported 2 people\n")
    assert finger("show", "zoe", *database)[1].endswith("Plan:\n  One\n  Two\n")
    status, told = finger("import", str(file), *database)
    assert (status, told) == (1, f"finger: {file}: line 2: there is a 'zoe' already; nothing is stored\n")
    assert finger("import", "--update", str(file), *database) == (0, "imported 2 people, 2 of them updated\n")
    for login in ("alice", "bjorn", "carroll"):
        assert finger("remove", login, *database) == (0, "")
    out = tmp_path / "out.csv"
    assert finger("export", str(out), *database) == (0, f"exported 2 people to {out}\n")
    assert out.read_bytes() == HEADER + b'yves,Yves,,,,\r\nzoe,Zo\xc3\xab,,,,"One\r\nTwo"\r\n'


def test_pipes_are_read_and_written(finger_url: str, tmp_path: Path) -> None:
    database = "--db", finger_url
    assert piped("import", "-", *database, data=HEADER + b"zoe,Z,,,,\r\n") == (0, b"imported 1 person\n", b"")
    status, exported, told = piped("export", *database)
    assert (status, told) == (0, b"")
    assert exported.startswith(HEADER + b"alice,")
    assert exported.endswith(b"\r\nzoe,Z,,,,\r\n")
    assert piped("export", "-", *database) == (0, exported, b"")
    status, said, told = piped("import", "-", *database, data=b"login,colour\r\n")
    assert (status, said) == (1, b"")
    assert told.startswith(b"finger: the standard input: line 1: there is no field 'colour': the fields are login, ")
    assert told.count(b"\n") == 1


def test_a_file_that_cannot_be_read_or_written_is_said_in_one_line(finger: Any, tmp_path: Path) -> None:
    database = "--db", f"sqlite:///{tmp_path / 'x.sqlite3'}"
    assert finger("import", "no.csv", *database) == (1, "finger: no.csv: No such file or directory\n")
    assert finger("import", str(tmp_path), *database) == (
        1,
        f"finger: {tmp_path}: Is a directory; nothing is stored\n",
    )
    assert finger("export", "no/x.csv", *database) == (1, "finger: no/x.csv: No such file or directory\n")


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("list >/dev/full", "the standard output: No space left on device"),
        ("show alice >/dev/full", "the standard output: No space left on device"),
        ("export >/dev/full", "the standard output: No space left on device"),
        ("export >&-", "the standard output: Bad file descriptor"),
        ("import - <&-", "the standard input: Bad file descriptor"),
    ],
)
def test_standard_streams_that_are_full_or_closed_are_said_in_one_line(tmp_path: Path, command: str, told: str) -> None:
    typed = f"exec {shlex.quote(sys.executable)} -m examples.finger {command}"
    environment = os.environ | {"FINGER": f"sqlite:///{tmp_path / 'x.sqlite3'}"}
    environment.pop("PYTHONUNBUFFERED", None)  # what is left in the buffer is written at the end, and fails again
    done = subprocess.run(
        ["sh", "-c", f'{typed} --db "$FINGER"'],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"finger: {told}\n")


def test_characters_that_the_terminal_lacks_are_replaced(spawn: Any, tmp_path: Path) -> None:
    database = "--db", f"sqlite:///{tmp_path / 'x.sqlite3'}"
    program = spawn.module("examples.finger", "list", *database, env={"PYTHONIOENCODING": "ascii"})
    assert program.wait() == 0
    assert [line.split(maxsplit=1)[1] for line in program.output.splitlines()] == [
        "Alice Liddell",
        "Bj?rn ?kesson",
        "Lewis Carroll",
    ]


def test_a_database_that_is_not_there_is_said_in_one_line_and_nothing_is_stored(finger: Any, tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_bytes(HEADER)
    nowhere = f"sqlite:///{tmp_path / 'no' / 'x.sqlite3'}"
    status, told = finger("import", str(file), "--db", nowhere)
    assert status == 1
    assert told.startswith("finger: the database is not available: ")
    assert told.endswith("; nothing is stored\n")
    assert told.count("\n") == 1


@pytest.mark.parametrize(
    ("batch", "told"),
    [
        ((), "finger: interrupted; nothing is stored\n"),
        (("--batch", "2"), "finger: interrupted; 2 people, up to line 3, are stored, and nothing after it\n"),
    ],
)
def test_ctrl_c_ends_an_import_and_says_what_is_stored(
    spawn: Any, tmp_path: Path, batch: tuple[str, ...], told: str
) -> None:
    path, pipe = tmp_path / "x.sqlite3", tmp_path / "pipe"
    os.mkfifo(pipe)
    program = spawn.module("examples.finger", "import", str(pipe), "--db", f"sqlite:///{path}", *batch)
    writer = os.open(pipe, os.O_RDWR)  # which, unlike O_WRONLY, waits for no reader
    try:
        os.write(writer, HEADER + b"u1,1,,,,\r\nu2,2,,,,\r\nu3,3,,,,\r\n")
        count = "SELECT count(*) FROM finger_people"
        expected = 3 + (2 if batch else 0)
        wait_until(lambda: path.exists() and _asked(path, count) == expected, "what is there is read", 30)
        assert program.interrupt() == 130
    finally:
        os.close(writer)
    assert program.output == told
    assert _asked(path, count) == expected


def _asked(path: Path, statement: str) -> Any:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(statement).fetchone()[0]
    except sqlite3.OperationalError:
        return None  # there is no table yet
    finally:
        connection.close()


def test_progress_is_drawn_on_a_terminal(tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_bytes(HEADER + b"zoe,Z,,,,\r\n")
    terminal, stderr = pty.openpty()
    termios.tcsetwinsize(stderr, (24, 80))
    command = [sys.executable, "-m", "examples.finger", "import", str(file), "--db", f"sqlite:///{tmp_path / 'x.db'}"]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=stderr, cwd=ROOT, check=False, timeout=60)
        os.set_blocking(terminal, False)
        drawn = os.read(terminal, 65536)
    finally:
        os.close(terminal)
        os.close(stderr)
    assert (done.returncode, done.stdout) == (0, b"imported 1 person\n")
    assert b"importing: " in drawn
    assert b" people" in drawn


def test_sessions_are_opened_and_closed(finger: Any, finger_url: str) -> None:
    database = "--db", finger_url
    assert finger("on", "bjorn", "--host", "fjord.example", "--idle", "3660", *database) == (0, "")
    assert " on pts/0 from fjord.example, idle 1:01\n" in finger("show", "bjorn", *database)[1]
    assert finger("on", "bjorn", *database) == (1, "finger: 'bjorn' is on pts/0 already\n")
    assert finger("on", "bjorn", "--line", "pts/1", *database) == (0, "")
    assert finger("off", "bjorn", "--line", "pts/2", *database) == (1, "finger: 'bjorn' is not on pts/2\n")
    assert finger("off", "bjorn", "--line", "pts/0", *database) == (0, "")
    assert " on pts/1 from localhost\n" in finger("show", "bjorn", *database)[1]
    assert finger("on", "bjorn", *database) == (0, "")
    assert finger("off", "bjorn", *database) == (0, "")
    assert "\nNot logged on\n" in finger("show", "bjorn", *database)[1]
    assert finger("off", "bjorn", *database) == (1, "finger: 'bjorn' is not on\n")
    for command in ("on", "off"):
        assert finger(command, "nobody", *database) == (1, "finger: there is no 'nobody'\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ("on", "alice", "--idle", "-1"),
        ("on", "alice", "--idle", "x"),
        ("on", "alice", "--idle", "99999999999"),
        ("on",),
        ("off",),
        ("import",),
        ("import", "x.csv", "--batch", "0"),
        ("export", "a", "b"),
    ],
)
def test_wrong_arguments_end_with_status_2(finger: Any, arguments: tuple[str, ...]) -> None:
    assert finger(*arguments)[0] == 2

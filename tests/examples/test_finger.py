"""The finger service and its commands, run as processes, on SQLite and PostgreSQL."""

from __future__ import annotations

import re
import shlex
import signal
import socket
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from tests.support.network import Gate, ask, free_port
from tests.support.process import ROOT
from tests.support.waiting import wait_until

SOON = "--answer-within", "3"  # most of which is waited for a database that is not there
UNAVAILABLE = b"The directory is not available now; please try again later\r\n"


@pytest.fixture
def serve(spawn: Any) -> Any:
    """Starts the service on a free port; returns the program and the port, when it listens."""

    def start(url: str, *options: str, port: int | None = None) -> tuple[Any, int]:
        port = free_port() if port is None else port
        program = spawn.module("examples.finger", "serve", "--port", str(port), "--db", url, *options)
        program.wait_for("^Ctrl-C ends it.$")
        return program, port

    return start


def test_the_service_answers_and_ends_and_starts_again_at_once(serve: Any, finger_url: str) -> None:
    port = None
    for _ in range(2):
        program, port = serve(finger_url, port=port)
        assert ask(port, b"alice\r\n").startswith(b"Login: alice                    Name: Alice Liddell\r\n")
        assert ask(port, b"nobody\r\n") == b"nobody: no such user\r\n"
        assert ask(port, b"\r\n").startswith(b"Login ")
        assert b"Plan:\r\n  Back before tea.\r\n" in ask(port, b"/W alice\n")
        assert ask(port, b"alice@elsewhere\r\n") == b"Finger forwarding service denied\r\n"
        for length in (513, 5_000_000):
            assert ask(port, b"x" * length) == b"Your query is longer than 512 bytes\r\n"
        assert program.interrupt() == 0
        assert "Traceback" not in program.output


def test_a_client_that_has_closed_its_side_is_answered(serve: Any, finger_url: str) -> None:
    program, port = serve(finger_url)
    for _ in range(20):
        assert ask(port, b"alice\r\n", half_close=True).startswith(b"Login: alice")
    assert program.interrupt() == 0


def test_what_it_says_to_type_works_as_typed(serve: Any, spawn: Any, finger_url: str) -> None:
    program, port = serve(finger_url)
    typed = re.search(r"^ +(\S.* finger alice@\S+)$", program.output, re.MULTILINE)
    assert typed is not None
    client = spawn(*shlex.split(typed[1]), cwd=ROOT)
    assert client.wait() == 0
    assert client.output.startswith("Login: alice                    Name: Alice Liddell\n")
    assert f"printf 'alice\\r\\n' | nc localhost {port}" in program.output
    if "netcore-test-password" not in finger_url:  # a password in the URL is not shown
        password = re.search(r"://[^:/]*:([^@]+)@", finger_url)
        assert password is None or password[1] not in program.output
    assert program.interrupt() == 0


def test_many_ask_at_once(serve: Any, finger_url: str) -> None:
    import concurrent.futures

    program, port = serve(finger_url)
    with concurrent.futures.ThreadPoolExecutor(40) as threads:
        answers = list(threads.map(lambda name: ask(port, name), [b"alice\r\n", b"bjorn\r\n"] * 100))
    assert {answer.split()[1] for answer in answers} == {b"alice", b"bjorn"}
    assert program.interrupt() == 0


def test_people_are_added_listed_shown_and_removed(finger: Any, finger_url: str) -> None:
    database = "--db", finger_url
    status, listed = finger("list", *database)
    assert status == 0
    assert [line.split(maxsplit=1) for line in listed.splitlines()] == [
        ["alice", "Alice Liddell"],
        ["bjorn", "Björn Åkesson"],
        ["carroll", "Lewis Carroll"],
    ]
    assert finger("add", *database, "zoe", "Zoë Z", "--plan", "One\nTwo", "--office", "4") == (0, "")
    assert finger("show", *database, "zoe") == (
        0,
        "Login: zoe                      Name: Zoë Z\nOffice: 4\nNot logged on\nNo project\nPlan:\n  One\n  Two\n",
    )
    assert finger("remove", *database, "zoe") == (0, "")
    assert "zoe" not in finger("list", *database)[1]


def test_mistakes_are_said_in_one_line(finger: Any, tmp_path: Path) -> None:
    database = "--db", f"sqlite:///{tmp_path / 'x.sqlite3'}"
    for arguments, told in (
        (("show", *database, "nobody"), "finger: there is no 'nobody'\n"),
        (("remove", *database, "nobody"), "finger: there is no 'nobody'\n"),
        (("add", *database, "alice", "A"), "finger: there is a 'alice' already\n"),
    ):
        assert finger(*arguments) == (1, told)
    status, told = finger("add", *database, "a b", "A")
    assert status == 1
    assert told.startswith("finger: 'a b' is no login: ")
    for url in ("nonsense", "oracle9://x", ""):
        status, told = finger("list", "--db", url)
        assert status == 1, url
        assert told.startswith("finger: ")
        assert told.count("\n") == 1
    for url in ("sqlite:////no/such/folder/x.sqlite3", "postgresql://localhost/x?nonsense=1"):
        status, told = finger("list", "--db", url)
        assert status == 1
        assert told.startswith("finger: the database is not available: ")
        assert told.count("\n") == 1


def test_wrong_arguments_end_with_status_2(finger: Any) -> None:
    for arguments in (
        (),
        ("walk",),
        ("serve", "--port", "x"),
        ("serve", "--port", "65536"),
        ("serve", "--answer-within", "0"),
        ("finger",),
    ):
        assert finger(*arguments)[0] == 2


def test_the_client_says_in_one_line_what_is_wrong(finger: Any) -> None:
    status, told = finger("finger", f"alice@127.0.0.1:{free_port()}")
    assert status == 1
    assert "refused" in told
    assert told.count("\n") == 1
    status, told = finger("finger", "alice")
    assert status == 1
    assert told == "finger: 'alice' is not of the form user@host[:port]\n"


def test_the_client_shows_who_is_on_and_long_forms(serve: Any, finger: Any, tmp_path: Path) -> None:
    program, port = serve(f"sqlite:///{tmp_path / 'x.sqlite3'}")
    status, told = finger("finger", f"@localhost:{port}")
    assert (status, told.split()[0]) == (0, "Login")
    assert "Plan:" in finger("finger", "-l", f"alice@localhost:{port}")[1]
    assert "Plan:" not in finger("finger", f"alice@localhost:{port}")[1]
    assert program.interrupt() == 0


def test_no_control_character_leaves_whatever_the_database_holds(serve: Any, finger: Any, finger_url: str) -> None:
    bad = "".join(map(chr, [*range(1, 0x20), *range(0x7F, 0xA0), 0x200B, 0x202E, 0x2028, 0xFEFF])) + "end"
    options = [f"--{field}={bad}" for field in ("office", "phone", "project", "plan")]
    assert finger("add", "--db", finger_url, "eve", f"Eve {bad}", *options) == (0, "")
    program, port = serve(finger_url)
    for question in (b"eve\r\n", b"/W eve\r\n", b"e\x1bve\r\n"):
        text = ask(port, question).decode()
        unsafe = {unicodedata.category(character) for line in text.split("\r\n") for character in line}
        assert not unsafe & {"Cc", "Cf", "Zl", "Zp"}
    assert "end" in ask(port, b"/W eve\r\n").decode()
    assert program.interrupt() == 0


def test_a_port_in_use_is_said_in_one_line(serve: Any, spawn: Any, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'x.sqlite3'}"
    first, port = serve(url)
    second = spawn.module("examples.finger", "serve", "--port", str(port), "--db", url)
    assert second.wait() == 1
    assert second.output.startswith("finger: ")
    assert f"127.0.0.1:{port}" in second.output
    assert second.output.count("\n") == 1
    assert first.interrupt() == 0


def test_a_database_that_is_not_there_is_told_and_found_when_it_comes(serve: Any, database: Any) -> None:
    """It is started without its database, finds it, and loses it."""
    gate = Gate(database.connectArgs["host"], int(database.connectArgs["port"]))
    url = database.url.replace(f":{gate._behind[1]}/", f":{gate.port}/")
    program, port = serve(url, *SOON)
    try:
        assert ask(port, b"alice\r\n") == UNAVAILABLE
        gate.open()
        wait_until(lambda: ask(port, b"alice\r\n").startswith(b"Login: alice"), "the database is found")
    finally:
        gate.close()
    assert ask(port, b"alice\r\n") == UNAVAILABLE
    assert program.interrupt() == 0
    assert program.output.count("ERROR [finger] the database is not available: ") == 1, "within a minute"
    assert program.output.count("INFO [finger] the database is available again") == 1
    assert "Traceback" not in program.output


def test_a_database_that_is_too_slow_is_told_and_waited_for_no_longer(serve: Any, database: Any) -> None:
    program, port = serve(database.url)
    assert ask(port, b"alice\r\n").startswith(b"Login: alice")
    locking = database.connect()
    try:
        with locking.cursor() as cursor:
            cursor.execute("BEGIN; LOCK TABLE finger_people")
            assert ask(port, b"alice\r\n") == UNAVAILABLE
            cursor.execute("ROLLBACK")
    finally:
        locking.close()
    assert ask(port, b"alice\r\n").startswith(b"Login: alice")
    assert program.interrupt() == 0
    assert "the database is not available: " in program.output
    assert "canceling statement due to statement timeout" in program.output
    assert "Traceback" not in program.output


def test_a_file_that_cannot_be_opened_is_told_and_found_when_it_can(serve: Any, tmp_path: Path) -> None:
    program, port = serve(f"sqlite:///{tmp_path / 'later' / 'x.sqlite3'}", *SOON)
    assert ask(port, b"alice\r\n") == UNAVAILABLE
    (tmp_path / "later").mkdir()
    wait_until(lambda: ask(port, b"alice\r\n").startswith(b"Login: alice"), "the database is found")
    assert program.interrupt() == 0
    assert "Traceback" not in program.output


def test_it_ends_while_clients_wait(serve: Any, tmp_path: Path) -> None:
    program, port = serve(f"sqlite:///{tmp_path / 'x.sqlite3'}")
    with socket.create_connection(("127.0.0.1", port)) as waiting:
        waiting.sendall(b"ali")
        assert ask(port, b"alice\r\n").startswith(b"Login: alice")  # so the one before has been accepted
        assert program.interrupt() == 0
        assert waiting.recv(1) == b""
    assert "Traceback" not in program.output


def waits_for_a_lock(database: Any) -> bool:
    waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND pid = ANY(%s)"
    return bool(database.postgres.execute(waiting, (database.backends(),)))


def refuses(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return True
    return False


def test_who_has_asked_before_it_is_ended_gets_an_answer(serve: Any, database: Any) -> None:
    program, port = serve(database.url, "--answer-within", "60")
    assert ask(port, b"alice\r\n").startswith(b"Login: alice")
    locking = database.connect()
    try:
        with locking.cursor() as cursor, socket.create_connection(("127.0.0.1", port)) as asking:
            cursor.execute("BEGIN; LOCK TABLE finger_people")
            asking.sendall(b"alice\r\n")
            wait_until(lambda: waits_for_a_lock(database), "the question waits")
            program.send_signal(signal.SIGINT)
            wait_until(lambda: refuses(port), "nobody else is accepted")
            cursor.execute("ROLLBACK")
            assert asking.makefile("rb").read().startswith(b"Login: alice")
    finally:
        locking.close()
    assert program.wait() == 0
    assert "Traceback" not in program.output


@pytest.mark.parametrize("command", [["serve", "--port=0"], ["list"], ["finger", "alice@localhost"]])
def test_a_reactor_that_is_not_to_be_had_is_said_in_one_line(spawn: Any, tmp_path: Path, command: list[str]) -> None:
    environment = {"PYTHONPATH": str(ROOT), "NETCORE_REACTOR": "nonsense"}
    program = spawn.module("examples.finger", *command, cwd=tmp_path, env=environment)
    assert program.wait() == 1
    assert program.output.startswith("finger: NETCORE_REACTOR=nonsense: there is no reactor called 'nonsense'")
    assert program.output.count("\n") == 1


def test_the_default_is_a_file_in_this_folder(spawn: Any, tmp_path: Path) -> None:
    port = free_port()
    program = spawn(
        sys.executable, "-m", "examples.finger", "serve", f"--port={port}", cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}
    )
    program.wait_for("^Ctrl-C ends it.$")
    assert ask(port, b"alice\r\n").startswith(b"Login: alice")
    assert program.interrupt() == 0
    assert (tmp_path / "finger.sqlite3").exists()

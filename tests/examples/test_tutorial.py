"""The tutorial, step by step, run as its reader would run it."""

from __future__ import annotations

import socket
import sys
from typing import Any

import pytest

from tests.support.network import TIMEOUT, ask, free_port


@pytest.fixture
def step(spawn: Any) -> Any:
    """Starts a step on a free port; returns the program and the port, when it listens."""

    def start(number: int) -> tuple[Any, int]:
        port = free_port()
        if number == 6:
            program = spawn.module("netcore", "run", "examples/tutorial/finger06.py", env={"PORT": str(port)})
            program.wait_for(r"<Application 'finger'> runs")
        else:
            program = spawn(sys.executable, f"examples/tutorial/finger{number:02}.py", str(port))
            program.wait_for(f"^Listening on port {port}$")
        return program, port

    return start


def ends_in_order(program: Any) -> None:
    assert program.interrupt() == 0
    assert "Traceback" not in program.output


def test_step_1_is_a_reactor(spawn: Any) -> None:
    program = spawn(sys.executable, "examples/tutorial/finger01.py")
    program.wait_for("^The reactor runs; Ctrl-C ends it.$")
    ends_in_order(program)


def test_step_2_accepts_and_says_nothing(step: Any) -> None:
    program, port = step(2)
    with socket.create_connection(("127.0.0.1", port), TIMEOUT) as first:
        first.sendall(b"alice\r\n")
        with socket.create_connection(("127.0.0.1", port), TIMEOUT):
            ends_in_order(program)
        assert first.recv(1) == b""


def test_step_3_knows_nobody(step: Any) -> None:
    program, port = step(3)
    for question in (b"alice\r\n", b"\r\n", b"bob\r\ntrailing"):
        assert ask(port, question) == b"No such user\r\n"
    ends_in_order(program)


@pytest.mark.parametrize("number", [4, 5, 6])
def test_steps_4_to_6_know_alice(step: Any, number: int) -> None:
    program, port = step(number)
    assert ask(port, b"alice\r\n") == b"Down the rabbit hole\r\n"
    assert ask(port, b"bob\r\n") == b"No such user\r\n"
    ends_in_order(program)


def test_each_step_takes_port_1079_unless_told_otherwise() -> None:
    from tests.support.process import ROOT

    for number in range(2, 7):
        assert "1079" in (ROOT / f"examples/tutorial/finger{number:02}.py").read_text()

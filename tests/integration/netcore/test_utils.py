"""Programs that are run for their output, or for their exit code."""

from __future__ import annotations

import os
from typing import Any

import pytest

from netcore.defer import CancelledError, Deferred
from netcore.error import ProcessTerminated
from netcore.reactors import Reactor
from netcore.utils import getProcessOutput, getProcessOutputAndValue, getProcessValue
from tests.integration.netcore.conftest import Run

SH = "/bin/sh"
PATH = {"PATH": os.defpath}


def test_the_output_of_a_program(reactor: Reactor, run: Run) -> None:
    """Whatever its exit code."""

    async def main() -> None:
        assert await getProcessOutput(SH, ["-c", "echo out; exit 3"]) == b"out\n"
        assert await getProcessOutput(b"/bin/sh", ["-c", "pwd"], None, "/") == b"/\n"
        assert await getProcessOutput(SH, ["-c", "echo $NAME"], {"NAME": "value"}, reactor=reactor) == b"value\n"
        both = await getProcessOutput(SH, ["-c", "echo out; echo err >&2"], errortoo=True)
        assert sorted(both.splitlines()) == [b"err", b"out"]

    run(main)


def test_output_to_standard_error_is_a_failure(run: Run) -> None:
    """Which says when the process has ended."""

    async def main() -> None:
        with pytest.raises(OSError, match="err") as caught:
            await getProcessOutput(SH, ["-c", "echo out; echo err >&2; exit 3"])
        ended: Any = caught.value
        assert await ended.processEnded is None

    run(main)


def test_all_that_a_program_writes_and_its_exit_code(run: Run) -> None:
    async def main() -> None:
        whole = await getProcessOutputAndValue(
            SH, ["-c", "cat; echo err >&2; exit 3"], PATH, stdinBytes=b"in" * 100_000
        )
        assert whole == (b"in" * 100_000, b"err\n", 3)
        assert await getProcessOutputAndValue("cat", env=None) == (b"", b"", 0)

    run(main)


def test_a_signal_is_a_failure_that_has_the_output(run: Run) -> None:
    async def main() -> None:
        with pytest.raises(ProcessTerminated) as caught:
            await getProcessOutputAndValue(SH, ["-c", "echo out; echo err >&2; kill -9 $$"])
        failed: Any = caught.value
        out, err, signal = failed
        assert (out, err, signal) == (b"out\n", b"err\n", 9)

    run(main)


def test_the_exit_code_of_a_program(run: Run) -> None:
    async def main() -> None:
        assert await getProcessValue(SH, ["-c", "echo dropped; echo dropped >&2; cat; exit 3"], PATH) == 3
        assert await getProcessValue("true") == 0
        assert await getProcessValue(SH, ["-c", "kill -9 $$"]) is None

    run(main)


def test_a_program_that_is_not_there_is_refused_at_once(run: Run) -> None:
    async def main() -> None:
        for function in (getProcessOutput, getProcessOutputAndValue, getProcessValue):
            with pytest.raises(FileNotFoundError):
                function("/nonexistent/program")
            with pytest.raises(TypeError):
                function(SH, "-c true")

    run(main)


@pytest.mark.parametrize("function", [getProcessOutput, getProcessOutputAndValue, getProcessValue])
def test_cancelling_kills_it(run: Run, function: Any, reactor: Reactor) -> None:
    """Whatever else it has started keeps nobody waiting."""

    async def main() -> None:
        result: Deferred[Any] = function(SH, ["-c", "cat /dev/zero & exec cat /dev/zero"], PATH)
        (process,) = reactor._open
        pid = process.pid  # type: ignore[attr-defined]
        result.cancel()
        with pytest.raises(CancelledError):
            await result
        while reactor._open:
            await turn(reactor)
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)

    run(main)


async def turn(reactor: Reactor) -> None:
    passed = Deferred[None]()
    reactor.callLater(0.001, passed.callback, None)
    await passed

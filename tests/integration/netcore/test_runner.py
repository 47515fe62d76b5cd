"""The `netcore` command: applications run as processes, as somebody would run them."""

from __future__ import annotations

import os
import signal
import textwrap
from pathlib import Path
from typing import Any

import pytest

from tests.support.network import ask, free_port
from tests.support.process import ROOT

APPLICATION = """
    import os
    from netcore import protocol
    from netcore.application import service, strports

    class Who(protocol.Protocol):
        def connectionMade(self):
            ids = os.getuid(), os.geteuid(), os.getgid(), os.getegid(), sorted(os.getgroups())
            self.transport.write(repr(ids).encode())
            self.transport.loseConnection()

    application = service.Application("who", uid={uid}, gid={gid})
    factory = protocol.Factory.forProtocol(Who)
    strports.service("tcp:{port}:interface=127.0.0.1", factory).setServiceParent(application)
"""

RUNS = r"INFO \[netcore.application\] <Application '\w+'> runs; SIGINT \(Ctrl-C\) or SIGTERM ends it"


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write(text: str, name: str = "application.py", **values: Any) -> str:
        path = tmp_path / name
        path.write_text(textwrap.dedent(text).format(**values) if values else textwrap.dedent(text))
        return str(path)

    return write


@pytest.fixture
def netcore(spawn: Any) -> Any:
    return lambda *arguments, **options: spawn.module("netcore", *arguments, **options)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_a_signal_and_ends_with_status_0(netcore: Any, write: Any, number: signal.Signals) -> None:
    port = free_port()
    for _ in range(2):  # and the port is free again at once
        program = netcore("run", write(APPLICATION, port=port, uid=None, gid=None))
        program.wait_for(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d.* " + RUNS)
        assert str(os.getuid()).encode() in ask(port, b"")
        program.send_signal(number)
        assert program.wait() == 0
        assert "Traceback" not in program.output


def test_the_command_is_installed_under_its_name(spawn: Any) -> None:
    program = spawn(str(Path(os.sys.executable).with_name("netcore")), "--help")  # type: ignore[attr-defined]
    assert program.wait() == 0
    assert "run the application" in program.output


def test_stopping_is_waited_for(netcore: Any, write: Any) -> None:
    file = write(
        """
        from netcore import task
        from netcore.application import service

        class Slow(service.Service):
            def startService(self):
                super().startService()
                print("started", flush=True)

            def stopService(self):
                super().stopService()
                print("stopping", flush=True)
                return task.deferLater(None, 0.05, print, "stopped", flush=True)

        application = service.Application("slow")
        Slow().setServiceParent(application)
        """
    )
    program = netcore("run", file)
    program.wait_for("started")
    program.wait_for(RUNS)
    assert program.interrupt() == 0
    assert program.output.splitlines()[-2:] == ["stopping", "stopped"]


def test_the_folder_of_the_file_can_be_imported_from(netcore: Any, write: Any, tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("print('imported', flush=True)\n")
    program = netcore("run", write("import beside\n" + textwrap.dedent(APPLICATION), port=0, uid=None, gid=None))
    program.wait_for("imported")
    program.wait_for(RUNS)
    assert program.interrupt() == 0


def test_a_port_in_use_is_said_in_one_line(netcore: Any, write: Any) -> None:
    port = free_port()
    file = write(APPLICATION, port=port, uid=None, gid=None)
    first = netcore("run", file)
    first.wait_for(RUNS)
    second = netcore("run", file)
    assert second.wait() == 1
    assert second.output.count("\n") == 1
    assert f"127.0.0.1:{port}" in second.output
    assert second.output.startswith("netcore: ")
    assert first.interrupt() == 0


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("application = 5\n", "is of type int, which provides no IService: make it with"),
        ("pass\n", "defines no `application`: it needs"),
    ],
)
def test_a_file_without_application_is_said_in_one_line(netcore: Any, write: Any, text: str, told: str) -> None:
    program = netcore("run", write(text))
    assert program.wait() == 1
    assert told in program.output
    assert program.output.count("\n") == 1


def test_a_file_that_is_not_there_is_said_in_one_line(netcore: Any, tmp_path: Path) -> None:
    for name, told in (("missing.py", "No such file"), (".", "Is a directory")):
        program = netcore("run", str(tmp_path / name))
        assert program.wait() == 1
        assert told in program.output
        assert program.output.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("import nothing_of_that_name\n", "ModuleNotFoundError"),
        ("1 /\n", "SyntaxError"),
        ("raise SystemExit(0)\n", "SystemExit"),
    ],
)
def test_a_file_that_fails_is_shown_with_its_own_traceback(netcore: Any, write: Any, text: str, told: str) -> None:
    program = netcore("run", write(text))
    assert program.wait() == 1
    assert told in program.output
    assert "application.py" in program.output
    assert "runner.py" not in program.output
    assert program.output.rstrip().endswith("could not be executed: see above")


def test_a_service_that_fails_to_start_is_shown_with_its_traceback(netcore: Any, write: Any) -> None:
    file = write(
        """
        from netcore.application import service

        class Broken(service.Service):
            def startService(self):
                raise KeyError("broken")

        application = service.Application("broken")
        Broken().setServiceParent(application)
        """
    )
    program = netcore("run", file)
    assert program.wait() == 1
    assert "KeyError: 'broken'" in program.output
    assert program.output.rstrip().endswith("<Application 'broken'> failed to start: see above")


def test_classes_of_the_file_know_their_module(netcore: Any, write: Any) -> None:
    file = write(
        """
        from __future__ import annotations
        import dataclasses, pickle, typing
        from netcore.application import service

        @dataclasses.dataclass
        class Setting:
            value: int

        assert typing.get_type_hints(Setting) == {"value": int}
        assert pickle.loads(pickle.dumps(Setting(3))) == Setting(3)
        print("fine", flush=True)
        application = service.Application("x")
        """
    )
    program = netcore("run", file)
    program.wait_for("fine")
    program.wait_for(RUNS)
    assert program.interrupt() == 0


def test_wrong_arguments_end_with_status_2(netcore: Any) -> None:
    for arguments in ([], ["run"], ["walk", "x.py"]):
        program = netcore(*arguments)
        assert program.wait() == 2
        assert "usage: netcore" in program.output


def test_root_is_given_up_for_good_once_the_port_is_bound(netcore: Any, write: Any, tmp_path: Path) -> None:
    """Run by root it is given up; run by anybody else, asking for it is refused. Both are checked where they apply."""
    port = free_port()
    file = write(APPLICATION, port=port, uid=12345, gid=23456)
    program = netcore("run", file)
    if os.getuid() == 0:
        program.wait_for("now uid 12345, gid 23456")
        assert ask(port, b"") == b"(12345, 12345, 23456, 23456, [23456])"
        assert program.interrupt() == 0
    else:
        assert program.wait() == 1
        assert "only root can become uid 12345, gid 23456" in program.output
        assert program.output.count("\n") == 1


def test_asking_for_who_one_is_needs_no_root(netcore: Any, write: Any) -> None:
    port = free_port()
    file = write(APPLICATION, port=port, uid=os.getuid(), gid=os.getgid())
    program = netcore("run", file, cwd=ROOT)
    program.wait_for(RUNS)
    assert f"({os.getuid()}, {os.getuid()}, {os.getgid()}, {os.getgid()}".encode() in ask(port, b"")
    assert program.interrupt() == 0

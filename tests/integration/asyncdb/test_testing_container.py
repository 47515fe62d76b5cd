"""The container that a PostgreSQL may come from, on an engine that answers as told: any machine can run these."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from asyncdb.testing.postgres import Unavailable, _container, _sources
from asyncdb.testing.postgres._container import IMAGE, ContainerServer, container
from tests.support.docker_engine import DockerEngine, docker_engine


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[DockerEngine]:
    """One that has the image, whose containers have a PostgreSQL that answers at once."""
    from testcontainers.core.config import testcontainers_config

    monkeypatch.setattr(testcontainers_config, "ryuk_disabled", True)
    monkeypatch.setattr(_container, "answers", lambda parameters: True)
    with docker_engine() as engine:
        engine.images.add(IMAGE)
        monkeypatch.setenv("DOCKER_HOST", engine.host)
        yield engine


@pytest.fixture
def server(engine: DockerEngine) -> Iterator[ContainerServer]:
    server = container()
    engine.commands.clear()  # its start
    yield server
    if engine.status is not None:
        server.close()


def test_what_a_container_s_server_is_told_its_container_does(engine: DockerEngine, server: ContainerServer) -> None:
    for tell in (server.stop, server.start, server.kill, server.start, server.pause, server.resume, server.pause):
        tell()
    assert engine.commands == ["stop", "start", "kill", "start", "pause", "unpause", "pause"]
    server.close()
    assert engine.status is None


def test_one_that_runs_is_not_started(engine: DockerEngine, server: ContainerServer) -> None:
    for prepare in (server.resume, server.pause):
        prepare()
        with pytest.raises(RuntimeError, match="runs already"):
            server.start()
    assert "start" not in engine.commands


def test_one_that_does_not_run_is_neither_killed_nor_paused(engine: DockerEngine, server: ContainerServer) -> None:
    server.stop()
    for cannot in (server.kill, server.pause):
        with pytest.raises(RuntimeError, match="does not run"):
            cannot()
    assert engine.commands == ["stop"]


def test_one_that_stands_still_or_goes_on_is_left_so(engine: DockerEngine, server: ContainerServer) -> None:
    server.resume()
    server.pause()
    server.pause()
    server.resume()
    server.resume()
    assert engine.commands == ["pause", "unpause"]


@pytest.mark.parametrize(
    ("harm", "commands"), [("stop", ["start"]), ("kill", ["start"]), ("pause", ["unpause"]), ("resume", [])]
)
def test_it_is_mended_by_what_it_needs(
    engine: DockerEngine, server: ContainerServer, harm: str, commands: list[str]
) -> None:
    getattr(server, harm)()
    engine.commands.clear()
    server.mend()
    assert engine.commands == commands
    assert engine.status == "running"


def test_one_that_somebody_else_has_removed_can_be_closed(engine: DockerEngine, server: ContainerServer) -> None:
    engine.status = None
    with pytest.raises(RuntimeError, match="no such container"):
        server.stop()
    server.close()


def test_an_engine_that_ends_is_told_in_words_and_leaves_no_warnings(
    engine: DockerEngine, server: ContainerServer
) -> None:
    engine.die()
    with pytest.raises(RuntimeError, match=r"Docker: .*Connection refused"):
        server.stop()
    with pytest.raises(RuntimeError, match=rf"{IMAGE} may be left behind: Docker: .*Connection refused"):
        server.close()
    gc.collect()  # warnings of sockets that were not closed are errors
    engine.listen()  # and is back
    server.close()
    assert engine.status is None


@pytest.mark.parametrize("what", ["image", "engine", "socket"])
def test_without_one_the_next_source_is_taken_and_says_why_there_is_none(
    engine: DockerEngine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, what: str
) -> None:
    reasons = {
        "image": f"an engine answers, but {IMAGE} does not start.*the registry is not here",
        "engine": "no engine answers.*Connection refused",
        "socket": "no engine answers.*No such file",
    }
    if what == "image":
        engine.images.clear()
    elif what == "engine":
        engine.die()
    else:
        monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody")
    asked = []

    def local() -> _sources.Server:
        asked.append("local")
        raise Unavailable("not here either")

    monkeypatch.delenv("ASYNCDB_TEST_DSN", raising=False)
    monkeypatch.delenv("ASYNCDB_TEST_POSTGRES", raising=False)
    monkeypatch.setattr(_sources, "SOURCES", {**_sources.SOURCES, "local": local, "package": local})
    with pytest.raises(Unavailable, match=f"(?s)docker: {reasons[what]}.*local: not here either"):
        _sources.open_server()
    assert asked == ["local", "local"]
    assert engine.status is None
    gc.collect()

"""A PostgreSQL in a container, on the Docker engine of this machine."""

from __future__ import annotations

import contextlib
import gc
import secrets
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

from asyncdb.testing._waiting import free_port, wait_until
from asyncdb.testing.postgres._local import SETTINGS, START_TIMEOUT, STOP_TIMEOUT, USER, Unavailable, answers

__all__ = ["IMAGE", "ContainerServer", "container"]

IMAGE = "postgres:18"
RUNS = ("running", "paused")  # states of a container in which it has processes

T = TypeVar("T")


class ContainerServer:
    """A container on the Docker engine of this machine, started through testcontainers."""

    ours = True

    def __init__(self) -> None:
        from testcontainers.core.container import DockerContainer

        port, password = free_port(), secrets.token_hex(16)
        self.description = f"Docker, {IMAGE}"
        self.parameters = {
            "host": "127.0.0.1",
            "port": str(port),
            "user": USER,
            "password": password,
            "dbname": "postgres",
        }
        options = [argument for name, value in SETTINGS.items() for argument in ("-c", f"{name}={value}")]
        self._container = (
            DockerContainer(IMAGE)
            .with_env("POSTGRES_USER", USER)
            .with_env("POSTGRES_PASSWORD", password)
            .with_env("POSTGRES_DB", "postgres")
            .with_command(["postgres", *options])
        )
        # A fixed port, because a random one changes with a restart.
        self._container.ports["5432/tcp"] = ("127.0.0.1", port)  # type: ignore[assignment]  # more than it says
        try:
            self._container.start()
            self._wait()
        except BaseException:
            with contextlib.suppress(Exception):
                self.close()
            raise

    def _wait(self) -> None:
        # The image's first start serves on its socket alone and then starts again: only TCP says that it is ready.
        wait_until(lambda: answers(self.parameters), "PostgreSQL in the container answers", START_TIMEOUT)

    def _reached(self, action: Callable[[Any], T]) -> T:
        """What *action* returns of the container, whose status is fresh. Raises: RuntimeError, as `_asked`."""

        def reach() -> T:
            container = self._container.get_wrapped_container()
            try:
                container.reload()
                return action(container)
            finally:
                self._disconnect()

        return _asked(reach)

    def _disconnect(self) -> None:
        """Close what the SDK opened, which would count as left behind by a test. It may be used again."""
        self._container.get_docker_client().client.close()

    def start(self) -> None:
        def start(container: Any) -> None:
            if container.status in RUNS:
                raise RuntimeError("the server runs already")
            container.start()

        self._reached(start)
        self._wait()

    def stop(self) -> None:
        self._reached(lambda container: container.stop(timeout=int(STOP_TIMEOUT)))

    def kill(self) -> None:
        self._reached(lambda container: _running(container).kill())  # SIGKILL, to all that is in it

    def pause(self) -> None:
        def pause(container: Any) -> None:
            if _running(container).status != "paused":
                container.pause()

        self._reached(pause)

    def resume(self) -> None:
        def resume(container: Any) -> None:
            if container.status == "paused":
                container.unpause()

        self._reached(resume)

    def demote(self) -> None:
        self.mend()
        # https://www.postgresql.org/docs/current/warm-standby.html
        command = ["sh", "-c", 'touch "$PGDATA/standby.signal"']
        status, output = self._reached(lambda container: container.exec_run(command, user="postgres"))
        if status:
            raise RuntimeError(f"the container cannot become a standby: {output!r}")
        self.stop()
        self.start()

    def mend(self) -> None:
        status = self._reached(lambda container: container.status)
        if status == "paused":
            self.resume()
        elif status != "running":
            self.start()

    def close(self) -> None:
        try:
            _asked(self._remove)
        except RuntimeError as error:
            raise RuntimeError(f"a container of {IMAGE} may be left behind: {error}") from error

    def _remove(self) -> None:
        from docker.errors import NotFound

        try:
            with contextlib.suppress(NotFound):  # somebody else has removed it
                self._container.stop()
        finally:
            self._disconnect()


def _running(container: Any) -> Any:
    """The container. Raises: RuntimeError: it does not run."""
    if container.status not in RUNS:
        raise RuntimeError("the server does not run: start() it, or mend() it")
    return container


def _asked(action: Callable[[], T]) -> T:
    """What *action* returns, which asks the engine.

    The SDK forgets a socket when no engine answers, and what it raises leads to it. So that is told in words, and the
    socket is collected here, where the warning about it fails no test.

    Raises: RuntimeError, with what the SDK says; its own RuntimeErrors as they are.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            return action()
        except RuntimeError:
            raise
        except Exception as error:  # the SDK lets errors of requests, urllib3 and the socket through
            told = f"Docker: {error}"
        gc.collect()
    raise RuntimeError(told)


def container() -> ContainerServer:
    try:
        refusal = _asked(_engine_refusal)
    except RuntimeError as error:
        refusal = f"no engine answers ({error})"
    if refusal:
        raise Unavailable(refusal)
    try:
        return _asked(ContainerServer)
    except RuntimeError as error:  # most often the image cannot be fetched
        raise Unavailable(f"an engine answers, but {IMAGE} does not start: {error}") from error


def _engine_refusal() -> str | None:
    """Why there is no Docker engine to use, or None if there is one."""
    try:
        import docker
        import testcontainers  # noqa: F401

        client = docker.from_env(timeout=5)
        try:
            client.ping()
            # The SDK's name for a socket or pipe of this machine.
            if not client.api.base_url.startswith("http+docker:"):
                return f"the engine is on another machine ({client.api.base_url})"
        finally:
            client.close()
    except ModuleNotFoundError as error:
        return f"the package testcontainers is not installed ({error})"
    return None

"""A PostgreSQL in a container, on the Docker engine of this machine."""

from __future__ import annotations

import contextlib
import gc
import secrets
import warnings
from collections.abc import Iterator
from typing import Any

from asyncdb.testing._waiting import free_port, wait_until
from asyncdb.testing.postgres._local import SETTINGS, START_TIMEOUT, STOP_TIMEOUT, USER, Unavailable, answers

__all__ = ["IMAGE", "ContainerServer", "container"]

IMAGE = "postgres:18"


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

    @contextlib.contextmanager
    def _reached(self) -> Iterator[Any]:
        """The container. What the SDK opened to reach it is closed: it would count as left behind by a test."""
        try:
            yield self._container.get_wrapped_container()
        finally:
            self._container.get_docker_client().client.close()  # which may be used again

    def start(self) -> None:
        with self._reached() as container:
            container.start()
        self._wait()

    def stop(self) -> None:
        with self._reached() as container:
            container.stop(timeout=int(STOP_TIMEOUT))

    def kill(self) -> None:
        with self._reached() as container:
            container.kill()  # SIGKILL, to all that is in it

    def pause(self) -> None:
        with self._reached() as container:
            container.pause()

    def resume(self) -> None:
        with self._reached() as container:
            container.unpause()

    def demote(self) -> None:
        self.mend()
        with self._reached() as container:
            # https://www.postgresql.org/docs/current/warm-standby.html
            status, output = container.exec_run(["sh", "-c", 'touch "$PGDATA/standby.signal"'], user="postgres")
        if status:
            raise RuntimeError(f"the container cannot become a standby: {output!r}")
        self.stop()
        self.start()

    def mend(self) -> None:
        with self._reached() as container:
            container.reload()
            status = container.status
        if status == "paused":
            self.resume()
        elif status != "running":
            self.start()

    def close(self) -> None:
        self._container.stop()
        self._container.get_docker_client().client.close()


def container() -> ContainerServer:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # the SDK forgets its socket when no engine answers
        refusal = _engine_refusal()
        gc.collect()
    if refusal:
        raise Unavailable(refusal)
    try:
        return ContainerServer()
    except Exception as error:  # whatever requests and urllib3 raise; most often the image cannot be fetched
        raise Unavailable(f"an engine answers, but {IMAGE} does not start: {error}") from error


def _engine_refusal() -> str | None:
    """Why there is no Docker engine to use, or None if there is one."""
    try:
        import docker
        import testcontainers  # noqa: F401

        client = docker.from_env(timeout=5)
        try:
            client.ping()
            if not client.api.base_url.startswith(
                "http+docker:"
            ):  # the SDK's name for a socket or pipe of this machine
                return f"the engine is on another machine ({client.api.base_url})"
        finally:
            client.close()
    except ModuleNotFoundError as error:
        return f"the package testcontainers is not installed ({error})"
    except Exception as error:  # the SDK lets errors of requests, urllib3 and the socket through
        return f"no engine answers ({error})"
    return None

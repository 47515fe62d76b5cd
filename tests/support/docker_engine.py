"""A Docker engine of which only the answers are there: as much of them as one PostgreSQL in a container takes."""

from __future__ import annotations

import contextlib
import json
import os
import socketserver
import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

__all__ = ["DockerEngine"]

# https://docs.docker.com/reference/api/engine/version/v1.41/
VERSION = {"ApiVersion": "1.41", "Version": "20.10"}
COMMANDS = {  # what each makes of the container, and where from the engine refuses it
    "start": ("running", ()),
    "stop": ("exited", ()),
    "kill": ("exited", ("created", "exited")),
    "pause": ("paused", ("created", "exited", "paused")),
    "unpause": ("running", ("created", "exited", "running")),
}


class DockerEngine:
    """It listens on a UNIX socket, from `listen` on, and has one container at most.

    Attributes: *host*, for ``DOCKER_HOST``; *images*, those that it has; *status* of its container, None without one;
    *commands* that the container was given, in their order.
    """

    def __init__(self) -> None:
        self.images: set[str] = set()
        self.status: str | None = None
        self.commands: list[str] = []
        self._folder = tempfile.TemporaryDirectory(prefix="engine-")  # a socket's path has to be short
        self._path = os.path.join(self._folder.name, "socket")
        self.host = f"unix://{self._path}"
        self._server: _Server | None = None
        self._thread = threading.Thread()

    def listen(self) -> None:
        """Listen, again too after `die`, with what there was then."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)
        self._server = _Server(self._path, _Handler)
        self._server.engine = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def die(self) -> None:
        """Nobody listens any more. Does nothing a second time."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()
            self._thread.join()

    def close(self) -> None:
        self.die()
        self._folder.cleanup()

    def answer(self, method: str, path: list[str]) -> tuple[int, Any]:
        """The status and the value for a request."""
        match method, path:
            case "GET", ["version"]:
                return 200, VERSION
            case "GET", ["images", image, "json"]:
                return (200, {"Id": image}) if image in self.images else _refused(404, "no such image")
            case "POST", ["images", "create"]:
                return _refused(500, "the registry is not here")
            case "POST", ["containers", "create"]:
                self.status = "created"
                return 201, {"Id": "c1"}
            case _, ["containers", *_] if self.status is None:
                return _refused(404, "no such container")
            case "GET", ["containers", _, "json"]:
                return 200, {"Id": "c1", "State": {"Status": self.status}}
            case "DELETE", ["containers", _]:
                self.status = None
                return 204, None
            case "POST", ["containers", _, command]:
                return self._command(command)
        return 200, None  # a ping

    def _command(self, command: str) -> tuple[int, Any]:
        status, refused_from = COMMANDS[command]
        if self.status in refused_from:
            return _refused(409, f"the container is {self.status}")
        self.commands.append(command)
        self.status = status
        return 204, None


def _refused(status: int, message: str) -> tuple[int, Any]:
    return status, {"message": message}


class _Server(socketserver.ThreadingUnixStreamServer):
    engine: DockerEngine


class _Handler(BaseHTTPRequestHandler):
    def _answer(self) -> None:
        assert isinstance(self.server, _Server)
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = self.path.partition("?")[0].strip("/").split("/")
        status, value = self.server.engine.answer(self.command, path[1:] if path[0].startswith("v1.") else path)
        body = b"" if value is None else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if body:  # the client of an empty answer may have gone already
            self.wfile.write(body)

    do_GET = do_POST = do_DELETE = do_HEAD = _answer

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextlib.contextmanager
def docker_engine() -> Iterator[DockerEngine]:
    """An engine that listens until the end."""
    engine = DockerEngine()
    try:
        engine.listen()
        yield engine
    finally:
        engine.close()

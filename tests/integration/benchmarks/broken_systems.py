"""Systems that do what a system must not."""

from __future__ import annotations

import os
import sys

from benchmarks.people import WrongAnswer


class Working:
    """What one that works looks like; it prints, as some do."""

    def start(self) -> None:
        print("I am a library with something to say")

    def round(self, operations: int) -> list[float]:
        return [0.001] * operations

    def stop(self) -> None:
        pass


class Idle(Working):
    """Does less than it was asked to."""

    def round(self, operations: int) -> list[float]:
        return super().round(operations - 1)


class Wrong(Working):
    """Notices a wrong answer."""

    def round(self, operations: int) -> list[float]:
        raise WrongAnswer("asked for 'u1', got nothing")


class Dying(Working):
    """Takes its process with it."""

    def round(self, operations: int) -> list[float]:
        sys.stderr.flush()
        os._exit(3)


class Missing(Working):
    """Needs something that is not there."""

    def start(self) -> None:
        import a_package_that_nobody_has  # type: ignore[import-not-found]  # noqa: F401

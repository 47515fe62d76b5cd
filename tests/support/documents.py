"""README.md and docs/*.md are doctests: each runs in a folder of its own, where it may create what it likes.

A document that shows how an error is logged claims it from the guard, as tests do, in a comment that no reader sees:
``<!-- >>> claimed = logged.take(ValueError) -->``.
"""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest


class _MarkdownParser(doctest.DocTestParser):
    """Knows fences: the line that closes one is not expected to be printed."""

    def parse(self, string: str, name: str = "<string>") -> list[str | doctest.Example]:
        return super().parse(re.sub(r"(?m)^ *```.*$", "", string), name)


@pytest.fixture(autouse=True)
def document_folder(request: pytest.FixtureRequest) -> None:
    if isinstance(request.node, pytest.DoctestItem):
        request.getfixturevalue("doctest_namespace")["logged"] = request.getfixturevalue("logged")
        folder: Path = request.getfixturevalue("tmp_path")
        request.getfixturevalue("monkeypatch").chdir(folder)


def pytest_configure() -> None:
    doctest.DocTestParser = _MarkdownParser  # type: ignore[misc]  # pytest has no option for it


def pytest_unconfigure() -> None:
    doctest.DocTestParser = _MarkdownParser.__base__  # type: ignore[misc,assignment]

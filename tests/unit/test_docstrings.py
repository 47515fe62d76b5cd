"""What docstrings show is true."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from types import ModuleType

import pytest

import asyncdb
import examples.finger
import netcore


def modules() -> list[ModuleType]:
    return [
        importlib.import_module(each.name)
        for package in (netcore, asyncdb, examples.finger)
        for each in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        if not each.name.endswith("__main__")
    ]


SHOWING = [module for module in modules() if any(test.examples for test in doctest.DocTestFinder().find(module))]


@pytest.mark.parametrize("module", SHOWING, ids=lambda module: module.__name__)
def test_examples_in_docstrings(module: ModuleType) -> None:
    assert doctest.testmod(module).failed == 0


def test_there_are_some() -> None:
    assert len(SHOWING) > 4

"""Contracts are looked into by pytest, so that what fails explains itself."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

pytest.register_assert_rewrite("netcore.testing.contracts")


@pytest.fixture(scope="class", autouse=True)
def _nothing_piles_up_in_a_class() -> Iterator[None]:
    """As the guard does for each file: there are hundreds of tests in one here, and its collections grow with them."""
    yield
    gc.collect()
    gc.freeze()

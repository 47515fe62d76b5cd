from __future__ import annotations

import pytest

from tests.unit.netcore.protocols.counted import Counted


@pytest.fixture
def counted() -> type[Counted]:
    """A buffer that counts, from 0."""
    Counted.copied = Counted.searched = 0
    return Counted

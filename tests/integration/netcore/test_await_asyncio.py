"""Whatever asyncio has to wait for is waited for in netcore's coroutines, and given up when they are cancelled."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.netcore.driven import both_drivers, check_cancelled, check_result, every_cancel
from tests.integration.netcore.waits import ASYNCIOS, Wait
from tests.integration.netcore.worlds import Run, everywhere

every_wait = pytest.mark.parametrize("kind", ASYNCIOS.values(), ids=ASYNCIOS)


@everywhere
@both_drivers
@every_wait
def test_the_result_comes(run: Run, start: Any, kind: type[Wait]) -> None:
    run(lambda: check_result(kind(), start))


@everywhere
@both_drivers
@every_wait
@every_cancel
def test_cancelling_gives_it_up(run: Run, start: Any, kind: type[Wait], how: str) -> None:
    run(lambda: check_cancelled(kind(), start, how))

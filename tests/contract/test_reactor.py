"""What a reactor promises, on every loop."""

from __future__ import annotations

from netcore.testing import contracts
from tests.contract.worlds import Attached, Everywhere, OnClock, OnLoops


class TestCore(OnLoops, contracts.ReactorCoreContract):
    pass


class TestCoreAttached(Attached, contracts.ReactorEventsContract):
    pass


class TestTime(Everywhere, contracts.ReactorTimeContract):
    pass


class TestTimeOfAClock(OnClock, contracts.ReactorTimeContract):
    pass


class TestThreads(Everywhere, contracts.ReactorThreadsContract):
    pass


class TestTCP(Everywhere, contracts.ReactorTCPContract):
    pass


class TestNamesWithSeveralAddresses(Everywhere, contracts.HappyEyeballsContract):
    pass

"""What a reactor promises of child processes, and what standard streams do, on every loop."""

from __future__ import annotations

from netcore.testing import contracts
from tests.contract.worlds import Everywhere


class TestProcesses(Everywhere, contracts.ProcessContract):
    pass


class TestStandardIO(Everywhere, contracts.StandardIOContract):
    implementation = "StandardIO"

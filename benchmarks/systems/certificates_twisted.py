"""Twisted's options for a server with the same kind of certificate."""

from __future__ import annotations

from typing import Any

from benchmarks.systems.certificates import make_pem


def server_options() -> Any:
    """For ``listenSSL``."""
    from twisted.internet.ssl import PrivateCertificate  # with pyOpenSSL, which servers without TLS do not need

    return PrivateCertificate.loadPEM(make_pem()).options()

"""A certificate for servers, made anew in each process: clients do not ask who signed it."""

from __future__ import annotations

import ssl
from pathlib import Path
from tempfile import TemporaryDirectory

import trustme


def make_pem() -> bytes:
    """The certificate, those that lead to it, and the key (ECDSA with P-256)."""
    return trustme.CA().issue_cert("localhost").private_key_and_cert_chain_pem.bytes()


def server_context() -> ssl.SSLContext:
    """What a server of netcore's or asyncio's speaks: TLS 1.3, as those of `client_context` ask for it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with TemporaryDirectory() as folder:
        path = Path(folder, "server.pem")
        path.write_bytes(make_pem())
        context.load_cert_chain(path)
    return context


def client_context() -> ssl.SSLContext:
    """What clients speak."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context

"""Certificates for tests, made once for all of them."""

from __future__ import annotations

import ssl
from functools import cache
from pathlib import Path

import trustme

HOST = "localhost"


@cache
def authority() -> trustme.CA:
    """Who signs the certificates of these tests."""
    return trustme.CA()


@cache
def server_context() -> ssl.SSLContext:
    """Of a server with the names ``localhost``, ``127.0.0.1`` and ``::1``."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority().issue_cert(HOST, "127.0.0.1", "::1").configure_cert(context)
    return context


@cache
def client_context() -> ssl.SSLContext:
    """Of a client that trusts `authority`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority().configure_trust(context)
    return context


def write(directory: Path, name: str, *names: str) -> Path:
    """A PEM file in *directory* with a certificate for *names*, and its key."""
    path = directory / f"{name}.pem"
    authority().issue_cert(*(names or (name,))).private_key_and_cert_chain_pem.write_to_path(path)
    return path


def write_authority(directory: Path) -> Path:
    """A PEM file with the certificate of `authority`."""
    path = directory / "authority.pem"
    authority().cert_pem.write_to_path(path)
    return path

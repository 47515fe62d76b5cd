"""Contexts and certificates."""

from __future__ import annotations

import logging
import os
import ssl
from pathlib import Path
from typing import Any

import pytest

from netcore.ssl import (
    Certificate,
    ClientTLSOptions,
    context_of,
    optionsForClientTLS,
    serverOptions,
    serverOptionsFromDirectory,
)
from tests.support import certificates
from tests.support.certificates import HOST, client_context


def names_shown(options: Any, asked_for: str | None) -> set[str]:
    """The names in the certificate that a server with *options* shows to a client that asks for *asked_for*.

    Raises: ssl.SSLError: it shows none.
    """
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    certificates.authority().configure_trust(context)
    client = context.wrap_bio(to_client, to_server, server_hostname=asked_for)
    server = context_of(options).wrap_bio(to_server, to_client, server_side=True)
    refused: ssl.SSLError | None = None
    for side in (client, server, client):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            refused = error
    if refused is not None:
        raise refused
    certificate = Certificate.of_peer(client)
    assert certificate is not None
    return {name for _, name in certificate.names}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    for name in ("one.example.org", "other.example.org"):
        certificates.write(tmp_path, name)
    certificates.write(tmp_path, "_.example.net", "*.example.net")
    certificates.write(tmp_path, "default", "anybody.example.com")
    return tmp_path


# ----------------------------------------------------------------------------------------------------------- many names


@pytest.mark.parametrize(
    ("asked_for", "shown"),
    [
        ("one.example.org", "one.example.org"),
        ("ONE.Example.ORG", "one.example.org"),
        ("other.example.org", "other.example.org"),
        ("www.example.net", "*.example.net"),
        ("a.b.example.net", "anybody.example.com"),
        ("nobody.example.org", "anybody.example.com"),
        (None, "anybody.example.com"),
    ],
)
def test_a_client_is_shown_the_certificate_of_the_name_it_asks_for(
    directory: Path, asked_for: str | None, shown: str
) -> None:
    assert names_shown(serverOptionsFromDirectory(directory), asked_for) == {shown}


def test_without_a_default_an_unknown_name_is_refused(directory: Path) -> None:
    (directory / "default.pem").unlink()
    options = serverOptionsFromDirectory(directory)
    with pytest.raises(ssl.SSLError, match=r"(?i)unrecognized.name"):
        names_shown(options, "nobody.example.org")
    assert names_shown(options, "one.example.org") == {"one.example.org"}


@pytest.mark.parametrize("name", ["..", "a/b", "../one", "one\0", "", ".", "-", "a" * 300, "x..y", "default/../one"])
def test_no_name_leads_out_of_the_directory(directory: Path, name: str) -> None:
    options = serverOptionsFromDirectory(directory / ".")
    options._read_again = lambda name: pytest.fail(name) if name != "default" else None  # type: ignore[method-assign]
    assert options._context_for(name) is None


def test_a_file_that_has_changed_is_read_again(directory: Path) -> None:
    options = serverOptionsFromDirectory(directory)
    assert names_shown(options, "one.example.org") == {"one.example.org"}
    (path,) = directory.glob("one.*")
    certificates.write(directory, "new", "one.example.org", "and-more.example.org")
    os.replace(directory / "new.pem", path)
    assert names_shown(options, "one.example.org") == {"one.example.org", "and-more.example.org"}
    path.unlink()
    assert names_shown(options, "one.example.org") == {"anybody.example.com"}
    certificates.write(directory, "one.example.org")
    assert names_shown(options, "one.example.org") == {"one.example.org"}


def test_a_file_that_has_not_changed_is_not_read_again(directory: Path) -> None:
    options = serverOptionsFromDirectory(directory)
    assert options._context_for("one.example.org") is options._context_for("one.example.org")


def test_a_file_that_is_broken_is_logged_once_and_what_was_there_serves_on(
    directory: Path, logged: Any, caplog: pytest.LogCaptureFixture
) -> None:
    options = serverOptionsFromDirectory(directory)
    assert names_shown(options, "one.example.org") == {"one.example.org"}
    (directory / "one.example.org.pem").write_text("no certificate")
    with caplog.at_level(logging.ERROR):
        for _ in range(2):
            assert names_shown(options, "one.example.org") == {"one.example.org"}
    logged.take(ssl.SSLError)
    assert len(caplog.records) == 1
    assert "one.example.org.pem" in caplog.text


def test_a_key_that_has_got_a_password_is_broken_too(directory: Path, logged: Any) -> None:
    options = serverOptionsFromDirectory(directory)
    assert names_shown(options, "one.example.org") == {"one.example.org"}
    issued = certificates.authority().issue_cert("one.example.org")
    secret = with_a_password(issued.private_key_pem.bytes())
    (directory / "one.example.org.pem").write_bytes(issued.cert_chain_pems[0].bytes() + secret)
    assert names_shown(options, "one.example.org") == {"one.example.org"}
    logged.take(ValueError)


def test_a_directory_that_is_none_or_has_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotADirectoryError):
        serverOptionsFromDirectory(tmp_path / "nothing")
    with pytest.raises(ValueError, match=r"no \*\.pem"):
        serverOptionsFromDirectory(tmp_path)


# -------------------------------------------------------------------------------------------------------------- options


def test_clients_verify_names_and_speak_what_is_safe() -> None:
    context = optionsForClientTLS("example.org").getContext()
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert context.options & ssl.OP_NO_RENEGOTIATION


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("Example.ORG.", "example.org"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("192.0.2.1", "192.0.2.1"),
        ("2001:DB8::1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("_service.example.org", "_service.example.org"),
    ],
)
def test_the_name_is_sent_in_the_form_of_the_wire(given: str, sent: str) -> None:
    assert optionsForClientTLS(given).hostname == sent


@pytest.mark.parametrize("wrong", ["", "a b", "a..b", "x" * 300, "a\0b", "http://example.org/"])
def test_what_is_no_name_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="no name of a host"):
        optionsForClientTLS(wrong)


def test_a_name_is_text() -> None:
    with pytest.raises(TypeError, match="str"):
        optionsForClientTLS(b"example.org")  # type: ignore[arg-type]


def test_servers_speak_what_is_safe(tmp_path: Path) -> None:
    context = serverOptions(certificates.write(tmp_path, HOST)).getContext()
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert context.verify_mode is ssl.CERT_NONE


def test_a_key_may_be_in_a_file_of_its_own(tmp_path: Path) -> None:
    issued = certificates.authority().issue_cert(HOST)
    issued.cert_chain_pems[0].write_to_path(tmp_path / "certificate.pem")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    options = serverOptions(tmp_path / "certificate.pem", tmp_path / "key.pem")
    assert names_shown(options, HOST) == {HOST}


def test_files_that_are_missing_or_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"(?i)no such file"):
        serverOptions(tmp_path / "nothing")
    (tmp_path / "something").write_text("no certificate")
    with pytest.raises(ssl.SSLError):
        serverOptions(tmp_path / "something")


def with_a_password(pem: bytes) -> bytes:
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key(pem, None)
    secret = serialization.BestAvailableEncryption(b"secret")
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, secret)


def test_a_key_with_a_password_is_refused_without_asking_the_terminal(tmp_path: Path) -> None:
    issued = certificates.authority().issue_cert(HOST)
    issued.cert_chain_pems[0].write_to_path(tmp_path / "certificate.pem")
    (tmp_path / "key.pem").write_bytes(with_a_password(issued.private_key_pem.bytes()))
    with pytest.raises(ValueError, match="has a password"):
        serverOptions(tmp_path / "certificate.pem", tmp_path / "key.pem")


def test_options_may_be_kept_and_compared() -> None:
    options = ClientTLSOptions(HOST, client_context())
    assert options == ClientTLSOptions(HOST, client_context())
    with pytest.raises(AttributeError):
        options.hostname = "other"  # type: ignore[misc]

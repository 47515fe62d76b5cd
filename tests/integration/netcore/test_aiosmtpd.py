"""A server that was written for asyncio, aiosmtpd's, serves on netcore's endpoints as it is, and Python's own client
sends it a mail: plainly, after STARTTLS, and with TLS from the first byte on."""

from __future__ import annotations

import asyncio
import smtplib
from collections.abc import Callable
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, Envelope

from netcore.defer import maybeDeferred
from netcore.endpoints import SSL4ServerEndpoint, TCP4ServerEndpoint
from netcore.protocols.adapt import fromAsyncio
from netcore.reactors import Reactor
from netcore.threads import deferToThread
from tests.support.certificates import HOST, client_context, server_context

MAIL = "Subject: hello\r\n\r\n" + "".join(
    f"{number}: a line of some length, as in any mail\r\n" for number in range(5000)
)


class Mailbox:
    """aiosmtpd's handler."""

    def __init__(self) -> None:
        self.mails: list[tuple[Any, ...]] = []

    async def handle_DATA(self, server: SMTP, session: Any, envelope: Envelope) -> str:
        await asyncio.sleep(0)
        self.mails.append((envelope.mail_from, envelope.rcpt_tos, envelope.content, session.ssl is not None))
        return "250 OK"


def send(client: smtplib.SMTP) -> None:
    client.sendmail("eve@example.org", ["adam@example.org", "abel@example.org"], MAIL)
    client.quit()


def plainly(port: int) -> None:
    send(smtplib.SMTP("127.0.0.1", port, local_hostname=HOST, timeout=20))


def after_starttls(port: int) -> None:
    client = smtplib.SMTP("127.0.0.1", port, local_hostname=HOST, timeout=20)
    client._host = HOST  # type: ignore[attr-defined]  # whose certificate is expected
    client.starttls(context=client_context())
    send(client)


def with_tls(port: int) -> None:
    class Client(smtplib.SMTP_SSL):
        def _get_socket(self, host: str, port: int, timeout: float) -> Any:
            plain = super(smtplib.SMTP_SSL, self)._get_socket(host, port, timeout)  # type: ignore[misc]
            return client_context().wrap_socket(plain, server_hostname=HOST)

    send(Client("127.0.0.1", port, local_hostname=HOST, timeout=20))


@pytest.mark.parametrize(("talk", "secure"), [(plainly, False), (after_starttls, True), (with_tls, False)])
@pytest.mark.filterwarnings("ignore:Session.login_data:DeprecationWarning")
def test_a_mail_is_delivered(
    talk: Callable[[int], None], secure: bool, reactor: Reactor, run: Callable[..., Any]
) -> None:
    box = Mailbox()

    def make() -> SMTP:
        context = server_context() if talk is after_starttls else None
        return SMTP(box, hostname=HOST, tls_context=context, loop=asyncio.get_running_loop())

    async def main() -> None:
        if talk is with_tls:
            endpoint: Any = SSL4ServerEndpoint(reactor, 0, server_context(), interface="127.0.0.1")
        else:
            endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        port = await endpoint.listen(fromAsyncio(make))
        try:
            for _ in range(2):
                await deferToThread(talk, port.getHost().port)
        finally:
            await maybeDeferred(port.stopListening)

    run(main)
    assert len(box.mails) == 2
    for sender, receivers, content, over_tls in box.mails:
        assert (sender, receivers) == ("eve@example.org", ["adam@example.org", "abel@example.org"])
        assert content == MAIL.encode()
        assert over_tls is secure

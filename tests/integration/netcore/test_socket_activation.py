"""A service that systemd starts: sockets passed as sd_listen_fds(3) has it, here by a program in systemd's place.

Behind ``haproxy:`` the clients' addresses come in headers that a real HAProxy has sent, recorded.
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Any

from tests.unit.netcore.protocols.haproxy import headers

# Opens the sockets, says where, and becomes the service: with them as descriptors 3 and 4, and the variables set.
ACTIVATE = """
import os, socket, sys
listening = []
for position in range(2):
    sock = socket.create_server(("127.0.0.1", 0))
    listening.append(os.dup2(sock.detach(), 20 + position))
    print("listens on", socket.socket(fileno=os.dup(listening[-1])).getsockname()[1], flush=True)
for number, descriptor in enumerate(listening, 3):
    os.dup2(descriptor, number, inheritable=True)
    os.set_inheritable(descriptor, False)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="2", LISTEN_FDNAMES="plain:proxied")
os.execv(sys.executable, [sys.executable, "-m", "netcore", "run", sys.argv[1]])
"""

APPLICATION = """
import os, subprocess, sys
from netcore.application import service, strports
from netcore.protocol import Factory, Protocol

class Tell(Protocol):
    def connectionMade(self):
        self.transport.write(f"{self.transport.getPeer()} {self.transport.getHost()}".encode())
        self.transport.loseConnection()

application = service.Application("tells")
for text in ("systemd:domain=INET:index=0", "haproxy:systemd:name=proxied"):
    strports.service(text, Factory.forProtocol(Tell)).setServiceParent(application)
child = "import os; print('of the child', [each for each in os.environ if 'LISTEN_' in each], os.listdir('/dev/fd'))"
subprocess.run([sys.executable, "-c", child], check=True, close_fds=False)
"""


def told(port: int, header: bytes = b"") -> tuple[str, Any]:
    """What the service at *port* says, and the address that it was asked from."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as sock:
        sock.sendall(header)
        answer = b""
        while more := sock.recv(4096):
            answer += more
        return answer.decode(), sock.getsockname()


def test_a_service_on_sockets_that_were_passed_to_it(spawn: Any, tmp_path: Path) -> None:
    file = tmp_path / "application.py"
    file.write_text(APPLICATION)
    program = spawn(sys.executable, "-c", ACTIVATE, str(file))
    plain, proxied = (int(program.wait_for(r"listens on (\d+)")[1]) for _ in range(2))
    answer, address = told(plain)  # before it has begun, perhaps: that is what the socket is passed for
    assert answer.startswith(f"IPv4Address(type='TCP', host='127.0.0.1', port={address[1]})")
    inherited = program.wait_for(r"of the child \[\] \[(.*)\]")[1]
    assert not {"'3'", "'4'"} <= set(inherited.split(", ")), "they are closed when another program is executed"
    for header, client in (
        (headers.V1_IPV4, "IPv4Address(type='TCP', host='127.0.0.9', port=35443)"),
        (headers.V1_IPV6, "IPv6Address(type='TCP', host='::1', port=57398, flowInfo=0, scopeID=0)"),
        (headers.V2_IPV4, "IPv4Address(type='TCP', host='127.0.0.9', port=42073)"),
        (headers.V2_IPV6, "IPv6Address(type='TCP', host='::1', port=42960, flowInfo=0, scopeID=0)"),
        (headers.V2_TLS, "IPv4Address(type='TCP', host='127.0.0.7', port=34979)"),
    ):
        answer, _ = told(proxied, header)
        assert answer.startswith(client)
    assert told(proxied, headers.V2_CHECK)[0].startswith("IPv4Address(type='TCP', host='127.0.0.1', port=")
    assert program.interrupt() == 0

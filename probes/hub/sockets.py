"""The reflector's sockets: opened once by the supervisor, so that a worker's death loses no packet."""

from __future__ import annotations

import errno
import socket
import struct
from contextlib import suppress
from ipaddress import ip_address
from itertools import chain

from probes.config import ConfigError

RECEIVE_BUFFER_BYTES = 8 << 20
"""About 9,000 packets of 44 octets as the kernel accounts them: a quarter of a second at 33,000 a second."""
TTL = 255
"""Of every answer, so that a sender can count the hops back (RFC 5357 section 4.2.1)."""

# Linux constants that Python 3.11 has no names for (asm-generic/socket.h, linux/in.h, linux/in6.h).
SO_RCVBUFFORCE = 33
SO_TIMESTAMPNS = 35
SO_MEMINFO = 55
SK_MEMINFO_DROPS = 8
IP_TOS = 1
IP_TTL = 2
IP_PKTINFO = 8
IP_MTU_DISCOVER = 10
IP_RECVTTL = 12
IP_RECVTOS = 13
IPV6_RECVPKTINFO = 49
IPV6_PKTINFO = 50
IPV6_MTU_DISCOVER = 23
IPV6_RECVHOPLIMIT = 51
IPV6_HOPLIMIT = 52
IPV6_RECVTCLASS = 66
IPV6_TCLASS = 67
PMTUDISC_DONT = 0
"""Answers may be cut up on the way: what a sender learns of the path must be of its own direction."""


class CannotListen(ConfigError):
    """The hub cannot open its port; the sentence says what is missing and what to do instead."""


def parse_listen(text: str, default_port: int) -> tuple[str, int]:
    """Host and port of `HOST[:PORT]`, `[v6]:PORT`, or a bare IPv6 address.

    Raises:
        ConfigError: it is none of these.
    """
    host, port = text, str(default_port)
    if text.startswith("[") and "]" in text:
        host, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":") or port
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    try:
        address = "127.0.0.1" if host == "localhost" else str(ip_address(host))
        number = int(port)
    except ValueError:
        raise ConfigError(f"The address {text!r} is not ADDRESS[:PORT]; write 0.0.0.0:8620 or [::]:8620.") from None
    if not 0 <= number <= 65535:
        raise ConfigError(f"The port {number} of {text!r} is not between 1 and 65535.")
    return address, number


def open_sockets(listen: str, default_port: int, workers: int) -> list[list[socket.socket]]:
    """For each worker its sockets, one a family: `[::]` is both families, each with sockets of its own.

    Raises:
        CannotListen: the port cannot be opened.
    """
    address, port = parse_listen(listen, default_port)
    families = [address] if address != "::" else ["::", "0.0.0.0"]
    families = [each for each in families if each != "::" or _has_ipv6()]
    opened: list[list[socket.socket]] = []
    try:
        for each in families:
            _check_free(each, port)
        for _ in range(workers):
            opened.append([])
            for each in families:
                opened[-1].append(open_socket(each, port))
                port = int(opened[-1][-1].getsockname()[1])
    except OSError as error:
        for sock in chain.from_iterable(opened):
            sock.close()
        raise CannotListen(_why_not(listen, port, error)) from error
    return opened


def open_socket(address: str, port: int) -> socket.socket:
    """One bound, non-blocking socket that tells stamp, TTL, TOS and local address of each packet."""
    v6 = ":" in address
    sock = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        _enlarge(sock)
        if v6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            for option in (IPV6_RECVPKTINFO, IPV6_RECVHOPLIMIT, IPV6_RECVTCLASS):
                sock.setsockopt(socket.IPPROTO_IPV6, option, 1)
            sock.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, PMTUDISC_DONT)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, TTL)
        else:
            for option in (IP_PKTINFO, IP_RECVTTL, IP_RECVTOS):
                sock.setsockopt(socket.IPPROTO_IP, option, 1)
            sock.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, PMTUDISC_DONT)
            sock.setsockopt(socket.IPPROTO_IP, IP_TTL, TTL)
        sock.bind((address, port))
    except OSError:
        sock.close()
        raise
    return sock


def drops_of(sock: socket.socket) -> int | None:
    """Packets the kernel dropped at this socket since it was opened; None where it does not tell (before Linux 4.12).

    The same counter as SO_RXQ_OVFL, but it can be read when no packet comes any more, and costs the hot path nothing.
    """
    try:
        info = sock.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, 4 * (SK_MEMINFO_DROPS + 1))
    except OSError:
        return None
    return int(struct.unpack("=9I", info)[SK_MEMINFO_DROPS]) if len(info) >= 36 else None


def _check_free(address: str, port: int) -> None:
    """SO_REUSEPORT alone would let two hubs of one user share a port in silence, each with half of the packets."""
    v6 = ":" in address
    with socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        if v6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((address, port))


def _enlarge(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
    with suppress(PermissionError):  # past net.core.rmem_max, with CAP_NET_ADMIN
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES)


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            sock.bind(("::", 0))
    except OSError:
        return False
    return True


def _why_not(listen: str, port: int, error: OSError) -> str:
    if error.errno in (errno.EACCES, errno.EPERM):
        return (
            f"The hub may not open UDP port {port}: ports below 1024 need the capability CAP_NET_BIND_SERVICE "
            f"(systemd: AmbientCapabilities=CAP_NET_BIND_SERVICE). Give it that, or use --listen ADDRESS:8620."
        )
    if error.errno == errno.EADDRINUSE:
        return f"UDP port {port} of {listen} is taken by another program; stop it, or use --listen ADDRESS:8620."
    return (
        f"The hub cannot open UDP port {port} of {listen}: {error.strerror}. Use --listen with an address of its own."
    )

"""The lines of a site as sockets know them: bound to a source address or an interface; names made into addresses."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import cast

from probes.config import Line
from probes.probe import ProbeFailure

SocketAddress = tuple[str, int] | tuple[str, int, int, int]
"""Of IPv4 and IPv6 (address, port, flow, scope), numeric."""

FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


def version_of(line: Line) -> int | None:
    """The IP version a source address binds a line to; None: either."""
    return None if not line.source else 6 if ":" in line.source else 4


def bind_to(sock: socket.socket, line: Line) -> None:
    """Send by the line's interface and from its address.

    Raises:
        ProbeFailure: `source_missing`, `no_permission`.
    """
    try:
        if line.interface:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, line.interface.encode())
        if line.source:
            sock.bind((line.source, 0))
    except PermissionError as error:
        text = f"Binding to the interface {line.interface} needs CAP_NET_RAW; give the service that capability."
        raise ProbeFailure("no_permission", text) from error
    except OSError as error:
        where = f"source {line.source}, interface {line.interface}"
        text = f"The line {line.id} ({where}) cannot be used: {os.strerror(error.errno or 0)}."
        raise ProbeFailure("source_missing", text) from error


async def resolve(host: str, port: int = 0, version: int | None = None) -> tuple[int, SocketAddress]:
    """IP version and numeric socket address of a host name or address; of this version only, if it is given.

    Raises:
        ProbeFailure: `name_unknown`.
    """
    loop = asyncio.get_running_loop()
    try:
        family = socket.AF_UNSPEC if version is None else FAMILIES[version]
        found = await loop.getaddrinfo(host, port, family=family, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError) as error:
        text = f"The name {host} cannot be resolved: {error}. Check the DNS server, or give an address."
        raise ProbeFailure("name_unknown", text) from error
    chosen, _, _, _, address = found[0]
    return (6 if chosen == socket.AF_INET6 else 4), cast(SocketAddress, address)

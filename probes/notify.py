"""Tells the service manager how we are: sd_notify(3), the 15 lines of it that are needed."""

from __future__ import annotations

import os
import socket


def notify(message: str) -> None:
    """Send e.g. `READY=1` to the manager that started us; does nothing when none did, never fails and never waits."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK  # a manager that hangs must not hang us
    with socket.socket(socket.AF_UNIX, kind) as manager:
        try:
            manager.sendto(message.encode(), address.replace("@", "\0", 1) if address[0] == "@" else address)
        except OSError:
            return


def watchdog_s() -> float | None:
    """How often the manager wants to hear from this process at the latest (sd_watchdog_enabled(3)); None: never."""
    usec, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    if not usec.isdigit() or int(usec) == 0 or (pid and pid != str(os.getpid())):
        return None
    return int(usec) / 1e6

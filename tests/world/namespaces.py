"""Network namespaces of our own: made with a random name, emptied and deleted again, also after a crash.

Needs root on Linux (`why_not()` says so in a sentence). Nothing outside the namespaces made here is touched.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any

PREFIX = "dcw"


def why_not() -> str | None:
    """Why network namespaces cannot be made here, or None if they can."""
    if not sys.platform.startswith("linux"):
        return f"network namespaces exist on Linux only, this is {sys.platform}"
    if os.geteuid() != 0:
        return "making network namespaces needs root: run the tests as root, or leave these out with -m 'not world'"
    missing = [tool for tool in ("ip", "gcc") if shutil.which(tool) is None]
    return f"not installed: {', '.join(missing)} (Debian packages iproute2, gcc)" if missing else None


def call(*command: str, check: bool = True) -> str:
    """Run a command in the machine's own namespace; its output. Its complaint becomes the error."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        raise RuntimeError(f"`{' '.join(command)}` failed with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


@dataclass(eq=False)
class Namespace:
    """One network namespace. `links` counts the links that end here, so that each gets addresses of its own."""

    name: str
    links: int = field(default=0)

    def command(self, *words: str) -> list[str]:
        """The words that run `words` inside this namespace."""
        return ["ip", "netns", "exec", self.name, *words]

    def run(self, *words: str, check: bool = True, timeout: float = 60, **options: Any) -> str:
        """Run a command inside to its end; what it printed. Raises RuntimeError with its complaint if it fails."""
        done = subprocess.run(
            self.command(*words), capture_output=True, text=True, check=False, timeout=timeout, **options
        )
        if check and done.returncode != 0:
            raise RuntimeError(f"`{' '.join(words)}` in {self.name} failed with {done.returncode}: {done.stderr}")
        return str(done.stdout)

    def start(self, *words: str, env: Mapping[str, str] | None = None, **options: Any) -> subprocess.Popen[str]:
        """Start a command inside; the namespace ends it at the latest when it is deleted."""
        merged = {**os.environ, **env} if env else None
        return subprocess.Popen(self.command(*words), text=True, env=merged, **options)

    def ip(self, words: str) -> str:
        """`ip -n NAME ...` in one string."""
        return call("ip", "-n", self.name, *words.split())

    def sysctl(self, name: str, value: int) -> None:
        """Set a net.* switch of this namespace."""
        path = "/proc/sys/" + name.replace(".", "/")
        self.run("sh", "-c", f"echo {value} > {path}")

    def pids(self) -> list[int]:
        """The processes that live inside."""
        return [int(pid) for pid in call("ip", "netns", "pids", self.name, check=False).split()]

    def delete(self) -> None:
        """End what runs inside and delete the namespace; harmless if it is gone already."""
        for pid in self.pids():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        call("ip", "netns", "del", self.name, check=False)


def _made_by(name: str) -> int:
    return int(name.split("-")[1])


def sweep() -> list[str]:
    """Delete what crashed runs left behind: our namespaces whose maker no longer lives. Returns their names."""
    names = [line.split()[0] for line in call("ip", "netns", "list").splitlines() if line.startswith(f"{PREFIX}-")]
    left = [name for name in names if not Path(f"/proc/{_made_by(name)}").exists()]
    for name in left:
        Namespace(name).delete()
    return left


@contextmanager
def namespaces(count: int) -> Iterator[list[Namespace]]:
    """`count` fresh namespaces with loopback up; gone again at the end, with everything that runs in them."""
    sweep()
    suffix = secrets.token_hex(3)
    made: list[Namespace] = []
    try:
        for index in range(count):
            space = Namespace(f"{PREFIX}-{os.getpid()}-{suffix}-{index}")
            made.append(space)
            call("ip", "netns", "add", space.name)
            space.ip("link set lo up")
        yield made
    finally:
        for space in made:
            space.delete()


@dataclass(frozen=True)
class Chain:
    """Two ends with routers between them, for tests that count hops."""

    left: Namespace
    routers: Sequence[Namespace]
    right: Namespace
    left_ip: str
    right_ip: str
    left_ip6: str
    right_ip6: str
    hops: Sequence[str]
    """What traceroute from left to right sees: the near address of each router, then the right end."""
    hops6: Sequence[str]


@contextmanager
def chain(count: int) -> Iterator[Chain]:
    """A left end, `count` forwarding routers and a right end in a row, IPv4 and IPv6, plain veths between them.

    Segment i is 10.78.i.0/24 and fd78:i::/64, its left address .1, its right address .2.
    """
    with namespaces(count + 2) as spaces:
        for index in range(count + 1):
            _segment(spaces[index], spaces[index + 1], index)
        for index, router in enumerate(spaces):
            _routes(router, index, count)
        yield Chain(
            left=spaces[0],
            routers=spaces[1:-1],
            right=spaces[-1],
            left_ip="10.78.0.1",
            right_ip=f"10.78.{count}.2",
            left_ip6="fd78::1",
            right_ip6=str(ip_address(f"fd78:{count:x}::2")),
            hops=[f"10.78.{index}.2" for index in range(count + 1)],
            hops6=[str(ip_address(f"fd78:{index:x}::2")) for index in range(count + 1)],
        )


def _segment(left: Namespace, right: Namespace, index: int) -> None:
    """Permanent neighbours: nobody waits a second for the first neighbour discovery."""
    macs = [f"02:dc:78:00:{index:02x}:0{host}" for host in (1, 2)]
    near = f"name right0 address {macs[0]} netns {left.name}"
    call("ip", "link", "add", *f"{near} type veth peer name left0 address {macs[1]} netns {right.name}".split())
    for space, device, host, other in ((left, "right0", 1, 2), (right, "left0", 2, 1)):
        space.ip(f"addr add 10.78.{index}.{host}/24 dev {device}")
        space.ip(f"addr add fd78:{index:x}::{host}/64 dev {device} nodad")
        space.ip(f"link set dev {device} up")
        for address in (f"10.78.{index}.{other}", f"fd78:{index:x}::{other}"):
            space.ip(f"neigh replace {address} lladdr {macs[other - 1]} dev {device} nud permanent")


def _routes(space: Namespace, index: int, count: int) -> None:
    for switch in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"):
        space.sysctl(switch, 1)
    for switch in ("net.ipv4.icmp_ratelimit", "net.ipv6.icmp.ratelimit"):  # a prompt traceroute loses no hop
        space.sysctl(switch, 0)
    for segment in range(count + 1):
        if segment > index:
            space.ip(f"route add 10.78.{segment}.0/24 via 10.78.{index}.2")
            space.ip(f"route add fd78:{segment:x}::/64 via fd78:{index:x}::2")
        elif segment < index - 1:
            space.ip(f"route add 10.78.{segment}.0/24 via 10.78.{index - 1}.1")
            space.ip(f"route add fd78:{segment:x}::/64 via fd78:{index - 1:x}::1")
